//! The configurations that are swept, and what must be true of each when a container of it is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use integration::config::{HOOK_KINDS, put_user_namespace};
use integration::supervisor::{Action, Call, Role, Supervised, Supervisor};
use integration::{Bundle, Fingerprint, Process, until};
use serde_json::{Value, json};

/// A command of the runtime, with the calls of all or of one. `init` stands at the gate already.
pub(crate) fn supervise(
    command: &Command,
    init: Option<Process>,
    only: Option<Role>,
    decide: impl FnMut(&Call) -> Action + Send,
) -> Supervised {
    let mut supervisor = Supervisor::of(command);
    if let Some(init) = init {
        supervisor = supervisor.with(init);
    }
    if let Some(role) = only {
        supervisor = supervisor.only(role);
    }
    supervisor.run(decide)
}

/// A bundle, and what its containers need around them.
pub(crate) struct Scenario {
    pub(crate) bundle: Bundle,
    console: Option<UnixListener>,
    notes: Option<tempfile::TempDir>,
}

impl Scenario {
    /// A container of this bundle alone.
    pub(crate) fn of(bundle: Bundle) -> Self {
        bundle.deleted_at_end();
        Self { bundle, console: None, notes: None }
    }

    /// Init has two stages.
    pub(crate) fn mapped() -> Self {
        let edit = |config: &mut Value| put_user_namespace(config, 1000, 1000);
        Self::of(Bundle::sleeping().edit(edit))
    }

    /// There is a terminal, which goes to a socket.
    pub(crate) fn at_terminal() -> Self {
        let bundle = Bundle::sleeping().set("/process/terminal", json!(true));
        let listener = UnixListener::bind(bundle.directory().join("console.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { console: Some(listener), ..Self::of(bundle) }
    }

    /// A hook of each kind takes down that it was run.
    pub(crate) fn hooked() -> Self {
        let notes = tempfile::tempdir().unwrap();
        let source = notes.path().to_str().unwrap();
        let hook = |kind: &str| {
            let place = if kind == "startContainer" { "/hooks" } else { source };
            let script = format!("echo {kind} >> {place}/log");
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
        };
        let hooks: BTreeMap<_, _> = HOOK_KINDS.iter().map(|kind| (kind, hook(kind))).collect();
        let bundle = Bundle::sleeping()
            .mount("/hooks", "bind", source, &["bind"])
            .edit(|config| config["hooks"] = json!(hooks));
        Self { notes: Some(notes), ..Self::of(bundle) }
    }

    /// What Docker writes, with limits, and with every control that it has no need of.
    pub(crate) fn engine() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/docker-28.json");
        let mut config: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        config["root"]["path"] = json!("rootfs");
        config["process"]["args"] = json!(["sleep", "1000"]);
        config["process"].as_object_mut().unwrap().remove("apparmorProfile");
        config["process"]["user"] =
            json!({ "uid": 1000, "gid": 1000, "additionalGids": [7, 8], "umask": 0o77 });
        let ambient = json!(["CAP_KILL"]);
        config["process"]["capabilities"]["inheritable"] = ambient.clone();
        config["process"]["capabilities"]["ambient"] = ambient;
        config["process"]["rlimits"] =
            json!([{ "type": "RLIMIT_NOFILE", "soft": 123, "hard": 456 }]);
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["noNewPrivileges"] = json!(true);
        config["domainname"] = json!("tare.test");
        config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
        for (name, limit) in [
            ("memory", json!({ "limit": 64 << 20 })),
            ("pids", json!({ "limit": 42 })),
            ("cpu", json!({ "shares": 512 })),
        ] {
            config["linux"]["resources"][name] = limit;
        }
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "bind" {
                mount["source"] = json!("decoy/marker");
                mount["options"] = json!(["rbind", "rprivate", "ro"]);
            }
        }
        Self::of(Bundle::new().writes(&["etc"]).edit(|base| *base = config))
    }

    /// `create`, or `run`.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let socket = self.bundle.directory().join("console.sock");
        match (&self.console, socket.to_str()) {
            (Some(_), Some(path)) => {
                self.bundle.command_for_bundle(&[verb, "--console-socket", path])
            }
            _ => self.bundle.command_for_bundle(&[verb]),
        }
    }

    #[track_caller]
    pub(crate) fn created(&self) -> Process {
        self.bundle.create_by(&mut self.command("create")).ok();
        self.bundle.process()
    }

    #[track_caller]
    pub(crate) fn started(&self) -> Process {
        let process = self.created();
        self.bundle.start().ok();
        process
    }

    /// That of the container's process, once it is the user's.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint, String> {
        let status = self.bundle.status();
        if status != "running" {
            return Err(format!("started, and {status}"));
        }
        let process = self.bundle.process();
        if !until(|| process.file("cmdline").starts_with("sleep\0")) {
            return Err(format!("running, but {}", process.file("cmdline")));
        }
        Ok(Fingerprint::of(process, &self.bundle))
    }

    /// What of a container is there, whoever should have removed it.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.bundle.leftovers();
        let state = fs::read_dir(self.bundle.state_root()).into_iter().flatten().flatten();
        left.extend(
            state.map(|entry| format!("in the state root: {}", entry.file_name().display())),
        );
        left
    }

    /// What is wrong when `delete --force` has removed the container: what is left, and hooks that ran
    /// twice. What was told to the sockets and files around the container is forgotten.
    pub(crate) fn remove(&self) -> Vec<String> {
        let outcome = self.bundle.delete_force();
        let mut wrong = self.left();
        self.bundle.forget_processes();
        if outcome.code != 0 {
            wrong.push(format!("{outcome:?}"));
        }
        while let Some(Ok(_)) = self.console.as_ref().map(UnixListener::accept) {}
        let Some(notes) = &self.notes else { return wrong };
        let log = notes.path().join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        for kind in HOOK_KINDS {
            let times = text.lines().filter(|line| *line == kind).count();
            if times > 1 {
                wrong.push(format!("{kind} ran {times} times: {text}"));
            }
        }
        fs::write(&log, "").unwrap();
        wrong
    }
}
