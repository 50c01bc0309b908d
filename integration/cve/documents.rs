//! What SECURITY.md says of tests is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The sources in a directory of `integration` and below it: topic and text.
fn sources(directory: &str) -> Vec<(String, String)> {
    let top = repository().join("integration").join(directory);
    let mut directories = vec![top.clone()];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let topic = path.strip_prefix(&top).unwrap().with_extension("");
            let topic = topic.to_str().unwrap().replace('/', "::");
            let text = fs::read_to_string(path).unwrap();
            sources.push((topic.trim_end_matches("::mod").to_string(), text));
        }
    }
    sources
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

/// What these names mean is said in `docs/testing.md`.
fn is_name_of_test(code: &str) -> bool {
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut words = code.split("::");
    code.contains("::") && words.all(|word| !word.is_empty() && word.bytes().all(is_lower))
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut all = tests(&sources("tests"));
    all.extend(tests(&sources("cve")));
    assert!(all.contains("documents::every_test_that_a_document_names_exists"));
    for document in ["SECURITY.md", "docs/testing.md"] {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        let codes = text.split('`').skip(1).step_by(2).filter(|code| is_name_of_test(code));
        let named: BTreeSet<_> =
            codes.filter(|code| *code != "topic::test").map(String::from).collect();
        assert!(named.len() > 50, "{document}: {named:?}");
        let missing: Vec<_> = named.difference(&all).collect();
        assert!(missing.is_empty(), "{document}: no such test: {missing:#?}");
    }
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
