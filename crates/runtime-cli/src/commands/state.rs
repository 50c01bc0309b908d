//! `tare state`: what a container is doing.

use std::process::ExitCode;

use crate::args::Globals;
use crate::state_json::StateJson;
use crate::{state_root, text};

/// output the state of a container
#[derive(Debug, clap::Parser)]
#[command(name = "state", disable_help_flag = true)]
pub(crate) struct State {
    #[arg(id = "container-id", required = true)]
    id: String,
}

impl super::Execute for State {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let state = state_root::runtime(globals)?.container(&self.id)?.state()?;
        // runc fills in the owner in lists only.
        text::print(&text::json(&StateJson::new(&state, String::new()), b"  ")?)?;
        Ok(ExitCode::SUCCESS)
    }
}
