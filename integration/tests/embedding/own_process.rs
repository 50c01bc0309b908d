//! Tests in a process of their own: the test executes this program again for an ignored test, its body.
//! The bundle belongs to the test, which also looks for what the body has left.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use integration::Bundle;
use integration::outcome::{temporary, text};
use libcontainer::{Config, Container, CreateOptions, Runtime, Stdio as ContainerStdio};
use serde_json::{Value, json};

const DIRECTORY: &str = "EMBEDDING_BUNDLE";
const ID: &str = "EMBEDDING_ID";

/// Longer than any body's own deadline.
const DEADLINE: Duration = Duration::from_secs(240);

/// Runs a body in a process of its own. Returns its output.
#[track_caller]
pub(crate) fn run(bundle: &Bundle, body: &str) -> String {
    run_given(&[], &Given::from_bundle(bundle), body)
}

/// The same behind a command that executes it.
#[track_caller]
pub(crate) fn run_given(prefix: &[&str], given: &Given, body: &str) -> String {
    let own = env::current_exe().expect("/proc is mounted");
    let mut words = prefix.iter().map(Into::into).chain([own.into_os_string()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["--ignored", "--exact", "--nocapture", "--test-threads=1", body]);
    let (out, clone) = (temporary(), |file: &fs::File| file.try_clone().expect("dup"));
    command.env(DIRECTORY, &given.directory).env(ID, &given.id);
    command.stdin(Stdio::null()).stdout(clone(&out)).stderr(clone(&out));
    let mut child = command.spawn().expect("spawn");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break Some(status);
        }
        if begin.elapsed() > DEADLINE {
            child.kill().expect("kill of a child of ours");
            child.wait().expect("a child of ours");
            break None;
        }
        sleep(Duration::from_millis(2));
    };
    let output = text(&out);
    assert!(status.is_some_and(|status| status.success()), "{body}: {status:?}\n{output}");
    assert!(output.contains("1 passed"), "no such body: {body}\n{output}");
    output
}

/// What the test has given to its body.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// The bundle's directory.
    pub(crate) directory: PathBuf,
    /// What the ids of all containers begin with.
    pub(crate) id: String,
    /// The configuration.
    pub(crate) config: Value,
}

impl Given {
    /// That of a bundle in the same process.
    pub(crate) fn from_bundle(bundle: &Bundle) -> Self {
        bundle.write();
        Self::read(bundle.directory().to_path_buf(), bundle.id().to_string())
    }

    fn read(directory: PathBuf, id: String) -> Self {
        let text = fs::read(directory.join("config.json")).expect("config.json");
        Self { directory, id, config: serde_json::from_slice(&text).expect("JSON") }
    }

    /// The state root.
    pub(crate) fn state_root(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// A runtime with the state root of the bundle.
    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::new(self.state_root())
    }

    /// The configuration as it is now, as a bundle.
    pub(crate) fn bundle(&self) -> libcontainer::Bundle {
        let text = serde_json::to_vec(&self.config).expect("JSON");
        let config = Config::from_bytes(&text).expect("a valid configuration");
        libcontainer::Bundle::new(&self.directory, config).expect("an absolute path")
    }

    /// The same with another shell script as the process.
    #[must_use]
    pub(crate) fn script(&self, script: &str) -> Self {
        let mut given = self.clone();
        given.config["process"]["args"] = json!(["sh", "-c", script]);
        given
    }

    /// Creates a container without streams.
    #[track_caller]
    pub(crate) fn create(&self, suffix: impl std::fmt::Display) -> Container {
        let id = format!("{}-{suffix}", self.id);
        let options = CreateOptions::new().stdio(ContainerStdio::Null);
        self.runtime().create(&id, &self.bundle(), &options).expect("create").container
    }

    /// Creates and starts a container without streams.
    #[track_caller]
    pub(crate) fn start(&self, suffix: impl std::fmt::Display) -> Container {
        let container = self.create(suffix);
        container.start().expect("start");
        container
    }
}

/// What the test has given; nothing, with the reason printed, if nobody has.
pub(crate) fn given() -> Option<Given> {
    let (Some(directory), Ok(id)) = (env::var_os(DIRECTORY), env::var(ID)) else {
        eprintln!("skipped: a body, which a test runs in a process of its own");
        return None;
    };
    Some(Given::read(directory.into(), id))
}
