//! Names of users, from `/etc/passwd` (passwd(5)): a static program has no other name service.

/// The name of a user, or `#` and the id if there is none.
pub(crate) fn name(uid: u32) -> String {
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    find(&String::from_utf8_lossy(&passwd), uid)
}

fn find(passwd: &str, uid: u32) -> String {
    let name_of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid && !name.is_empty()).then(|| name.to_string())
    };
    passwd.lines().find_map(name_of).unwrap_or_else(|| format!("#{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_a_name_are_numbers() {
        let passwd =
            "# comment\nroot:x:0:0:root:/root:/bin/sh\n:x:5:5::/:\nalso:x:0:0::/:\nu:x:7\n";
        for (uid, name) in [(0, "root"), (7, "u"), (5, "#5"), (8, "#8")] {
            assert_eq!(find(passwd, uid), name);
        }
    }
}
