//! How the program and its commands are used, in the layout that the tests of runc expect: `NAME:` and
//! the program's name come first. Generated from the definitions that the command line is read with.

use std::fmt::{self, Write};

use clap::{Arg, Command};

/// What the program is, under its name.
const DESCRIPTION: &str = "\
tare turns OCI bundles into running containers. A bundle is a directory with a
configuration, \"config.json\", and the root filesystem that it names.

To run a new container:

    # tare run -b <bundle> <container-id>";

/// A command line that can't be read: the message, and how it should have been written.
#[derive(Debug)]
pub(crate) struct UsageError {
    /// One line.
    pub(crate) message: String,
    /// What goes to the standard output before it.
    pub(crate) help: String,
    /// The exit code.
    pub(crate) code: u8,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// The help of the whole program.
pub(crate) fn global_help(
    program: &str,
    globals: &Command,
    commands: &[Command],
    version: &str,
) -> String {
    let mut rows: Vec<_> =
        commands.iter().map(|command| (command.get_name().to_string(), about(command))).collect();
    rows.push(("help, h".into(), "show a list of commands, or help for one command".into()));
    let mut text = format!(
        "NAME:\n   {program} - {}\n\n{DESCRIPTION}\n\nUSAGE:\n   {program} [global options] command \
         [command options] [arguments...]\n\nVERSION:\n   {version}\n\nCOMMANDS:\n",
        about(globals),
    );
    columns(&mut text, &rows);
    text.push_str("\nGLOBAL OPTIONS:\n");
    columns(&mut text, &options(globals));
    text
}

/// The help of a command.
pub(crate) fn command_help(program: &str, command: &Command) -> String {
    let name = command.get_name();
    let mut text = format!(
        "NAME:\n   {program} {name} - {}\n\nUSAGE:\n   {program} {name} [command options]",
        about(command)
    );
    for positional in command.get_positionals() {
        let id = positional.get_id();
        let (open, close) = if positional.is_required_set() { ('<', '>') } else { ('[', ']') };
        // Writing to a String does not fail.
        let _ = write!(text, " {open}{id}{close}");
    }
    text.push('\n');
    // clap has the one line that stands above in the long description too.
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    if let Some(description) = long.strip_prefix(&about(command)) {
        let _ = write!(text, "\nDESCRIPTION:\n   {}\n", description.trim());
    }
    text.push_str("\nOPTIONS:\n");
    columns(&mut text, &options(command));
    text
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn options(command: &Command) -> Vec<(String, String)> {
    let flags = command.get_arguments().filter(|flag| !flag.is_positional() && !flag.is_hide_set());
    let mut rows: Vec<_> = flags
        .map(|flag| {
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            (spelling(flag), help)
        })
        .collect();
    rows.push(("--help, -h".into(), "show help".into()));
    rows
}

/// `--bundle value, -b value`.
fn spelling(flag: &Arg) -> String {
    let value = if flag.get_action().takes_values() { " value" } else { "" };
    let long = flag.get_long().map(|long| format!("--{long}{value}"));
    let short = flag.get_short().map(|short| format!("-{short}{value}"));
    long.into_iter().chain(short).collect::<Vec<_>>().join(", ")
}

fn columns(text: &mut String, rows: &[(String, String)]) {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    for (left, right) in rows {
        // Writing to a String does not fail.
        let _ = writeln!(text, "   {left:width$}  {right}");
    }
}
