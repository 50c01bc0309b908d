//! `tare delete`: the end of a container.

use std::process::ExitCode;

use crate::args::Globals;
use crate::state_root;

/// delete any resources held by the container often used with detached container
#[derive(Debug, clap::Parser)]
#[command(name = "delete", disable_help_flag = true, args_override_self = true)]
pub(crate) struct Delete {
    /// forcibly deletes the container if it is still running (uses SIGKILL)
    #[arg(long, short)]
    force: bool,
    #[arg(id = "container-id", required = true)]
    id: String,
}

impl super::Execute for Delete {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let which =
            if self.force { libcontainer::Delete::Force } else { libcontainer::Delete::Stopped };
        for warning in state_root::runtime(globals)?.delete(&self.id, which)? {
            log::warn!("{warning}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
