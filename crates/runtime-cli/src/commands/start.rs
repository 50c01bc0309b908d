//! `tare start`: the user's process of a created container.

use std::process::ExitCode;

use crate::args::Globals;
use crate::state_root;

/// executes the user defined process in a created container
#[derive(Debug, clap::Parser)]
#[command(name = "start", disable_help_flag = true)]
pub(crate) struct Start {
    #[arg(id = "container-id", required = true)]
    id: String,
}

impl super::Execute for Start {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        state_root::runtime(globals)?.container(&self.id)?.start()?;
        Ok(ExitCode::SUCCESS)
    }
}
