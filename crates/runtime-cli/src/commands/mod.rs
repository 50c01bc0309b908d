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
    Command { name, definition: C::command, run: run::<C> }
}

fn run<C: Execute>(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    C::from_arg_matches(matches)?.execute(globals)
}

/// The command of this name, or an error with this exit code.
pub(crate) fn find(name: &OsStr, code: u8) -> Result<&'static Command, UsageError> {
    COMMANDS.iter().find(|command| command.name == name).ok_or_else(|| UsageError {
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
    let definitions: Vec<_> = COMMANDS.iter().map(|command| (command.definition)()).collect();
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
    use std::ffi::OsString;

    use clap::parser::ValueSource;

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

    /// What a command line comes to: the globals that matter, the command, and what it was given.
    fn understand(line: &str) -> String {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        let Ok(args::Request::Run((globals, rest))) = args::read_globals(words.map(Into::into))
        else {
            return "not understood".into();
        };
        let mut rest = rest.into_iter();
        let command = find(&rest.next().unwrap(), 3).unwrap();
        let Ok(args::Request::Run(matches)) = args::read_command((command.definition)(), rest)
        else {
            return "command not understood".into();
        };
        let text = |value: Option<OsString>| value.unwrap_or_default().into_string().unwrap();
        let mut said = vec![text(globals.root), text(globals.log), text(globals.log_format)];
        said.extend(globals.systemd_cgroup.then(|| "systemd".into()));
        said.extend(globals.debug.then(|| "debug".into()));
        said.push(command.name.into());
        for id in matches.ids() {
            let id = id.as_str();
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                let values = matches.get_raw(id).into_iter().flatten();
                let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
                said.push(format!("{id}={}", values.join(",")));
            }
        }
        // Groups, which flattening makes, say nothing.
        said.retain(|word| !word.is_empty() && !word.starts_with(char::is_uppercase));
        said.sort();
        said.join(" ")
    }

    /// As container managers call their runtime, and what that means.
    const INVOCATIONS: &[(&str, &str)] = &[
        // containerd's shim
        (
            "--root /r --log /l --log-format json create --bundle /b --pid-file /b/p --console-socket /t/pty.sock --no-pivot --no-new-keyring ID",
            "/l /r bundle=/b console_socket=/t/pty.sock container-id=ID create json no_new_keyring=true no_pivot=true pid_file=/b/p",
        ),
        (
            "--root /r --debug --log /l --log-format json --systemd-cgroup --rootless=true start ID",
            "/l /r container-id=ID debug json start systemd",
        ),
        (
            "--root /r --log /l --log-format json kill --all ID 9",
            "/l /r all=true container-id=ID json kill signal=9",
        ),
        (
            "--root /r --log /l --log-format json delete --force ID",
            "/l /r container-id=ID delete force=true json",
        ),
        ("--root /r --log /l --log-format json list --format=json", "/l /r format=json json list"),
        // conmon
        (
            "--systemd-cgroup --root=/r create --bundle /b --pid-file /p --preserve-fds 2 --console-socket /c ID",
            "/r bundle=/b console_socket=/c container-id=ID create pid_file=/p preserve_fds=2 systemd",
        ),
        // podman, and CRI-O
        ("kill ID 15", "container-id=ID kill signal=15"),
        ("--log-format=json --log=/l start ID", "/l container-id=ID json start"),
        (
            "--root /r --systemd-cgroup kill -a ID 9",
            "/r all=true container-id=ID kill signal=9 systemd",
        ),
        // conmon-rs gives global options twice
        (
            "--root=/q --systemd-cgroup --root=/r --systemd-cgroup create --bundle /b --pid-file /p --console-socket=/c ID",
            "/r bundle=/b console_socket=/c container-id=ID create pid_file=/p systemd",
        ),
        // BuildKit
        (
            "--log /l --log-format json run --bundle /b --no-pivot --keep ID",
            "/l bundle=/b container-id=ID json keep=true no_pivot=true run",
        ),
        // runtime-tools
        ("create --bundle /b ID", "bundle=/b container-id=ID create"),
        ("create ID", "container-id=ID create"),
        ("state ID", "container-id=ID state"),
        ("kill ID SIGKILL", "container-id=ID kill signal=SIGKILL"),
        // the grammar's odd corners
        (
            "-root /r run -no-subreaper -d -- -x",
            "/r container-id=-x detach=true no_subreaper=true run",
        ),
        ("create --console-socket '' ID", "console_socket= container-id=ID create"),
        ("create ID --bundle /b", "bundle=/b container-id=ID create"),
        ("kill ID -9", "container-id=ID kill signal=-9"),
        ("--rootless=maybe list", "list"),
        ("create --preserve-fds -1 ID", "command not understood"),
    ];

    #[test]
    fn what_container_managers_send_is_understood() {
        for &(line, understood) in INVOCATIONS {
            assert_eq!(understand(line), understood, "{line}");
        }
    }
}
