//! What is done with the container of a bundle, by the runtime under test.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bundle::Bundle;
use crate::outcome::{Outcome, finish_into, temporary, text, until};
use crate::process::Process;
use crate::runtime::Under;

impl Bundle {
    /// The runtime with its state root and these arguments, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Under::test().command();
        command.arg("--root").arg(self.state_root()).args(args).stdin(Stdio::null());
        command
    }

    /// The same for `create` and `run`, of this bundle and id.
    pub fn command_for_bundle(&self, args: &[&str]) -> Command {
        self.write();
        let mut command = self.command(args);
        command.arg("--bundle").arg(self.directory()).arg(&self.id);
        command
    }

    /// The state root.
    pub fn state_root(&self) -> PathBuf {
        self.directory().join("state")
    }

    /// Runs the runtime with these arguments.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Outcome {
        self.finish(&mut self.command(args))
    }

    /// Runs a command, reaping the container's process meanwhile as its caller would.
    #[track_caller]
    pub fn finish(&self, command: &mut Command) -> Outcome {
        finish_into(command, &temporary(), &temporary(), &mut || self.reap())
    }

    pub(crate) fn reap(&self) {
        for (pid, code) in self.processes.borrow_mut().iter_mut().filter(|(_, code)| code.is_none())
        {
            *code = match waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
                // Not a child yet, while the runtime is still its parent.
                Ok(_) | Err(_) => None,
            };
        }
    }

    /// Its processes are gone: their pids will be those of somebody else.
    pub fn forget_processes(&self) {
        self.processes.borrow_mut().clear();
    }

    /// Runs the container in the foreground.
    #[track_caller]
    pub fn run(&self) -> Outcome {
        self.finish(&mut self.command_for_bundle(&["run"]))
    }

    /// Runs the container in the foreground and asserts that it failed and left nothing.
    #[track_caller]
    pub fn run_fails(&self) -> String {
        let text = self.run().fails();
        assert_eq!(self.leftovers(), Vec::<String>::new());
        text
    }

    /// Creates the container. What it writes later is [`Bundle::output`].
    #[track_caller]
    pub fn create(&self) -> Outcome {
        self.create_by(&mut self.command_for_bundle(&["create"]))
    }

    /// Creates the container by a command made with [`Bundle::command_for_bundle`].
    #[track_caller]
    pub fn create_by(&self, command: &mut Command) -> Outcome {
        let outcome = {
            let streams = self.streams.borrow();
            finish_into(command, &streams.0, &streams.1, &mut || self.reap())
        };
        if outcome.code == 0 {
            self.created.set(true);
            self.process();
        }
        outcome
    }

    /// Says that something was created by other means, to be deleted at the end.
    pub fn deleted_at_end(&self) {
        self.created.set(true);
    }

    /// Creates the container and returns its first process.
    #[track_caller]
    pub fn created(&self) -> Process {
        self.create().ok();
        self.process()
    }

    /// Creates and starts the container and returns its first process, which executes `sleep`.
    #[track_caller]
    pub fn started(&self) -> Process {
        let process = self.created();
        self.start().ok();
        // The peers return from start before the execve.
        assert!(
            until(|| process.file("cmdline").starts_with("sleep\0")),
            "{}",
            process.file("cmdline")
        );
        process
    }

    /// Starts the container.
    #[track_caller]
    pub fn start(&self) -> Outcome {
        self.call(&["start", &self.id])
    }

    /// Sends a signal.
    #[track_caller]
    pub fn kill(&self, signal: &str) -> Outcome {
        self.call(&["kill", &self.id, signal])
    }

    /// Deletes the container.
    #[track_caller]
    pub fn delete(&self) -> Outcome {
        self.call(&["delete", &self.id])
    }

    /// Deletes the container, whatever it is doing.
    #[track_caller]
    pub fn delete_force(&self) -> Outcome {
        self.call(&["delete", "--force", &self.id])
    }

    /// The state that the runtime prints.
    #[track_caller]
    pub fn state(&self) -> Value {
        let text = self.call(&["state", &self.id]).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The status that the runtime prints.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a string").to_string()
    }

    /// The first process of the container.
    #[track_caller]
    pub fn process(&self) -> Process {
        let pid = self.state()["pid"].as_i64().expect("a number");
        assert!(pid > 0, "no process");
        let pid = i32::try_from(pid).expect("a pid");
        self.processes.borrow_mut().entry(pid).or_default();
        Process(pid)
    }

    /// What the created container has written to its standard output and error.
    pub fn output(&self) -> (String, String) {
        let streams = self.streams.borrow();
        (text(&streams.0), text(&streams.1))
    }

    /// Waits for the end of the created container's first process, as its new parent, and returns its
    /// status in the way of a shell.
    #[track_caller]
    pub fn wait(&self, process: Process) -> i32 {
        let code = || self.processes.borrow()[&process.0];
        let ended = until(|| {
            self.reap();
            code().is_some()
        });
        assert!(ended, "the container does not end");
        code().expect("it ended")
    }
}
