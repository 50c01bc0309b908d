//! Every file of `fixtures/` is loaded: those at the top are valid and load, or ask for exactly the
//! listed properties that this version doesn't do; those in `fixtures/bad/` are refused with exactly the
//! message in the `.error` file beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Config, violations};
use crate::error::ErrorKind;

/// What each fixture asks for that is refused. No fixture is without a row.
const FIXTURES: &[(&str, &[&str])] = &[
    ("buildkit", &[]),
    ("cri-container", &[]),
    ("cri-sandbox", &[]),
    ("ctr-run", &[]),
    ("devices", &[]),
    ("docker-27-limits", &[]),
    ("docker-28", &[]),
    ("empty-blocks", &[]),
    (
        "every-property",
        &[
            "process.scheduler",
            "process.ioPriority",
            "process.execCPUAffinity",
            "mounts[7].uidMappings",
            "mounts[7].gidMappings",
            "mounts[7].options[1]",
            "mounts[8].options[1]",
            "linux.timeOffsets",
            "linux.netDevices",
            "linux.intelRdt",
            "linux.memoryPolicy",
            "linux.personality",
        ],
    ),
    ("identity", &[]),
    ("joined-namespaces", &[]),
    ("minimal", &[]),
    ("mount-options", &[]),
    ("no-optional-blocks", &[]),
    ("podman-5", &[]),
    ("podman-5-rootless", &[]),
    ("spec", &[]),
    ("spec-rootless", &[]),
    ("userns", &[]),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn names(directory: &Path, extension: &str) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_fixture_loads_or_is_refused_for_what_is_listed() {
    let listed = FIXTURES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fixtures(), "json"), listed);
    for (name, unsupported) in FIXTURES {
        let path = fixtures().join(name).with_extension("json");
        let expected: Vec<String> = unsupported
            .iter()
            .map(|property| format!("{property}: not supported by this version"))
            .collect();
        match Config::from_path(&path) {
            Ok(config) => {
                assert!(expected.is_empty(), "{name} loads, but shouldn't: {expected:?}");
                assert_eq!(violations(config.spec()), [], "{name}");
            }
            Err(error) => {
                let expected = format!("{}: {}", path.display(), expected.join("; "));
                assert_eq!(error.to_string(), expected, "{name}");
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
                assert_eq!(error.property(), unsupported.first().copied(), "{name}");
            }
        }
    }
}

#[test]
fn every_bad_fixture_is_refused_with_its_message() {
    let directory = fixtures().join("bad");
    let bad = names(&directory, "json");
    assert!(bad.len() > 40, "{bad:?}");
    assert_eq!(bad, names(&directory, "error"));
    for name in bad {
        let path = directory.join(&name).with_extension("json");
        let error = Config::from_bytes(&fs::read(&path).unwrap()).unwrap_err();
        let expected = fs::read_to_string(path.with_extension("error")).unwrap();
        assert_eq!(error.to_string(), expected.trim_end_matches('\n'), "{name}");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
        assert!(!error.to_string().contains('\n'), "{name}");
    }
}

#[test]
fn warnings_tell_what_was_left_out_or_taken_differently() {
    for (name, expected) in [
        (
            "identity",
            "process.capabilities.bounding: ignoring unknown or unavailable capabilities: [CAP_FROM_THE_FUTURE]",
        ),
        (
            "mount-options",
            "mounts[24].destination: mount destination \"relative/destination\" is not absolute: taken from the root",
        ),
    ] {
        let config = Config::from_path(&fixtures().join(name).with_extension("json")).unwrap();
        let told: Vec<String> = config.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(told, [expected]);
    }
    let config = Config::from_path(&fixtures().join("ctr-run.json")).unwrap();
    assert_eq!(config.warnings(), []);
}

#[test]
fn violations_are_values_with_json_pointers() {
    let bytes = fs::read(fixtures().join("bad/rlimits.json")).unwrap();
    let found = violations(&serde_json::from_slice(&bytes).unwrap());
    let pointers: Vec<String> = found.iter().map(|v| v.property().pointer()).collect();
    assert_eq!(pointers, ["/process/rlimits/2/type", "/process/rlimits/0/soft"]);
    assert_eq!(found[0].wrong(), "duplicated rlimit RLIMIT_NOFILE");
    assert_eq!(found[0].allowed(), "each type once");
}

#[test]
fn empty_strings_and_lists_are_absent() {
    use oci_spec::runtime::LinuxNamespaceType as Type;
    let config = Config::from_path(&fixtures().join("empty-blocks.json")).unwrap();
    assert_eq!(config.hostname(), None);
    assert_eq!(config.domainname(), None);
    assert_eq!(config.cgroups_path(), None);
    assert_eq!(config.rootfs_propagation(), None);
    assert_eq!(config.env(), Vec::<String>::new());
    assert_eq!(config.namespace_path(Type::Pid), None);
    assert!(config.is_new_namespace(Type::Pid));
    assert!(!config.is_new_namespace(Type::Cgroup));
    let config = Config::from_path(&fixtures().join("joined-namespaces.json")).unwrap();
    assert_eq!(config.namespace_path(Type::Pid), Some(Path::new("/proc/4711/ns/pid")));
    assert!(!config.is_new_namespace(Type::Pid));
    assert!(config.is_new_namespace(Type::Mount));
    assert_eq!(config.process().unwrap().user().uid(), 0);
    assert_eq!(config.root().unwrap().path(), Path::new("rootfs"));
}

#[test]
fn a_huge_list_of_violations_is_bounded() {
    let json = format!(
        r#"{{"ociVersion":"1.0.0","root":{{"path":"/"}},"process":{{"cwd":"/","args":["x"],"user":{{}},"env":[{}"A=1"]}}}}"#,
        "\"\",".repeat(100_000)
    );
    assert_eq!(violations(&serde_json::from_str(&json).unwrap()).len(), 1000);
    let message = Config::from_bytes(json.as_bytes()).unwrap_err().to_string();
    assert!(message.ends_with("; and at least 968 more"), "{message}");
}

#[test]
fn a_spec_is_validated_like_a_file() {
    let bytes = fs::read(fixtures().join("bad/all-at-once.json")).unwrap();
    let from_spec = Config::from_spec(serde_json::from_slice(&bytes).unwrap()).unwrap_err();
    let from_bytes = Config::from_bytes(&bytes).unwrap_err();
    assert_eq!(from_spec.to_string(), from_bytes.to_string());
}

/// Each value in the document, by JSON pointer.
fn pointers(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(member, &format!("{at}/{name}"), found);
            }
        }
        serde_json::Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                pointers(element, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Whatever stands in the place of any one value: it is taken or told, with everything else that is wrong.
#[test]
fn any_value_may_be_another() {
    let text = fs::read_to_string(fixtures().join("every-property.json")).unwrap();
    let mut good: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Something that is always wrong, and before which everything else is read.
    good["annotations"][""] = "x".into();
    let mut places = Vec::new();
    pointers(&good, "", &mut places);
    assert!(places.len() > 300, "{}", places.len());
    let mut refused_by_parser = 0;
    for (index, place) in places.iter().enumerate() {
        let other = if index % 2 == 0 { serde_json::json!(-5) } else { serde_json::json!([[]]) };
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = other;
        let error = Config::from_bytes(changed.to_string().as_bytes()).unwrap_err();
        let text = error.to_string();
        assert!(!text.contains('\n'), "{place}: {text}");
        refused_by_parser += usize::from(text.contains(" at line 1 column "));
        let gone = ["", "/annotations", "/annotations/"].contains(&&**place);
        assert!(gone || text.contains("annotations[\"\"]: the key is empty"), "{place}: {text}");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{place}: {text}");
    }
    assert!(refused_by_parser > places.len() / 2, "{refused_by_parser} of {}", places.len());
}
