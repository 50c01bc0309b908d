//! What the text of `config.json` tells that the JSON parser doesn't: duplicate keys, arrays where the
//! runtime-spec has objects (serde takes them for the members in order), which members are there, and
//! which property an error's line and column lie in.

use std::ops::Range;

use super::MAX_FINDINGS;
use super::property::{Property, matches};
use super::required::Search;
use super::walk::walk;
use crate::error::Result;

/// What the runtime-spec says is an object (only what oci-spec reads into a structure).
const OBJECTS: &[&[&str]] = &[
    &[],
    &["process"],
    &["process", "user"],
    &["process", "consoleSize"],
    &["process", "capabilities"],
    &["process", "rlimits", "*"],
    &["process", "ioPriority"],
    &["process", "scheduler"],
    &["process", "execCPUAffinity"],
    &["root"],
    &["mounts", "*"],
    &["mounts", "*", "uidMappings", "*"],
    &["mounts", "*", "gidMappings", "*"],
    &["hooks"],
    &["hooks", "prestart", "*"],
    &["hooks", "createRuntime", "*"],
    &["hooks", "createContainer", "*"],
    &["hooks", "startContainer", "*"],
    &["hooks", "poststart", "*"],
    &["hooks", "poststop", "*"],
    &["linux"],
    &["linux", "uidMappings", "*"],
    &["linux", "gidMappings", "*"],
    &["linux", "namespaces", "*"],
    &["linux", "devices", "*"],
    &["linux", "resources"],
    &["linux", "resources", "devices", "*"],
    &["linux", "resources", "memory"],
    &["linux", "resources", "cpu"],
    &["linux", "resources", "pids"],
    &["linux", "resources", "blockIO"],
    &["linux", "resources", "blockIO", "weightDevice", "*"],
    &["linux", "resources", "blockIO", "throttleReadBpsDevice", "*"],
    &["linux", "resources", "blockIO", "throttleWriteBpsDevice", "*"],
    &["linux", "resources", "blockIO", "throttleReadIOPSDevice", "*"],
    &["linux", "resources", "blockIO", "throttleWriteIOPSDevice", "*"],
    &["linux", "resources", "hugepageLimits", "*"],
    &["linux", "resources", "network"],
    &["linux", "resources", "network", "priorities", "*"],
    &["linux", "seccomp"],
    &["linux", "seccomp", "syscalls", "*"],
    &["linux", "seccomp", "syscalls", "*", "args", "*"],
    &["linux", "resources", "rdma", "{}"],
    &["linux", "timeOffsets", "{}"],
    &["linux", "netDevices", "{}"],
    &["linux", "intelRdt"],
    &["linux", "memoryPolicy"],
    &["linux", "personality"],
];

const PIDS_LIMIT: &[&str] = &["linux", "resources", "pids", "limit"];

/// Something in the text that makes it no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Defect {
    /// Where it is.
    pub(super) property: Property,
    /// What is wrong; see [`tell_places`].
    pub(super) text: String,
    /// Where in the text.
    pub(super) at: usize,
}

/// Where something is that has no place in the text.
pub(super) const NOWHERE: usize = usize::MAX;

impl Defect {
    pub(super) fn new(property: Property, what: &str, at: usize) -> Self {
        let text = format!("{property}: {what}");
        Self { property, text, at }
    }
}

/// Says of defects, in the order of the text, in which line and column they are. All in one pass: there
/// may be a thousand of them behind 16 MiB of white space.
pub(super) fn tell_places(text: &str, defects: &mut [Defect]) {
    let (mut line, mut start, mut seen) = (1, 0, 0);
    for defect in defects.iter_mut().filter(|defect| defect.at != NOWHERE) {
        let passed = text.get(seen..defect.at).unwrap_or_default();
        line += passed.matches('\n').count();
        start = passed.rfind('\n').map_or(start, |at| seen + at + 1);
        seen = defect.at;
        let column = seen.saturating_sub(start) + 1;
        defect.text.push_str(&format!(" at line {line} column {column}"));
    }
}

/// What the walk found out about a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// `linux.resources.pids.limit` is there and not null.
    pub(super) has_pids_limit: bool,
    /// Required members that are not there.
    pub(super) absent: Vec<Property>,
    /// Keys that are there more than once.
    pub(super) duplicates: Vec<Defect>,
    /// Arrays in the place of objects.
    pub(super) arrays: Vec<Defect>,
}

/// Looks through a document. Too deep nesting is an error, because there the walk ends.
pub(super) fn document(text: &str) -> Result<Document> {
    let mut has_pids_limit = false;
    let mut required = Search::default();
    let mut arrays = Vec::new();
    let duplicates = walk(text, &mut |path, span| {
        let value = text.as_bytes().get(span.start);
        if value == Some(&b'[')
            && arrays.len() < MAX_FINDINGS
            && OBJECTS.iter().any(|pattern| matches(path, pattern))
        {
            let what = "is an array, must be an object";
            arrays.push(Defect::new(Property::of(path), what, span.start));
        }
        if value != Some(&b'n') && matches(path, PIDS_LIMIT) {
            has_pids_limit = true;
        }
        required.visit(path, text, span);
    })?;
    Ok(Document { has_pids_limit, absent: required.absent(), duplicates, arrays })
}

/// The innermost value that holds the byte at `offset`, and where it stands.
pub(super) fn innermost(text: &str, offset: usize) -> Option<(Property, Range<usize>)> {
    let mut found = None;
    // Values are visited from the inside out, so the first that holds the byte is the innermost.
    walk(text, &mut |path, span| {
        if found.is_none() && span.contains(&offset) {
            found = Some((Property::of(path), span));
        }
    })
    .ok()?;
    found
}

/// Where the value of a property stands.
pub(super) fn locate(text: &str, property: &Property) -> Option<Range<usize>> {
    let mut found = None;
    walk(text, &mut |path, span| {
        if path == property.steps() {
            found = Some(span);
        }
    })
    .ok()?;
    found
}

/// Line and column of a byte, both from 1, as `serde_json` counts.
pub(super) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|&&b| b == b'\n').count();
    let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at.saturating_add(1));
    (line.saturating_add(1), offset.saturating_sub(start).saturating_add(1))
}

/// The byte at a line and a column.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    start.saturating_add(column.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defects(text: &str) -> Vec<String> {
        let Document { mut duplicates, arrays, .. } = document(text).unwrap();
        duplicates.extend(arrays);
        duplicates.sort_by_key(|defect| defect.at);
        tell_places(text, &mut duplicates);
        duplicates.into_iter().map(|defect| defect.text).collect()
    }

    #[test]
    fn duplicates_are_found_at_every_depth() {
        for (text, expected) in [
            (r#"{"a":1,"a":2}"#, "a: duplicate key \"a\" at line 1 column 8"),
            (
                "{\"x\":[{},{\n \"b\":1,\n \"c\":{},\n \"b\":{}}]}",
                "x[1].b: duplicate key \"b\" at line 4 column 2",
            ),
            (
                r#"{"annotations":{"k.v":"1","\u006b.v":"2"}}"#,
                "annotations[\"k.v\"]: duplicate key \"k.v\" at line 1 column 27",
            ),
            (r#"{"a\"":1,"a\"":2}"#, "[\"a\\\"\"]: duplicate key \"a\\\"\" at line 1 column 10"),
        ] {
            assert_eq!(defects(text), [expected], "{text}");
        }
    }

    #[test]
    fn each_is_told_with_its_own_place() {
        let text = "{\"a\":1,\"a\":2,\n\n \"ä\":3, \"ä\":{\"c\":\n4,\"c\":5},\"a\":6}";
        let places: Vec<_> = defects(text)
            .iter()
            .map(|text| text.split_once(" at ").unwrap().1.to_owned())
            .collect();
        let expected =
            ["line 1 column 8", "line 3 column 10", "line 4 column 3", "line 4 column 10"];
        assert_eq!(places, expected);
    }

    #[test]
    fn what_is_no_duplicate() {
        for text in [
            r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
            r#"{"a":"\"a\":1,","b":"{","c":"]\\"}"#,
            r"{}",
            r#" { "a" : [ ] , "b" : [ 1 , null , true ] } "#,
        ] {
            assert_eq!(defects(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        for (text, expected) in [
            ("[]", "config: is an array, must be an object at line 1 column 1"),
            (
                r#"{"process":{"user":[0,0]}}"#,
                "process.user: is an array, must be an object at line 1 column 20",
            ),
            (
                r#"{"mounts":[["/proc"]]}"#,
                "mounts[0]: is an array, must be an object at line 1 column 12",
            ),
            (
                r#"{"linux":{"resources":{"rdma":{"mlx":[1,2]}}}}"#,
                "linux.resources.rdma.mlx: is an array, must be an object at line 1 column 38",
            ),
        ] {
            assert_eq!(defects(text), [expected], "{text}");
        }
        let lists = r#"{"com.example":[[1],[2]],"process":{"args":[]}}"#;
        assert_eq!(defects(lists), Vec::<String>::new());
    }

    #[test]
    fn the_depth_is_limited() {
        let deep = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
        document(&deep(127)).unwrap();
        let error = document(&deep(200_000)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x[0][0][0]: is nested deeper than 128 levels at line 1 column 134"
        );
    }

    #[test]
    fn many_keys_take_no_quadratic_time() {
        let members: Vec<String> = (0..300_000).map(|n| format!("\"key{n}\":0")).collect();
        let started = std::time::Instant::now();
        document(&format!("{{{}}}", members.join(","))).unwrap();
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn the_pids_limit_is_seen() {
        for (pids, expected) in [
            ("{}", false),
            (r#"{"limit":null}"#, false),
            (r#"{"limit":0}"#, true),
            (r#"{"limit":-1}"#, true),
        ] {
            let text = format!(r#"{{"linux":{{"resources":{{"pids":{pids}}}}}}}"#);
            assert_eq!(document(&text).unwrap().has_pids_limit, expected, "{text}");
        }
    }

    #[test]
    fn places_are_found_both_ways() {
        let text = "{\n  \"mounts\": [{}, {\"destination\": 5}]\n}";
        let at = text.find('5').unwrap();
        let (property, span) = innermost(text, at).unwrap();
        assert_eq!(property.to_string(), "mounts[1].destination");
        assert_eq!(span, at..at + 1);
        assert_eq!(locate(text, &property), Some(at..at + 1));
        let (line, column) = line_column(text, at);
        assert_eq!((line, column), (2, 34));
        assert_eq!(offset(text, line, column), at);
    }
}
