//! Where in `config.json` something stands, written as the runtime-spec writes it:
//! `linux.namespaces[2].path`, `linux.sysctl["net.ipv4.ip_forward"]`.

use std::borrow::Cow;
use std::fmt;

/// A place in `config.json`. It prints as a property path; [`Property::pointer`] is the same as a JSON
/// pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property(Vec<Step<'static>>);

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Name(Cow<'a, str>),
    Index(usize),
}

impl Property {
    /// The property at the end of dotted names such as `linux.namespaces`.
    pub(crate) fn at(names: &str) -> Self {
        Self(names.split('.').map(|name| Step::Name(Cow::Owned(name.to_owned()))).collect())
    }

    /// The place that a walk through the document has come to.
    pub(super) fn of(steps: &[Step<'_>]) -> Self {
        Self(
            steps
                .iter()
                .map(|step| match step {
                    Step::Name(name) => Step::Name(Cow::Owned(name.clone().into_owned())),
                    Step::Index(index) => Step::Index(*index),
                })
                .collect(),
        )
    }

    /// The element `index` of this array.
    pub(crate) fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The member `name` of this object.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.0.push(Step::Name(Cow::Owned(name.to_owned())));
        self
    }

    /// The place `inner` is this one, or one inside it.
    pub(super) fn contains(&self, inner: &Self) -> bool {
        inner.0.starts_with(&self.0)
    }

    /// Says of each index how it is to be changed; it gets what stands before the index, too.
    pub(super) fn map_indices(&mut self, change: impl Fn(&[Step<'_>], usize) -> usize) {
        for at in 0..self.0.len() {
            let (before, rest) = self.0.split_at_mut(at);
            if let Some(Step::Index(index)) = rest.first_mut() {
                *index = change(before, *index);
            }
        }
    }

    pub(super) fn steps(&self) -> &[Step<'static>] {
        &self.0
    }

    /// The place as a JSON pointer: `/linux/namespaces/2/path`.
    #[must_use]
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.0 {
            pointer.push('/');
            match step {
                Step::Name(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("config");
        }
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) if !is_word(name) => write!(f, "[{name:?}]")?,
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// Does the path fit a pattern of names, in which `*` stands for an index and `{}` for any name?
pub(super) fn matches(path: &[Step<'_>], pattern: &[&str]) -> bool {
    path.len() == pattern.len()
        && path.iter().zip(pattern).all(|(step, expected)| match step {
            Step::Name(name) => name == expected || *expected == "{}",
            Step::Index(_) => *expected == "*",
        })
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_two_notations() {
        for (property, path, pointer) in [
            (Property(Vec::new()), "config", ""),
            (Property::at("process.cwd"), "process.cwd", "/process/cwd"),
            (
                Property::at("mounts").index(3).name("destination"),
                "mounts[3].destination",
                "/mounts/3/destination",
            ),
            (
                Property::at("linux.sysctl").name("net.ipv4.ip_forward"),
                "linux.sysctl[\"net.ipv4.ip_forward\"]",
                "/linux/sysctl/net.ipv4.ip_forward",
            ),
            (
                Property::at("annotations").name("a/b~c"),
                "annotations[\"a/b~c\"]",
                "/annotations/a~1b~0c",
            ),
        ] {
            assert_eq!(property.to_string(), path);
            assert_eq!(property.pointer(), pointer);
        }
    }

    #[test]
    fn patterns() {
        let third = Property::at("mounts").index(3);
        for (property, pattern, expected) in [
            (&Property(Vec::new()), &[] as &[&str], true),
            (&third, &[], false),
            (&third, &["mounts", "*"], true),
            (&third, &["mounts"], false),
            (&third, &["mounts", "*", "options"], false),
            (&Property::at("mounts.x"), &["mounts", "*"], false),
            (&Property::at("mounts.x"), &["mounts", "{}"], true),
            (&third, &["mounts", "{}"], false),
        ] {
            assert_eq!(matches(property.steps(), pattern), expected, "{property} {pattern:?}");
        }
    }
}
