//! `tare run`: create, start, wait, delete.

use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::Context;
use libcontainer::Delete;

use super::creation::{Creation, Mode, or_delete, pid_of};
use crate::args::Globals;
use crate::signals::{self, Signals};
use crate::text;

/// create and run a container
///
/// The run command creates a container from a bundle and starts it. In the foreground it forwards signals
/// to the container's process, waits for it, deletes the container, and exits as the process did.
#[derive(Debug, clap::Parser)]
#[command(name = "run", disable_help_flag = true, verbatim_doc_comment, args_override_self = true)]
pub(crate) struct Run {
    #[command(flatten)]
    creation: Creation,
    /// detach from the container's process
    #[arg(long, short)]
    detach: bool,
    /// do not delete the container after it exits
    #[arg(long)]
    keep: bool,
    /// disable the use of the subreaper used to reap reparented processes
    #[arg(long)]
    no_subreaper: bool,
    #[arg(id = "container-id", required = true)]
    id: String,
}

impl super::Execute for Run {
    fn execute(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        self.run(globals).with_context(|| format!("{} run failed", globals.program))
    }
}

impl Run {
    fn run(&self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if !self.no_subreaper {
            nix::sys::prctl::set_child_subreaper(true)
                .map_err(text::errno)
                .context("prctl(PR_SET_CHILD_SUBREAPER)")?;
        }
        if self.detach {
            let (container, _) = self.creation.create(globals, &self.id, Mode::Detached)?;
            or_delete(&container, || Ok(container.start()?))?;
            return Ok(ExitCode::SUCCESS);
        }
        // Before there is a container, so that no signal can leave one behind.
        let signals = Signals::block()?;
        let (container, relay) = self.creation.create(globals, &self.id, Mode::Foreground)?;
        let (pid, ended) = or_delete(&container, || {
            let pid = pid_of(&container)?;
            let ended = container.pidfd()?;
            container.start()?;
            Ok((pid, ended))
        })?;
        let status = signals.forward_until(ended.as_fd(), &container, pid, relay);
        if !self.keep {
            // The process's exit code is what the caller is waiting for.
            match container.delete(Delete::Force) {
                Ok(warnings) => warnings.iter().for_each(|warning| log::warn!("{warning}")),
                Err(error) => log::error!("delete {}: {error}", self.id),
            }
        }
        Ok(ExitCode::from(signals::exit_code(status?)))
    }
}
