//! From a file to a `Spec`.
//!
//! The fast path is one parse and one walk over the text. Only what that refuses is parsed into a JSON
//! value, repaired (see `repair`), and what can't be repaired is told (see `salvage`).

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::Value;

use super::property::Property;
use super::repair;
use super::salvage::{self, Removed};
use super::scan::{self, Defect, Document};
use crate::error::{Error, ErrorKind, Result, Warning};

/// No configuration of a container comes near it; without a limit a device or a sparse file would be
/// read until the memory is full.
const MAX_BYTES: u64 = 16 << 20;

/// The bytes of a regular file of at most 16 MiB.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let call = || format!("open({path:?}, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC)");
    // O_NONBLOCK: a FIFO in the place of the file must not hang us; O_NOCTTY: nor a terminal become ours.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| not_found(path, Error::io(call(), &e)))?;
    let metadata = file.metadata().map_err(|e| Error::io(format!("fstat({path:?})"), &e))?;
    if !metadata.is_file() {
        return Err(unreadable(path, "is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0));
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(format!("read({path:?})"), &e))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(path, "is larger than 16 MiB"));
    }
    Ok(bytes)
}

fn not_found(path: &Path, error: Error) -> Error {
    if error.errno() != Some(libc::ENOENT) {
        return error;
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    error.context(format!("JSON specification file {} not found", name.display()))
}

fn unreadable(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{}: {what}", path.display()))
}

/// What a text says, and what makes it no configuration.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The configuration, without what is defective; none if that is too much.
    pub(super) spec: Option<Spec>,
    /// What was left out of it.
    pub(super) warnings: Vec<Warning>,
    /// Required members that are not there, as places in `spec`.
    pub(super) absent: Vec<Property>,
    /// What is no configuration, in the order of the text.
    pub(super) defects: Vec<Defect>,
    /// What was taken out of the configuration for it.
    pub(super) removed: Removed,
}

/// Reads JSON.
pub(super) fn parse(bytes: &[u8]) -> Result<Loaded> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let valid = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let (line, column) = scan::line_column(&String::from_utf8_lossy(valid), e.valid_up_to());
        invalid(format!("invalid UTF-8 at line {line} column {column}"))
    })?;
    let Ok(spec) = serde_json::from_str(text) else { return parse_repaired(text) };
    let document = scan::document(text)?;
    if !document.arrays.is_empty() || !document.duplicates.is_empty() {
        return parse_repaired(text);
    }
    Ok(Loaded {
        spec: Some(complete(spec, &document)),
        warnings: Vec::new(),
        absent: document.absent,
        defects: Vec::new(),
        removed: Removed::default(),
    })
}

/// oci-spec reads a `pids` object without a limit as the limit 0, which would let nothing fork.
fn complete(mut spec: Spec, document: &Document) -> Spec {
    let resources = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut());
    if let Some(resources) = resources.filter(|_| !document.has_pids_limit) {
        resources.set_pids(None);
    }
    spec
}

fn parse_repaired(text: &str) -> Result<Loaded> {
    let mut value: Value = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    if value.is_null() {
        return Err(invalid("config cannot be null".to_owned()));
    }
    let mut document = scan::document(text)?;
    let mut warnings = Vec::new();
    repair::repair(&mut value, &mut warnings);
    let mut defects = std::mem::take(&mut document.arrays);
    let (spec, removed) = salvage::parse(text, value, &mut defects);
    defects.append(&mut document.duplicates);
    defects.sort_by_key(|defect| defect.at);
    scan::tell_places(text, &mut defects);
    let absent = document.absent.iter().map(|property| removed.now(property)).collect();
    let spec = spec.map(|spec| complete(spec, &document));
    Ok(Loaded { spec, warnings, absent, defects, removed })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn message(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(loaded) => {
                let told: Vec<String> = loaded.defects.into_iter().map(|d| d.text).collect();
                told.join("; ")
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
                error.to_string()
            }
        }
    }

    fn parsed(text: &str) -> Spec {
        let loaded = parse(text.as_bytes()).unwrap();
        assert_eq!(loaded.defects, [], "{text}");
        loaded.spec.unwrap()
    }

    #[test]
    fn errors_tell_the_property_and_the_place() {
        for (text, expected) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("null", "config cannot be null"),
            (" null\n", "config cannot be null"),
            ("5", "config: invalid type: integer `5`, expected struct Spec at line 1 column 1"),
            ("{\"process\":\n{,}}", "key must be a string at line 2 column 2"),
            (
                "{\"process\": {\"cwd\":\"/\", \"user\":\n{\"uid\": -1}}}",
                "process.user.uid: invalid value: integer `-1`, expected u32 at line 2 column 9",
            ),
            (
                "{\"process\": {\"cwd\": \"/\", \"user\": \"root\"}}",
                "process.user: invalid type: string \"root\", expected struct User at line 1 column 34",
            ),
            ("{\"process\": {\"user\": {}}}", "process: missing field `cwd` at line 1 column 13"),
            ("{\"root\": {}, \"root\": {}}", "root: duplicate key \"root\" at line 1 column 14"),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn after_a_repair_the_place_is_that_of_the_original() {
        assert_eq!(
            message(
                "{\"process\": {\"cwd\": \"/\", \"capabilities\": {\"bounding\": [\"CAP_NEW\"]},\n\"oomScoreAdj\": \"x\"}}"
            ),
            "process.oomScoreAdj: invalid type: string \"x\", expected i32 at line 2 column 16"
        );
    }

    #[test]
    fn unknown_words_are_told_as_go_tells_them() {
        for (text, start) in [
            (
                r#"{"process":{"cwd":"/","user":{},"rlimits":[{"type":"RLIMIT_FOO","hard":1,"soft":1}]}}"#,
                "process.rlimits[0].type: wrong rlimit value: RLIMIT_FOO: unknown variant `RLIMIT_FOO`, expected one of `RLIMIT_CPU`",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"foo"}]}}"#,
                "linux.namespaces[1].type: namespace does not exist: foo: ",
            ),
            (
                r#"{"linux":{"devices":[{"type":"z","path":"/dev/z"}]}}"#,
                "linux.devices[0].type: invalid device type: z: ",
            ),
            (
                r#"{"linux":{"resources":{"devices":[{"allow":true,"type":"z","access":"r"}]}}}"#,
                "linux.resources.devices[0].type: invalid cgroup device type: z: ",
            ),
        ] {
            let message = message(text);
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let text = format!(
            r#"{{"process":{{"cwd":"/","user":{{"uid":"a\nb{}"}}}}}}"#,
            "x".repeat(1 << 20)
        );
        let message = message(&text);
        assert!(
            message.starts_with(r#"process.user.uid: invalid type: string "a\nbxx"#),
            "{message}"
        );
        assert!(message.ends_with("xx... at line 1 column 37"), "{message}");
        assert!(message.len() < 600);
        let newline = "{\"linux\":{\"namespaces\":[{\"type\":\"a\\nb\"}]}}";
        assert!(!super::tests::message(newline).contains('\n'));
    }

    #[test]
    fn invalid_utf8_is_refused_also_where_nobody_looks() {
        let error = parse(b"{\n\"ignored\": \"\xff\"}").unwrap_err();
        assert_eq!(error.to_string(), "invalid UTF-8 at line 2 column 13");
    }

    #[test]
    fn pids_without_a_limit_set_none() {
        for (pids, expected) in [
            ("{}", None),
            (r#"{"limit":null}"#, None),
            (r#"{"limit":0}"#, Some(0)),
            (r#"{"limit":-1}"#, Some(-1)),
        ] {
            let text = format!(r#"{{"linux":{{"resources":{{"pids":{pids}}}}}}}"#);
            let spec = parsed(&text);
            let resources = spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
            assert_eq!(resources.pids().map(|pids| pids.limit()), expected, "{text}");
        }
    }

    #[test]
    fn unknown_properties_are_ignored() {
        parsed(r#"{"com.example":{"x":[[1]]},"process":{"cwd":"/","user":{},"later":1}}"#);
    }

    #[test]
    fn a_missing_file_is_told_as_runc_tells_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            format!(
                "JSON specification file config.json not found: \
                 open({path:?}, O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC): no such file or directory"
            )
        );
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [&fifo, directory.path(), Path::new("/dev/zero")] {
            let error = read(path).unwrap_err();
            assert_eq!(error.to_string(), format!("{}: is not a regular file", path.display()));
        }
        assert_eq!(read(&socket).unwrap_err().errno(), Some(libc::ENXIO));
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_BYTES + 1).unwrap();
        let error = read(file.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: is larger than 16 MiB", file.path().display()));
        file.as_file().set_len(MAX_BYTES).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, MAX_BYTES);
    }
}
