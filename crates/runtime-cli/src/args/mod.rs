//! Command lines: the grammar of Go's `flag` package, which the callers of runc rely on, brought into the
//! form that clap reads.

mod globals;
mod grammar;
mod usage;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue};

pub(crate) use globals::Globals;
pub(crate) use grammar::{Misuse, Parsed, parse_bool};
pub(crate) use usage::{UsageError, command_help, global_help};

/// What a command line asks of a program or one of its commands.
#[derive(Debug)]
pub(crate) enum Request<T> {
    /// To say how it is used.
    Help,
    /// This.
    Run(T),
}

/// Reads the global options. The rest, which begins with the name of a command, comes back unread.
pub(crate) fn read_globals(
    arguments: impl Iterator<Item = OsString>,
) -> Result<Request<(Globals, Vec<OsString>)>, Misuse> {
    let definition = <Globals as clap::CommandFactory>::command();
    let parsed = grammar::parse(&definition, grammar::FlagsEnd::FirstPositional, arguments)?;
    if parsed.help {
        return Ok(Request::Help);
    }
    let rest = parsed.positionals.clone();
    let flags_only = Parsed { positionals: Vec::new(), ..parsed };
    let matches = read(definition, flags_only)?;
    let globals = <Globals as clap::FromArgMatches>::from_arg_matches(&matches)
        .map_err(|error| invalid_value(&error))?;
    Ok(Request::Run((globals, rest)))
}

/// Reads the arguments of one command.
pub(crate) fn read_command(
    definition: clap::Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Request<ArgMatches>, Misuse> {
    let end = grammar::FlagsEnd::of(&definition);
    let parsed = grammar::parse(&definition, end, arguments)?;
    if parsed.help {
        return Ok(Request::Help);
    }
    grammar::check_count(&definition, parsed.positionals.len())?;
    read(definition, parsed).map(Request::Run)
}

fn read(definition: clap::Command, parsed: Parsed) -> Result<ArgMatches, Misuse> {
    definition
        .no_binary_name(true)
        .try_get_matches_from(parsed.into_arguments())
        .map_err(|error| invalid_value(&error))
}

/// After the pass over the grammar the one thing that clap can object to is the value of a flag.
fn invalid_value(error: &clap::Error) -> Misuse {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) {
        (Some(flag), Some(value)) if flag.starts_with('-') => {
            let name = flag.trim_start_matches('-');
            let name = name.split([' ', '=']).next().unwrap_or(name);
            Misuse::Flag(format!("invalid value {value:?} for flag -{name}: parse error"))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Misuse::Flag(first.trim_start_matches("error: ").to_string())
        }
    }
}

/// The value of a flag, where an empty one means that the flag was not given.
pub(crate) fn given(value: Option<&OsString>) -> Option<&OsStr> {
    value.map(OsString::as_os_str).filter(|v| !v.is_empty())
}

/// An absolute path without `.` and `..`, by its letters alone: the file system is not asked.
pub(crate) fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute_by_their_letters() {
        for (path, clean) in [
            ("/", "/"),
            ("/a//b/./c/", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/../..", "/"),
            ("/a/..", "/"),
        ] {
            assert_eq!(absolute(Path::new(path)).unwrap(), Path::new(clean), "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("a/../b")).unwrap(), here.join("b"));
    }

    #[test]
    fn an_empty_value_is_none() {
        assert_eq!(given(None), None);
        assert_eq!(given(Some(&OsString::new())), None);
        assert_eq!(given(Some(&OsString::from("x"))), Some(OsStr::new("x")));
    }
}
