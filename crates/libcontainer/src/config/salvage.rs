//! What the parser refuses, and not only the first of it: what it stumbles over is told and taken out of
//! the JSON value, and the rest is parsed again.

use oci_spec::runtime::Spec;
use serde_json::Value;

use super::property::{Property, Step, matches};
use super::scan::{self, Defect, NOWHERE};
use super::{MAX_FINDINGS, one_line};

/// How much text is parsed for one configuration: of 16 MiB, not every defect is worth its time.
const BUDGET: usize = 4 << 20;

/// What the Go runtimes say about a word they don't know, for those who look for it.
const WORDS: &[(&[&str], &str)] = &[
    (&["process", "rlimits", "*", "type"], "wrong rlimit value"),
    (&["process", "scheduler", "policy"], "invalid scheduler policy"),
    (&["linux", "namespaces", "*", "type"], "namespace does not exist"),
    (&["linux", "devices", "*", "type"], "invalid device type"),
    (&["linux", "resources", "devices", "*", "type"], "invalid cgroup device type"),
];

/// What is put in the place of something required that is missing, so that what is beside it is looked at,
/// too.
const PLACEHOLDERS: &[(&str, &str)] =
    &[("cwd", "/"), ("destination", "/"), ("defaultAction", "SCMP_ACT_TRACE")];

/// What was taken out, or put in. Of an array, the elements behind have other indices since.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// The places in the document as it was when it was their turn.
    taken: Vec<Property>,
    /// The same places in the original document.
    originals: Vec<Property>,
}

impl Removed {
    /// Where in the document something is that has this place in what is left.
    pub(super) fn original(&self, place: &Property) -> Property {
        let mut place = place.clone();
        for taken in self.taken.iter().rev() {
            let Some((Step::Index(gone), array)) = taken.steps().split_last() else { continue };
            place.map_indices(|before, index| {
                index + usize::from(before == array && index >= *gone)
            });
        }
        place
    }

    /// The reverse, for what is still there.
    pub(super) fn now(&self, original: &Property) -> Property {
        let mut place = original.clone();
        for taken in &self.taken {
            let Some((Step::Index(gone), array)) = taken.steps().split_last() else { continue };
            place
                .map_indices(|before, index| index - usize::from(before == array && index > *gone));
        }
        place
    }

    /// Is this, or a part of it, not what the document has there?
    pub(super) fn concerns(&self, original: &Property) -> bool {
        self.originals.iter().any(|gone| gone.contains(original) || original.contains(gone))
    }

    /// Takes out what the parser stumbled over, or puts in what it misses; false if it can't be done.
    fn mend(&mut self, value: &mut Value, place: &Property, missing: Option<&str>) -> bool {
        let placeholder = PLACEHOLDERS.iter().find(|(name, _)| Some(*name) == missing);
        let Some((name, text)) = placeholder else { return self.take(value, place) };
        self.originals.push(self.original(place).name(name));
        let object = value_at(value, place.steps()).and_then(Value::as_object_mut);
        object.is_some_and(|object| object.insert((*name).into(), (*text).into()).is_none())
    }

    /// Takes something out; false for the whole document.
    fn take(&mut self, value: &mut Value, place: &Property) -> bool {
        let Some((last, holder)) = place.steps().split_last() else { return false };
        self.originals.push(self.original(place));
        self.taken.push(place.clone());
        match (value_at(value, holder), last) {
            (Some(Value::Object(members)), Step::Name(name)) => {
                members.shift_remove(&**name).is_some()
            }
            (Some(Value::Array(list)), Step::Index(at)) if *at < list.len() => {
                list.remove(*at);
                true
            }
            _ => false,
        }
    }
}

fn value_at<'v>(value: &'v mut Value, steps: &[Step<'_>]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Name(name) => value.get_mut(&**name),
        Step::Index(index) => value.get_mut(index),
    })
}

/// Parses what can be parsed. `defects` has arrays in the place of objects, which go first, and gets the
/// rest.
pub(super) fn parse(
    text: &str,
    mut value: Value,
    defects: &mut Vec<Defect>,
) -> (Option<Spec>, Removed) {
    let mut removed = Removed::default();
    // From behind, because what stands behind an element gets another index.
    if !defects.iter().rev().all(|array| removed.take(&mut value, &array.property)) {
        return (None, removed);
    }
    let mut budget = BUDGET;
    loop {
        let parsed = value.to_string();
        let error = match serde_json::from_str(&parsed) {
            Ok(spec) => return (Some(spec), removed),
            Err(error) => error,
        };
        if budget == 0 {
            let text = "the rest was not looked at".to_owned();
            defects.push(Defect { property: Property::of(&[]), text, at: NOWHERE });
            return (None, removed);
        }
        // Where a defect is, the original is searched for, with all its white space.
        let searched = parsed.len().max(text.len());
        budget = budget.saturating_sub(searched.max(BUDGET / MAX_FINDINGS));
        let at = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&at).unwrap_or(&message);
        let offset = scan::offset(&parsed, error.line(), error.column());
        let offset = offset + usize::from(is_before(&parsed, offset, message));
        let (place, span) = scan::innermost(&parsed, offset).unwrap_or((Property::of(&[]), 0..0));
        let missing = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`'));
        let property = removed.original(&place);
        let wanted = missing.map_or_else(|| property.clone(), |field| property.clone().name(field));
        // That something defective is not there any more is not another defect.
        if !removed.originals.contains(&wanted) && !defects.iter().any(|d| d.property == wanted) {
            let value = parsed.get(span).unwrap_or_default();
            let what = format!("{}{}", said_of(&property, value), one_line(message));
            let at = scan::locate(text, &property).map_or(0, |original| original.start);
            defects.push(Defect::new(property, &what, at));
        }
        if !removed.mend(&mut value, &place, missing) {
            return (None, removed);
        }
    }
}

/// Of a list or an object that should be something else, `serde_json` tells the byte before it.
fn is_before(parsed: &str, offset: usize, message: &str) -> bool {
    let wrong = ["invalid type: sequence", "invalid type: map"];
    wrong.iter().any(|wrong| message.starts_with(wrong))
        && matches!(
            parsed.as_bytes().get(offset..offset + 2),
            Some([b':' | b',' | b'[', b'[' | b'{'])
        )
}

/// The words for an unknown word.
fn said_of(property: &Property, value: &str) -> String {
    let said = WORDS.iter().find(|(pattern, _)| matches(property.steps(), pattern));
    said.map(|(_, said)| format!("{said}: {}: ", one_line(value.trim_matches('"'))))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut defects = Vec::new();
        parse(text, serde_json::from_str(text).unwrap(), &mut defects);
        defects.into_iter().map(|defect| defect.text).collect()
    }

    #[test]
    fn what_stands_behind_has_its_own_index() {
        let taken = ["a", "a", "b"].map(|list| Property::at(list).index(1)).to_vec();
        let removed = Removed { taken, originals: Vec::new() };
        for (now, original) in [("a", 0, 0), ("a", 1, 3), ("a", 2, 4), ("b", 1, 2), ("c", 1, 1)]
            .map(|(list, now, then)| {
                (Property::at(list).index(now), Property::at(list).index(then))
            })
        {
            assert_eq!(removed.original(&now), original);
            assert_eq!(removed.now(&original), now);
            assert_eq!(removed.original(&now.name("x").index(1)), original.name("x").index(1));
        }
    }

    #[test]
    fn a_consequence_is_not_told() {
        for (text, expected) in [
            (
                r#"{"linux":{"namespaces":[{"type":5},{"type":6}]}}"#,
                &["linux.namespaces[0].type", "linux.namespaces[1].type"] as &[&str],
            ),
            (r#"{"process":{"cwd":1,"user":{"uid":"x"}}}"#, &["process.cwd", "process.user.uid"]),
            (r#"{"process":{"user":{"uid":"x"}}}"#, &["process.user.uid", "process"]),
            (r#"{"hooks":{"poststop":[{"path":5}]}}"#, &["hooks.poststop[0].path"]),
            (r#"{"hooks":{"poststop":[{"path":{}}]}}"#, &["hooks.poststop[0].path"]),
            (
                r#"{"ociVersion":[[]],"process":{"cwd":"/","user":{},"args":[[],{},"a",{}]}}"#,
                &["ociVersion", "process.args[0]", "process.args[1]", "process.args[3]"],
            ),
            (r#"{"linux":{"maskedPaths":{"a":[]}}}"#, &["linux.maskedPaths"]),
        ] {
            let told = told(text);
            let places: Vec<&str> = told.iter().filter_map(|t| t.split(": ").next()).collect();
            assert_eq!(places, expected, "{text}");
        }
        assert_eq!(told("5").len(), 1, "nothing is left of it");
    }

    #[test]
    fn a_huge_text_full_of_defects_ends() {
        let text = format!(
            r#"{{"process":{{"cwd":"/","user":{{}},"args":[{}1]}}}}"#,
            "1,".repeat(1 << 19)
        );
        let told = told(&text);
        assert!((2..16).contains(&told.len()), "{}", told.len());
        assert_eq!(told.last().unwrap(), "the rest was not looked at");
        let text =
            format!(r#"{{"process":{{"cwd":"/","user":{{}},"args":[{}1]}}}}"#, "1,".repeat(99));
        assert_eq!(super::tests::told(&text).len(), 100);
    }

    #[test]
    fn white_space_is_not_free() {
        let spaced = |count: usize| {
            let args = "1,".repeat(count);
            let space = " ".repeat(1 << 20);
            told(&format!(
                r#"{{"process":{{"cwd":"/","user":{{}},"args":[{}]}}{space}}}"#,
                args.trim_end_matches(',')
            ))
        };
        let told = spaced(998);
        assert!((2..=5).contains(&told.len()), "{}", told.len());
        assert_eq!(told.last().unwrap(), "the rest was not looked at");
        // What used up the budget was the last one.
        assert_eq!(spaced(4).len(), 4);
    }
}
