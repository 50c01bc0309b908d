//! `/proc/PID/stat` (proc_pid_stat(5)).

use std::fs;

use super::is_gone;
use crate::error::{Error, ErrorKind, Result};

/// What we need of `/proc/PID/stat`. Own lines, not those of the procfs crate: that opens the directory
/// first and reads the kernel's version, three more system calls for the same file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 3: `Z` is a zombie.
    pub(crate) state: u8,
    /// Field 22: clock ticks since boot.
    pub(crate) start_time: u64,
    /// Field 52: the status word of wait(2), and 0 for those who may not know.
    pub(crate) exit_code: i32,
}

impl Stat {
    /// None if the process was reaped.
    pub(super) fn read(pid: i32) -> Result<Option<Self>> {
        let path = format!("/proc/{pid}/stat");
        match fs::read(&path) {
            Ok(text) => Self::parse(&text).map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Internal, format!("{path}: not as proc(5) has it"))
            }),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(Error::io(format!("read(\"{path}\")"), &error)),
        }
    }

    /// The second field, the command in parentheses, is the process's to choose, parentheses and all:
    /// the last one ends it.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let command_end = text.iter().rposition(|&byte| byte == b')')?;
        let rest = str::from_utf8(text.get(command_end + 1..)?).ok()?;
        // Field 3, the state, is the first of these.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            start_time: fields.get(22 - 3)?.parse().ok()?,
            exit_code: fields.get(52 - 3)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_last_parenthesis() {
        let tail = "S 1 2 3 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 1 \
                    0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 9";
        let good = Some(Stat { state: b'S', start_time: 4711, exit_code: 9 });
        for command in ["sh", ") Z 1", "(", "a b", "x)) R 1 ("] {
            let text = format!("42 ({command}) {tail}\n");
            assert_eq!(Stat::parse(text.as_bytes()), good, "{command}");
        }
        let mut not_utf8 = b"42 (\xff\xfe) ".to_vec();
        not_utf8.extend_from_slice(tail.as_bytes());
        assert_eq!(Stat::parse(&not_utf8), good);
        for bad in ["", "42", "42 (sh)", "42 (sh) S 1 2", "42 (sh) S x"] {
            assert_eq!(Stat::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_process_that_is_not_there_has_none() {
        assert_eq!(Stat::read(i32::MAX).unwrap(), None);
        let own = std::process::id().cast_signed();
        assert_eq!(Stat::read(own).unwrap().unwrap().exit_code, 0);
    }
}
