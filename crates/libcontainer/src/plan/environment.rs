//! The environment and the program of the user's process.

/// The environment with each name once: the last value counts, at the place of the first.
pub(super) fn without_duplicates(environment: &[String]) -> Vec<&str> {
    let mut unique: Vec<&str> = Vec::with_capacity(environment.len());
    let mut places = std::collections::HashMap::with_capacity(environment.len());
    for entry in environment {
        let place = places.entry(name(entry)).or_insert(unique.len());
        match unique.get_mut(*place) {
            Some(earlier) => *earlier = entry,
            None => unique.push(entry),
        }
    }
    unique
}

/// The value of a variable.
pub(super) fn value<'a>(environment: &[&'a str], of: &str) -> Option<&'a str> {
    environment.iter().find(|entry| name(entry) == of)?.split_once('=').map(|(_, value)| value)
}

fn name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Where the program may lie: a name with a slash is the path itself, any other is looked for in the
/// directories of `PATH`. Relative ones are left out: they would make what runs depend on the working
/// directory.
pub(super) fn candidates(program: &str, path: Option<&str>) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_string()];
    }
    if program.is_empty() {
        return Vec::new();
    }
    let directories = path.unwrap_or("").split(':').filter(|directory| directory.starts_with('/'));
    directories.map(|directory| format!("{}/{program}", directory.trim_end_matches('/'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts() {
        let environment: Vec<String> =
            ["A=1", "B=2", "A=3", "C=", "B=4=5"].iter().map(ToString::to_string).collect();
        let unique = without_duplicates(&environment);
        assert_eq!(unique, ["A=3", "B=4=5", "C="]);
        assert_eq!(value(&unique, "B"), Some("4=5"));
        assert_eq!(value(&unique, "C"), Some(""));
        assert_eq!(value(&unique, "D"), None);
    }

    #[test]
    fn programs_are_looked_for_in_path() {
        let path = Some("/usr/bin/:.:/bin::sbin");
        for (program, expected) in [
            ("sh", vec!["/usr/bin/sh", "/bin/sh"]),
            ("/bin/sh", vec!["/bin/sh"]),
            ("./run", vec!["./run"]),
            ("", vec![]),
        ] {
            assert_eq!(candidates(program, path), expected, "{program}");
        }
        assert!(candidates("sh", None).is_empty());
    }
}
