//! The container's passwd file (passwd(5)), which is the image's: nothing in it is trusted.

/// The home directory of a user, by number. The first line that has it counts.
pub(crate) fn home(passwd: &[u8], uid: u32) -> Option<&[u8]> {
    passwd.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        let number = fields.nth(2)?;
        let home = fields.nth(2)?;
        (decimal(number)? == uid && home.starts_with(b"/") && !home.contains(&0)).then_some(home)
    })
}

/// A decimal number without sign, blanks or more digits than a uid has.
fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        value.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::home;

    #[test]
    fn homes() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/bin:\nrel:x:2:2::home:/bin/sh\n\
            neg:x:-3:3::/neg:\nshort:x:4\nbig:x:4294967296:0::/big:\nspace:x: 5:0::/space:\n\
            twice:x:6:6::/first:\ntwice:x:6:6::/second:\nlast:x:7:7::/last";
        for (uid, expected) in [
            (0, Some(b"/root".as_slice())),
            (1, Some(b"/bin")),
            (2, None),
            (3, None),
            (4, None),
            (5, None),
            (6, Some(b"/first")),
            (7, Some(b"/last")),
            (8, None),
        ] {
            assert_eq!(home(passwd, uid), expected, "uid {uid}");
        }
        assert_eq!(home(b"", 0), None);
        assert_eq!(home(b"root:x:0:0::/ro\0ot:", 0), None);
    }
}
