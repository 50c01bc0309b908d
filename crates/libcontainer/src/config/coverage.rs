//! `docs/spec-coverage.md` says what enforces each demand of the runtime-spec, and which test shows it.
//! It is only worth something as long as it is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{load, rules};
use crate::features::{OCI_VERSION_MAX, OCI_VERSION_MIN};
use crate::plan::options;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> String {
    fs::read_to_string(repository().join("docs/spec-coverage.md")).unwrap()
}

/// The rows of the tables with this many columns, each cell without blanks around it.
fn rows(text: &str, columns: usize) -> Vec<Vec<String>> {
    let tables = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-"));
    let cells = tables.map(|line| line.trim_matches('|').split(" | ").map(str::trim));
    let cells = cells.map(|cells| cells.map(ToOwned::to_owned).collect::<Vec<String>>());
    cells.filter(|cells| cells.len() == columns).collect()
}

/// The words between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The tables of demands: what stands above each, and its rows.
fn sections(text: &str) -> Vec<(String, Vec<Vec<String>>)> {
    let parts = text.split("\n### ").skip(1);
    parts
        .map(|part| {
            let part = part.split("\n## ").next().unwrap();
            let title = part.lines().next().unwrap().to_owned();
            (title, rows(part, 3).split_off(1))
        })
        .collect()
}

/// Modules and the files of tests are named from the library, or from the repository.
fn file(name: &str) -> PathBuf {
    match name.split('/').next() {
        Some("src" | "init") => Path::new(env!("CARGO_MANIFEST_DIR")).join(name),
        _ => repository().join(name),
    }
}

/// What is wrong with a test or fixture that a row names.
fn defect_of_test(name: &str) -> Option<String> {
    if let Some(fixture) = name.strip_prefix("bad/") {
        let path = repository().join("fixtures/bad").join(format!("{fixture}.json"));
        return (!path.is_file()).then(|| format!("{name}: no such fixture"));
    }
    let Some((module, function)) = name.rsplit_once("::") else {
        return Some(format!("{name}: neither a test nor a fixture"));
    };
    let path = match Path::new(module).extension() {
        Some(_) => file(module),
        None => repository().join("integration/tests").join(module.replace("::", "/")),
    };
    let files = [path.clone(), path.with_extension("rs"), path.join("mod.rs")];
    let source = files.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test = lines.windows(4).any(|lines| {
        lines[0] == "#[test]"
            && lines[1..].iter().any(|line| line.starts_with(&format!("fn {function}(")))
    });
    (!is_test).then(|| format!("{name}: no such test"))
}

/// All that is wrong with the tables of demands.
fn defects(text: &str) -> Vec<String> {
    let sections = sections(text);
    let mut defects = Vec::new();
    let mut all = 0;
    for (title, rows) in &sections {
        let number = title.rsplit_once(": ").and_then(|(_, number)| number.parse().ok());
        if number != Some(rows.len()) {
            defects.push(format!("{title}: has {} rows", rows.len()));
        }
        all += rows.len();
        for row in rows {
            let modules = quoted(&row[1]);
            let missing = modules.iter().filter(|module| !file(module).is_file());
            defects.extend(missing.map(|module| format!("{module}: no such module")));
            let tests = quoted(&row[2]);
            defects.extend(tests.iter().filter_map(|test| defect_of_test(test)));
            if modules.is_empty() || tests.is_empty() {
                defects.push(format!("{}: nothing enforces or shows it", row[0]));
            }
        }
    }
    if !text.contains(&format!("\n{all} demands")) {
        defects.push(format!("there are {all} demands"));
    }
    defects
}

#[test]
fn every_demand_has_a_module_and_a_test() {
    assert_eq!(defects(&document()), Vec::<String>::new());
}

#[test]
fn a_table_that_is_not_true_is_noticed() {
    let text = document();
    let row = "| `ociVersion` is there |";
    assert!(text.contains(row));
    let line = text.lines().find(|line| line.starts_with(row)).unwrap();
    for (broken, expected) in [
        (text.replace(&format!("{line}\n"), ""), "Specification version: 2: has 1 rows"),
        (text.replace("rules/document.rs`", "rules/documents.rs`"), "no such module"),
        (text.replace("bad/no-root`", "bad/without-root`"), "no such fixture"),
        (text.replace("::versions`", "::version`"), "no such test"),
        (text.replace("::versions`", "::is_semver_1`"), "no such test"),
        (text.replace(line, &format!("{row}  |  |")), "nothing enforces or shows it"),
    ] {
        let defects = defects(&broken);
        assert!(defects.iter().any(|defect| defect.contains(expected)), "{expected}: {defects:?}");
    }
}

#[test]
fn every_broken_configuration_is_named() {
    let text = document();
    let names: BTreeSet<&str> = quoted(&text).into_iter().collect();
    for entry in fs::read_dir(repository().join("fixtures/bad")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("bad/{}", path.file_stem().unwrap().display());
        assert!(names.contains(name.as_str()), "{name}");
    }
}

/// The rules are listed with something that breaks them: a fixture, or a test that makes one.
#[test]
fn every_rule_is_listed_and_broken() {
    let text = document();
    let (_, part) = text.split_once("\n## Rules\n").unwrap();
    let listed = rows(part.split("\n## ").next().unwrap(), 3).split_off(1);
    let expected: Vec<String> = rules::all()
        .map(|(property, allowed)| format!("{} | {allowed}", shown(property)))
        .collect();
    let found: Vec<String> =
        listed.iter().map(|row| format!("{} | {}", row[0].trim_matches('`'), row[1])).collect();
    assert_eq!(found, expected);
    for ((property, allowed), row) in rules::all().zip(&listed) {
        let by = quoted(&row[2]);
        let [by] = by.as_slice() else { panic!("{row:?}") };
        let Some(fixture) = by.strip_prefix("bad/") else {
            assert_eq!(defect_of_test(by), None);
            continue;
        };
        let path = repository().join("fixtures/bad").join(format!("{fixture}.json"));
        let loaded = load::parse(&fs::read(path).unwrap()).unwrap();
        let (violations, _) = rules::check(&loaded.spec.unwrap(), &loaded.absent);
        let breaks = |violation: &rules::Violation| {
            violation.allowed() == allowed && violation.property().to_string().starts_with(property)
        };
        assert!(violations.iter().any(breaks), "{by} does not break {property}: {allowed}");
    }
}

/// Rules of no property in particular are about all of the configuration.
fn shown(property: &str) -> &str {
    if property.is_empty() { "config" } else { property }
}

#[test]
fn every_option_that_must_be_known_is() {
    const MUST: &str = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud \
        noatime nodev nodiratime noexec noiversion nolazytime norelatime nostrictatime nosuid private \
        rbind relatime remount ro rprivate rshared rslave runbindable rw shared silent slave \
        strictatime suid sync unbindable";
    let known: BTreeSet<&str> = options::names().collect();
    let must: Vec<&str> = MUST.split_whitespace().collect();
    assert_eq!(must.len(), 37);
    for option in must {
        assert!(known.contains(option), "{option}");
    }
}

#[test]
fn the_versions_of_features_are_accepted() {
    let minimal = fs::read_to_string(repository().join("fixtures/minimal.json")).unwrap();
    let mut spec: oci_spec::runtime::Spec = serde_json::from_str(&minimal).unwrap();
    for version in [OCI_VERSION_MIN, OCI_VERSION_MAX] {
        spec.set_version(version.to_owned());
        assert_eq!(super::violations(&spec), [], "{version}");
    }
    let numbers = |version: &str| -> Vec<u32> {
        version.split('.').map(|number| number.parse().unwrap()).collect()
    };
    assert!(numbers(OCI_VERSION_MIN) <= numbers(OCI_VERSION_MAX));
}
