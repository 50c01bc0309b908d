//! Socket activation: the descriptors that systemd hands over, from 3 on (sd_listen_fds(3)).

use std::ffi::OsStr;

/// How many descriptors there are for this process. `LISTEN_PID` says which process they are meant for.
pub(crate) fn count() -> u32 {
    let [pid, count] = ["LISTEN_PID", "LISTEN_FDS"].map(std::env::var_os);
    parse(pid.as_deref(), count.as_deref(), std::process::id())
}

/// What the container's process sees: they are meant for it, and it is the first of its namespace.
pub(crate) fn environment(count: u32) -> [String; 2] {
    [format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_string()]
}

fn parse(pid: Option<&OsStr>, count: Option<&OsStr>, own: u32) -> u32 {
    let number = |text: Option<&OsStr>| text?.to_str()?.parse::<u32>().ok();
    if number(pid) == Some(own) { number(count).unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_count_only_for_their_process() {
        for (pid, count, expected) in [
            (Some("42"), Some("2"), 2),
            (Some("42"), Some("0"), 0),
            (Some("43"), Some("2"), 0),
            (None, Some("2"), 0),
            (Some("42"), None, 0),
            (Some("42"), Some("-1"), 0),
            (Some("42"), Some("x"), 0),
            (Some("x"), Some("2"), 0),
        ] {
            let found = parse(pid.map(OsStr::new), count.map(OsStr::new), 42);
            assert_eq!(found, expected, "{pid:?} {count:?}");
        }
    }
}
