//! What SECURITY.md says of tests is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The sources of a directory of `integration`: topic and text.
fn sources(directory: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(repository().join("integration").join(directory)).unwrap();
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files
        .map(|path| {
            let topic = path.file_stem().unwrap().to_str().unwrap().to_string();
            (topic, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// All `topic::test` of these sources.
fn tests(sources: &[(String, String)]) -> BTreeSet<String> {
    let named = |(topic, text): &(String, String)| {
        let lines: Vec<&str> = text.lines().collect();
        let pairs = lines.windows(2).filter(|pair| pair[0].trim() == "#[test]");
        let names = pairs.filter_map(|pair| pair[1].strip_prefix("fn ")?.split('(').next());
        names.map(|name| format!("{topic}::{name}")).collect::<Vec<_>>()
    };
    sources.iter().flat_map(named).collect()
}

#[test]
fn every_test_that_the_security_document_names_exists() {
    let mut all = tests(&sources("tests"));
    all.extend(tests(&sources("cve")));
    assert!(all.contains("documents::every_test_that_the_security_document_names_exists"));
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let named: BTreeSet<_> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains("::") && *code != "topic::test")
        .map(String::from)
        .collect();
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<_> = named.difference(&all).collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

/// And the other way round: what is tried here is in the document.
#[test]
fn every_probe_is_in_the_security_document() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let probes = tests(&sources("cve"));
    let is_probe = |name: &&String| name.contains("::cve_") || name.contains("::ghsa_");
    let missing: Vec<_> =
        probes.iter().filter(is_probe).filter(|name| !text.contains(&***name)).collect();
    assert!(missing.is_empty(), "not in SECURITY.md: {missing:#?}");
}

/// The table of `main.rs` has each procedure, and each test there is one.
#[test]
fn every_procedure_has_a_test_or_a_reason() {
    let all: BTreeSet<_> =
        tests(&sources("cve")).into_iter().chain(tests(&sources("tests"))).collect();
    let table = fs::read_to_string(repository().join("integration/cve/main.rs")).unwrap();
    let numbers = [("A", 1..=5), ("B", 1..=8), ("C", 1..=7), ("D", 1..=13), ("E", 6..=7)];
    for (family, range) in numbers {
        for number in range.filter(|number| (family, *number) != ("C", 5)) {
            let row = format!("//! | T-{family}{number} |");
            let line = table.lines().find(|line| line.starts_with(&row));
            let line = line.unwrap_or_else(|| panic!("no {row}"));
            let names = line.split('`').skip(1).step_by(2).filter(|name| name.contains("::"));
            for name in names {
                assert!(all.contains(name), "T-{family}{number}: no test {name}");
            }
        }
    }
}
