//! `tare features`: what the runtime can do.

use std::process::ExitCode;

use libcontainer::HostFacts;

use crate::args::Globals;
use crate::text;

/// show the enabled features
#[derive(Debug, clap::Parser)]
#[command(name = "features", disable_help_flag = true)]
pub(crate) struct Features {}

impl super::Execute for Features {
    fn execute(self, _globals: &Globals) -> anyhow::Result<ExitCode> {
        let features = libcontainer::features::Features::new(&HostFacts::probe()?);
        let mut json = text::json(&features, b"    ")?;
        json.push(b'\n');
        text::print(&json)?;
        Ok(ExitCode::SUCCESS)
    }
}
