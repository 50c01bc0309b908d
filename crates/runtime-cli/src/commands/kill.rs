//! `tare kill`: a signal for a container.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::anyhow;
use libcontainer::ErrorKind;
use nix::sys::signal::Signal;

use crate::args::Globals;
use crate::state_root;

/// kill sends the specified signal (default: SIGTERM) to the container's init process
///
/// The signal is a number or a name: 9, KILL, SIGKILL.
#[derive(Debug, clap::Parser)]
#[command(name = "kill", disable_help_flag = true, verbatim_doc_comment, args_override_self = true)]
pub(crate) struct Kill {
    /// do not fail if the container isn't running
    #[arg(long, short)]
    all: bool,
    #[arg(id = "container-id", required = true)]
    id: String,
    #[arg(id = "signal", allow_hyphen_values = true)]
    signal: Option<String>,
}

impl super::Execute for Kill {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let container = state_root::runtime(globals)?.container(&self.id)?;
        let signal = self.signal.as_deref().filter(|signal| !signal.is_empty());
        let killed = container.kill(number(signal.unwrap_or("SIGTERM"))?);
        match killed {
            // As in runc: a SIGKILL goes to all processes anyway where they would be left.
            Err(error) if self.all && error.kind() == ErrorKind::InvalidState => {}
            killed => killed?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The number of a signal. Whether the kernel has that number, it says itself.
fn number(text: &str) -> anyhow::Result<i32> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let signal = Signal::from_str(&format!("SIG{name}"));
    signal.map(|signal| signal as i32).map_err(|_errno| anyhow!("unknown signal {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_numbers_or_names() {
        for (text, expected) in [
            ("0", 0),
            ("9", 9),
            ("64", 64),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("kill", 9),
            ("SigTerm", 15),
            ("winch", 28),
            ("SYS", 31),
        ] {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        for text in ["FOO", "SIGRTMIN+1", "SIG", "SIGSIGKILL", "9x", " 9"] {
            let error = number(text).unwrap_err();
            assert_eq!(error.to_string(), format!("unknown signal \"{text}\""));
        }
    }
}
