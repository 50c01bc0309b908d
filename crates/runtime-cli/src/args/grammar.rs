//! The grammar of Go's `flag` package (<https://pkg.go.dev/flag#hdr-Command_line_flag_syntax>).
//!
//! One dash is as good as two, `-f=v` as good as `-f v`; a flag that wants a value takes whatever follows;
//! a boolean takes one only after `=`; letters are never bundled; the last of repeated flags wins; `--`
//! ends the flags. Beyond Go, flags may stand between positionals, unless the command keeps those.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};

/// Why a command line can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misuse {
    /// A flag, in the words of Go.
    Flag(String),
    /// The number of positionals: `"state" requires exactly 1 argument(s)`.
    Count(String),
}

/// Where a command's flags end, apart from `--`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlagsEnd {
    /// At `--` only.
    Never,
    /// At the first argument that is not a flag: what follows may begin with a dash.
    FirstPositional,
}

impl FlagsEnd {
    /// A command says so by a positional that allows hyphens.
    pub(crate) fn of(definition: &Command) -> Self {
        if definition.get_positionals().any(Arg::is_allow_hyphen_values_set) {
            Self::FirstPositional
        } else {
            Self::Never
        }
    }
}

/// A command line taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The flags by their long names, with the value of those that take one.
    pub(crate) flags: Vec<(String, Option<OsString>)>,
    /// Everything else.
    pub(crate) positionals: Vec<OsString>,
    /// Help was asked for.
    pub(crate) help: bool,
}

impl Parsed {
    /// The same as clap wants it.
    pub(crate) fn into_arguments(self) -> Vec<OsString> {
        let flags = self.flags.into_iter().map(|(name, value)| {
            let mut argument = OsString::from(format!("--{name}"));
            if let Some(value) = value {
                argument.push("=");
                argument.push(value);
            }
            argument
        });
        flags.chain([OsString::from("--")]).chain(self.positionals).collect()
    }

    /// Drops what an earlier occurrence of the flag has said, unless the flag collects values.
    fn forget(&mut self, flag: &Arg, name: &str) {
        if !matches!(flag.get_action(), ArgAction::Append) {
            self.flags.retain(|(earlier, _)| earlier != name);
        }
    }
}

/// Takes a command line apart.
pub(crate) fn parse(
    definition: &Command,
    end: FlagsEnd,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Parsed, Misuse> {
    let mut arguments = arguments;
    let mut parsed = Parsed::default();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            parsed.positionals.extend(arguments);
            break;
        }
        let Some((name, value)) = split(&argument)? else {
            parsed.positionals.push(argument);
            if end == FlagsEnd::FirstPositional {
                parsed.positionals.extend(arguments);
                break;
            }
            continue;
        };
        if name == "help" || name == "h" {
            parsed.help = boolean(&name, value.as_deref())?;
            continue;
        }
        let flag = find(definition, &name)?;
        let long = flag.get_long().unwrap_or(&name).to_string();
        parsed.forget(flag, &long);
        if flag.get_action().takes_values() {
            let value = value
                .or_else(|| arguments.next())
                .ok_or_else(|| Misuse::Flag(format!("flag needs an argument: --{name}")))?;
            parsed.flags.push((long, Some(value)));
        } else if boolean(&name, value.as_deref())? {
            parsed.flags.push((long, None));
        }
    }
    Ok(parsed)
}

/// The name and the value of a flag; nothing if the argument isn't one, which a lone dash isn't either.
fn split(argument: &OsStr) -> Result<Option<(String, Option<OsString>)>, Misuse> {
    let bytes = argument.as_bytes();
    let body = match bytes {
        [b'-', b'-', body @ ..] | [b'-', body @ ..] if !body.is_empty() => body,
        _ => return Ok(None),
    };
    if matches!(body[0], b'-' | b'=') {
        let text = argument.to_string_lossy();
        return Err(Misuse::Flag(format!("bad flag syntax: {text}")));
    }
    let (name, value) = match body.iter().position(|&byte| byte == b'=') {
        Some(at) => (&body[..at], Some(OsString::from_vec(body[at + 1..].to_vec()))),
        None => (body, None),
    };
    Ok(Some((String::from_utf8_lossy(name).into_owned(), value)))
}

fn find<'a>(definition: &'a Command, name: &str) -> Result<&'a Arg, Misuse> {
    let is_called = |flag: &&Arg| {
        let short = flag.get_short().is_some_and(|short| {
            let mut letters = name.chars();
            letters.next() == Some(short) && letters.next().is_none()
        });
        short || flag.get_long() == Some(name)
    };
    definition
        .get_arguments()
        .find(is_called)
        .ok_or_else(|| Misuse::Flag(format!("flag provided but not defined: -{name}")))
}

fn boolean(name: &str, value: Option<&OsStr>) -> Result<bool, Misuse> {
    let Some(value) = value else { return Ok(true) };
    parse_bool(value).ok_or_else(|| {
        let value = value.to_string_lossy();
        Misuse::Flag(format!("invalid boolean value {value:?} for -{name}: parse error"))
    })
}

/// A boolean as Go's strconv.ParseBool reads it.
pub(crate) fn parse_bool(text: &OsStr) -> Option<bool> {
    match text.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// Compares the number of positionals with what the definition asks for.
pub(crate) fn check_count(definition: &Command, count: usize) -> Result<(), Misuse> {
    let most = definition.get_positionals().count();
    let least =
        definition.get_positionals().filter(|positional| positional.is_required_set()).count();
    let wanted = match (least, most) {
        (least, most) if (least..=most).contains(&count) => return Ok(()),
        (least, most) if least == most => format!("exactly {most} argument(s)"),
        (least, _) if count < least => format!("a minimum of {least} argument(s)"),
        (_, most) => format!("a maximum of {most} argument(s)"),
    };
    let name = definition.get_name();
    Err(Misuse::Count(format!("\"{name}\" requires {wanted}")))
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
