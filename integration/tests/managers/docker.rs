//! Docker, by its own client.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use integration::{Outcome, finish, needs_root};
use serde_json::json;

use crate::ctr::start_containerd;
use crate::docker_checks::CHECKS;
use crate::place::Place;
use crate::{image, needs_installed, put, runtimes};

/// The client of a Docker daemon, for one runtime.
pub(crate) struct Docker {
    pub(crate) place: Arc<Place>,
    runtime: &'static str,
}

impl Docker {
    #[track_caller]
    pub(crate) fn call(&self, args: &[&str]) -> Outcome {
        call(&self.place, args)
    }

    /// `docker run` with these options, of this command.
    #[track_caller]
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Outcome {
        finish(&mut self.command(options, command))
    }

    /// The same, not yet run.
    pub(crate) fn command(&self, options: &[&str], command: &[&str]) -> Command {
        let mut client = client(&self.place);
        client.args(["run", "--runtime", &registered(self.runtime)]).args(options);
        client.arg(image::NAME).args(command);
        client
    }

    /// The output of a script in a container that is removed at its end. Without an option that says
    /// otherwise it has no network: that takes half of the time.
    #[track_caller]
    pub(crate) fn sh(&self, options: &[&str], script: &str) -> String {
        let other = options.iter().any(|option| option.starts_with("--network"));
        let network = if other { &[][..] } else { &["--network=none"] };
        self.run(&[&["--rm"], network, options].concat(), &["sh", "-c", script]).ok()
    }

    /// Starts a script in the background; returns the container's name.
    #[track_caller]
    pub(crate) fn detached(&self, options: &[&str], script: &str) -> String {
        let name = name();
        let options = [&["--detach", "--network=none", "--name", &name], options].concat();
        self.run(&options, &["sh", "-c", script]).ok();
        name
    }

    /// A property of a container.
    #[track_caller]
    pub(crate) fn inspect(&self, name: &str, template: &str) -> String {
        self.call(&["inspect", "--format", template, name]).ok().trim().to_string()
    }

    /// The exit code of a container when it has ended.
    #[track_caller]
    pub(crate) fn wait(&self, name: &str) -> String {
        self.call(&["wait", name]).ok().trim().to_string()
    }

    /// Removes a container that has ended.
    #[track_caller]
    pub(crate) fn remove(&self, name: &str) {
        self.call(&["rm", name]).ok();
    }
}

fn client(place: &Place) -> Command {
    let mut command = place.command("docker");
    command.args(["--host", &format!("unix://{}", place.text("d.sock"))]);
    command
}

#[track_caller]
fn call(place: &Place, args: &[&str]) -> Outcome {
    finish(client(place).args(args))
}

/// A new name for a container.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The name that Docker knows a runtime by: `runc` is its own.
fn registered(runtime: &str) -> String {
    format!("with-{runtime}")
}

/// Starts a Docker daemon whose files are all below the place.
fn start_docker(place: &mut Place) {
    let path = |name: &str| place.text(name);
    let runtimes = runtimes()
        .into_iter()
        .map(|(name, path)| (registered(name), json!({ "path": path })))
        .collect::<serde_json::Map<_, _>>();
    let config = json!({
        "data-root": path("docker"),
        "exec-root": path("docker-exec"),
        "pidfile": path("docker.pid"),
        "hosts": [format!("unix://{}", path("d.sock"))],
        "containerd": path("c.sock"),
        // Else in /etc.
        "deprecated-key-path": path("docker-key.json"),
        "runtimes": runtimes,
        "cgroup-parent": place.cgroups(),
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "userland-proxy": false,
    });
    let file = place.path("daemon.json");
    std::fs::write(&file, serde_json::to_vec(&config).expect("JSON")).expect("write");
    let file = file.to_str().expect("UTF-8").to_string();
    place.start("dockerd", &["--config-file", &file], |place| call(place, &["version"]).code == 0);
}

#[test]
fn docker_run() {
    needs_root!();
    needs_installed!("containerd", "dockerd", "docker", "iptables", "runc");
    let mut place = Place::enter();
    start_containerd(&mut place);
    start_docker(&mut place);
    let place = Arc::new(place);
    let archive = image::archive(&place.path(""));
    call(&place, &["load", "--input", archive.to_str().expect("UTF-8")]).ok();
    let engines: Vec<_> = runtimes()
        .into_iter()
        .map(|(runtime, _)| (runtime, Docker { place: Arc::clone(&place), runtime }))
        .collect();
    put(&engines, CHECKS);
    assert_eq!(call(&place, &["ps", "--all", "--quiet"]).ok(), "", "containers left");
}
