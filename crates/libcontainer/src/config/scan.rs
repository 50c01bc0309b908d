//! A walk over the text of `config.json` for what the JSON parser doesn't tell: duplicate keys, arrays
//! where the runtime-spec has objects (serde takes them for the members in order), which optional
//! members are there, and which property an error's line and column lie in.
//!
//! The text was accepted by the parser before, so the walk need not check the syntax; it only must never
//! panic. Its own limit is the depth: the parser skips unknown properties of any depth.

use std::borrow::Cow;
use std::ops::Range;

use super::property::{Property, Step, matches};
use crate::error::{Error, ErrorKind, Result};

/// As deep as `serde_json` goes into what it doesn't skip.
const MAX_DEPTH: usize = 128;

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
    &["linux", "intelRdt"],
    &["linux", "memoryPolicy"],
    &["linux", "personality"],
];

const PIDS_LIMIT: &[&str] = &["linux", "resources", "pids", "limit"];

/// What the walk found out about a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// `linux.resources.pids.limit` is there and not null.
    pub(super) has_pids_limit: bool,
}

/// Refuses duplicate keys, arrays in the place of objects, and too deep nesting.
pub(super) fn document(text: &str) -> Result<Document> {
    let mut has_pids_limit = false;
    let mut array = None;
    walk(text, &mut |path, span| {
        let value = text.as_bytes().get(span.start);
        if value == Some(&b'[')
            && array.is_none()
            && OBJECTS.iter().any(|pattern| matches(path, pattern))
        {
            array = Some((Property::of(path), span.start));
        }
        if value != Some(&b'n') && matches(path, PIDS_LIMIT) {
            has_pids_limit = true;
        }
    })?;
    match array {
        Some((property, at)) => Err(defect(text, &property, "is an array, must be an object", at)),
        None => Ok(Document { has_pids_limit }),
    }
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

fn defect(text: &str, property: &Property, what: &str, offset: usize) -> Error {
    let (line, column) = line_column(text, offset);
    Error::new(
        ErrorKind::InvalidConfig,
        format!("{property}: {what} at line {line} column {column}"),
    )
    .with_property(property.to_string())
}

type Visit<'v, 'a> = dyn FnMut(&[Step<'a>], Range<usize>) + 'v;

fn walk<'a>(text: &'a str, visit: &mut Visit<'_, 'a>) -> Result<()> {
    let mut walk = Walk { text, at: 0, path: Vec::new(), visit };
    walk.value()
}

struct Walk<'a, 'v> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    visit: &'v mut Visit<'v, 'a>,
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self) -> Result<()> {
        self.space();
        let start = self.at;
        if self.path.len() > MAX_DEPTH {
            let outer = self.path.get(..4).unwrap_or_default();
            let what = format!("is nested deeper than {MAX_DEPTH} levels");
            return Err(defect(self.text, &Property::of(outer), &what, start));
        }
        match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => self.string(),
            _ => self.scalar(),
        }
        (self.visit)(&self.path, start..self.at);
        Ok(())
    }

    fn object(&mut self) -> Result<()> {
        let mut keys = Vec::new();
        self.at += 1;
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                self.at += 1;
                break;
            }
            let start = self.at;
            self.string();
            let key = self.key(start);
            keys.push((key.clone(), start));
            self.space();
            self.at += 1;
            self.path.push(Step::Name(key));
            self.value()?;
            self.path.pop();
            if !self.comma() {
                break;
            }
        }
        self.refuse_duplicates(keys)
    }

    fn array(&mut self) -> Result<()> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            self.path.push(Step::Index(index));
            self.value()?;
            self.path.pop();
            if !self.comma() {
                break;
            }
        }
        Ok(())
    }

    /// Go takes the last of equal keys, other readers the first: a checker in front of us and we could
    /// see two different configurations.
    fn refuse_duplicates(&self, mut keys: Vec<(Cow<'a, str>, usize)>) -> Result<()> {
        // Sorted because the number of annotations is the caller's: pairwise would be quadratic.
        keys.sort_unstable();
        for (one, two) in keys.iter().zip(keys.iter().skip(1)) {
            if one.0 == two.0 {
                let mut path = self.path.clone();
                path.push(Step::Name(two.0.clone()));
                let property = Property::of(&path);
                let what = format!("duplicate key {:?}", two.0);
                return Err(defect(self.text, &property, &what, two.1));
            }
        }
        Ok(())
    }

    /// The key that was written from `start` to here, with its escapes resolved.
    fn key(&self, start: usize) -> Cow<'a, str> {
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        let raw = quoted.trim_matches('"');
        if raw.contains('\\')
            && let Ok(key) = serde_json::from_str(quoted)
        {
            return Cow::Owned(key);
        }
        Cow::Borrowed(raw)
    }

    fn string(&mut self) {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            match rest.iter().position(|&byte| matches!(byte, b'"' | b'\\')) {
                Some(end) if rest.get(end) == Some(&b'"') => {
                    self.at += end + 1;
                    return;
                }
                Some(escape) => self.at += escape + 2,
                None => {
                    self.at = self.text.len();
                    return;
                }
            }
        }
    }

    fn scalar(&mut self) {
        while let Some(byte) = self.peek() {
            if matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace() {
                break;
            }
            self.at += 1;
        }
    }

    /// Steps over a comma, or over the bracket that ends the value.
    fn comma(&mut self) -> bool {
        self.space();
        let comma = self.peek() == Some(b',');
        self.at += 1;
        comma
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let error = document(text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
    }

    #[test]
    fn what_is_no_duplicate() {
        for text in [
            r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
            r#"{"a":"\"a\":1,","b":"{","c":"]\\"}"#,
            r"{}",
            r#" { "a" : [ ] , "b" : [ 1 , null , true ] } "#,
        ] {
            document(text).unwrap();
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
        ] {
            assert_eq!(document(text).unwrap_err().to_string(), expected);
        }
        document(r#"{"com.example":[[1],[2]],"process":{"args":[]}}"#).unwrap();
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
