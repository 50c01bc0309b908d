//! Words and writing: errno texts as Go has them, and the standard output.

use std::io::{self, Write};

use anyhow::Context;

/// An I/O error in the words of Go, which callers look for: `no such file or directory`.
pub(crate) fn io(error: &io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(errno) => self::errno(nix::errno::Errno::from_raw(errno)),
        None => anyhow::Error::msg(error.to_string()),
    }
}

/// The same of an errno.
pub(crate) fn errno(errno: nix::errno::Errno) -> anyhow::Error {
    anyhow::Error::msg(libcontainer::errno_text(errno as i32))
}

/// Writes to the standard output. That nobody reads it is an error like any other: SIGPIPE is ignored.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| io(&error))
        .context("write to the standard output")
}

/// A value as indented JSON, with nothing after it.
pub(crate) fn json(value: &impl serde::Serialize, indent: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).context("write JSON")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_speak_go() {
        let missing = std::fs::File::open("/nonexistent").unwrap_err();
        assert_eq!(io(&missing).to_string(), "no such file or directory");
        assert_eq!(io(&io::Error::other("odd")).to_string(), "odd");
    }

    #[test]
    fn json_is_indented_and_ends_with_its_brace() {
        let value = serde_json::json!({"a": [], "b": [1]});
        let bytes = json(&value, b"\t").unwrap();
        assert_eq!(bytes, b"{\n\t\"a\": [],\n\t\"b\": [\n\t\t1\n\t]\n}");
    }
}
