//! A walk over the values of `config.json`, in its text.
//!
//! The text was accepted by the parser before, so the walk need not check the syntax; it only must never
//! panic. Its own limit is the depth: the parser skips unknown properties of any depth.

use std::borrow::Cow;
use std::ops::Range;

use super::MAX_FINDINGS;
use super::property::{Property, Step};
use super::scan::{Defect, line_column};
use crate::error::{Error, ErrorKind, Result};

/// As deep as `serde_json` goes into what it doesn't skip.
const MAX_DEPTH: usize = 128;

type Visit<'v, 'a> = dyn FnMut(&[Step<'a>], Range<usize>) + 'v;

/// Shows each value, the inner ones before the outer ones. Returns the duplicate keys.
pub(super) fn walk<'a>(text: &'a str, visit: &mut Visit<'_, 'a>) -> Result<Vec<Defect>> {
    let mut walk = Walk { text, at: 0, path: Vec::new(), visit, duplicates: Vec::new() };
    walk.value()?;
    Ok(walk.duplicates)
}

struct Walk<'a, 'v> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    visit: &'v mut Visit<'v, 'a>,
    duplicates: Vec<Defect>,
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self) -> Result<()> {
        self.space();
        let start = self.at;
        if self.path.len() > MAX_DEPTH {
            let outer = self.path.get(..4).unwrap_or_default();
            let what = format!("is nested deeper than {MAX_DEPTH} levels");
            let (property, (line, column)) = (Property::of(outer), line_column(self.text, start));
            let text = format!("{property}: {what} at line {line} column {column}");
            let error = Error::new(ErrorKind::InvalidConfig, text);
            return Err(error.with_property(property.to_string()));
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
        self.find_duplicates(keys);
        Ok(())
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
    fn find_duplicates(&mut self, mut keys: Vec<(Cow<'a, str>, usize)>) {
        // Sorted because the number of annotations is the caller's: pairwise would be quadratic.
        keys.sort_unstable();
        for (one, two) in keys.iter().zip(keys.iter().skip(1)) {
            if one.0 == two.0 && self.duplicates.len() < MAX_FINDINGS {
                let property = Property::of(&self.path).name(&two.0);
                let what = format!("duplicate key {:?}", two.0);
                self.duplicates.push(Defect::new(property, &what, two.1));
            }
        }
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
