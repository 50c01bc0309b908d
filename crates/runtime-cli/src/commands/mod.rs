//! The commands: a file each, with the definition of its command line and what it does.

mod create;
mod creation;
mod delete;
mod features;
mod kill;
mod list;
mod run;
mod spec;
mod start;
mod state;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, Parser};

use crate::args::{self, Globals, UsageError};
use crate::text;

/// What a command does. The type is the definition of its command line.
pub(crate) trait Execute: Parser {
    /// Does it.
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode>;
}

/// A command.
#[derive(Debug)]
pub(crate) struct Command {
    name: &'static str,
    /// Its command line.
    pub(crate) definition: fn() -> clap::Command,
    /// What it does.
    pub(crate) run: fn(&Globals, &ArgMatches) -> anyhow::Result<ExitCode>,
}

const COMMANDS: [Command; 9] = [
    command::<create::Create>("create"),
    command::<delete::Delete>("delete"),
    command::<features::Features>("features"),
    command::<kill::Kill>("kill"),
    command::<list::List>("list"),
    command::<run::Run>("run"),
    command::<spec::Spec>("spec"),
    command::<start::Start>("start"),
    command::<state::State>("state"),
];

const fn command<C: Execute>(name: &'static str) -> Command {
    Command {
        name,
        definition: C::command,
        run: run::<C>,
    }
}

fn run<C: Execute>(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    C::from_arg_matches(matches)?.execute(globals)
}

/// The command of this name, or an error with this exit code.
pub(crate) fn find(name: &OsStr, code: u8) -> Result<&'static Command, UsageError> {
    COMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| UsageError {
            message: format!("No help topic for '{}'", name.to_string_lossy()),
            help: String::new(),
            code,
        })
}

/// Prints the help of a command.
pub(crate) fn help(program: &str, topic: &OsStr) -> anyhow::Result<ExitCode> {
    let definition = (find(topic, 3)?.definition)();
    text::print(args::command_help(program, &definition).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The help of the program.
pub(crate) fn program_help(program: &str) -> String {
    let definitions: Vec<_> = COMMANDS
        .iter()
        .map(|command| (command.definition)())
        .collect();
    args::global_help(program, &Globals::command(), &definitions, &version())
}

/// The version, the commit and the version of the runtime-spec, on a line each.
pub(crate) fn version() -> String {
    format!(
        "{}\ncommit: {}\nspec: {}",
        env!("CARGO_PKG_VERSION"),
        option_env!("TARE_COMMIT").unwrap_or("unknown"),
        libcontainer::features::OCI_VERSION_MAX
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_sound_and_carry_the_names_they_are_found_by() {
        Globals::command().debug_assert();
        for command in &COMMANDS {
            let definition = (command.definition)();
            assert_eq!(definition.get_name(), command.name);
            assert!(definition.get_about().is_some(), "{}", command.name);
            definition.debug_assert();
        }
    }
}
