//! Container ids: names of directories below the state root.

use crate::error::{Error, ErrorKind, Result};

/// Letters, digits, `_`, `+`, `-` and `.`, but neither `.` nor `..`. Container managers look for these
/// words in the message.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let message = if id.is_empty() {
        "container id cannot be empty"
    } else if !is_id(id) {
        "invalid container ID format"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidConfig, message))
}

/// Whether a name can be an id.
pub(super) fn is_id(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    !matches!(name, "" | "." | "..") && name.bytes().all(allowed)
}

/// What a container's directory is renamed to before it is emptied. `~` makes it a name that no id has.
pub(super) fn tomb(id: &str) -> String {
    format!(".{id}~deleting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_runc() {
        for good in ["a", "_", "A.b-c_d+1", "...", ".hidden", "a..b", "-x"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in [".", "..", "a/b", "/", "a b", "ä", "a\0", "a~", "a\n", "%s"] {
            let error = check_id(bad).unwrap_err();
            assert_eq!(error.to_string(), "invalid container ID format", "{bad}");
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
        let error = check_id("").unwrap_err();
        assert_eq!(error.to_string(), "container id cannot be empty");
    }

    #[test]
    fn a_tomb_is_no_id() {
        assert!(!is_id(&tomb("a")));
    }
}
