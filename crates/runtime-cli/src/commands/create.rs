//! `tare create`: a container at the gate before the user's process.

use std::process::ExitCode;

use anyhow::Context;

use super::creation::{Creation, Mode};
use crate::args::Globals;

/// create a container
///
/// The create command makes the environment of a container from a bundle and leaves it before its
/// process, which the start command then executes. Containers have names of their own on a host.
#[derive(Debug, clap::Parser)]
#[command(
    name = "create",
    disable_help_flag = true,
    verbatim_doc_comment,
    args_override_self = true
)]
pub(crate) struct Create {
    #[command(flatten)]
    creation: Creation,
    #[arg(id = "container-id", required = true)]
    id: String,
}

impl super::Execute for Create {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        self.creation
            .create(globals, &self.id, Mode::Detached)
            .with_context(|| format!("{} create failed", globals.program))?;
        Ok(ExitCode::SUCCESS)
    }
}
