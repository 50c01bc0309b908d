//! What is written down about a container, and what follows from it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cgroup::Placement;
use crate::container::{State, Status};
use crate::error::Result;
use crate::plan::Hook;
use crate::process::{Inode, LiveProcess, ProcessId};

/// The version of the record. Fields may be added with `#[serde(default)]`; anything else is another
/// format, and one that we don't know is not read.
pub(super) const FORMAT: u32 = 1;

/// All that is written down about a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) format: u32,
    /// Written before anything is made on the system.
    pub(crate) intent: Intent,
    /// Written when the container is created, and the rest is the user's doing.
    pub(crate) init: Option<Init>,
}

/// What `delete --force` needs to remove everything that create may have made until it was killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The container's id.
    pub(crate) id: String,
    /// The bundle's directory.
    pub(crate) bundle: PathBuf,
    /// The root filesystem.
    pub(crate) rootfs: PathBuf,
    /// Where its cgroups are, or will be.
    pub(crate) cgroup: Placement,
    /// Whether a cgroup of it was there before: as long as there is no init, who is in it is somebody
    /// else's.
    #[serde(default)]
    pub(crate) cgroup_existed: bool,
    /// Whether its processes end with its first one.
    pub(crate) own_pid_namespace: bool,
    /// Its hooks, in the order of its life.
    pub(crate) hooks: Vec<Hook>,
    /// The agent that its filter asks.
    #[serde(default)]
    pub(crate) agent: Option<Agent>,
    /// The version of the runtime-spec that its configuration complies with.
    pub(crate) oci_version: String,
    /// The annotations of its configuration.
    pub(crate) annotations: BTreeMap<String, String>,
    /// When its creation began: RFC 3339.
    pub(crate) created: String,
    /// The effective uid of its creator.
    pub(crate) owner: u32,
    /// The process that creates it. Until there is an init, nothing but that can make progress.
    pub(crate) creator: ProcessId,
}

/// Who decides about system calls that the filter notifies of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// Its socket.
    pub(crate) path: PathBuf,
    /// What it is told beside the state.
    pub(crate) metadata: Option<String>,
}

/// The container's first process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Init {
    /// Which it is.
    pub(crate) process: ProcessId,
    /// What it executes until `start`: our init. What it executes afterwards is another file, so that
    /// nothing has to be written for the container to be running.
    pub(crate) executable: Inode,
}

/// Which container it is, of all that ever have its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    creator: ProcessId,
    created: String,
}

/// What a container is doing, and the process to signal if it has one.
#[derive(Debug)]
pub(crate) struct Observed {
    /// What it is doing.
    pub(crate) status: Status,
    /// The first process, in the states created and running.
    pub(crate) init: Option<LiveProcess>,
}

impl Record {
    /// That of a container that is about to be created.
    pub(crate) fn new(intent: Intent) -> Self {
        Self { format: FORMAT, intent, init: None }
    }

    /// Which container this is the record of.
    pub(crate) fn identity(&self) -> Identity {
        let Intent { creator, created, .. } = &self.intent;
        Identity { creator: creator.clone(), created: created.clone() }
    }

    /// Looks what became of the container.
    pub(crate) fn observe(&self) -> Result<Observed> {
        let Some(init) = &self.init else {
            return Ok(Observed::without_init(Status::Creating));
        };
        let Some(process) = init.process.open()? else {
            return Ok(Observed::without_init(Status::Stopped));
        };
        Ok(match process.executable()? {
            None => Observed::without_init(Status::Stopped),
            Some(inode) => Observed {
                status: if inode == init.executable { Status::Created } else { Status::Running },
                init: Some(process),
            },
        })
    }

    /// The first process, also when it has ended, as long as nobody has reaped it.
    pub(crate) fn process(&self) -> Result<Option<OwnedFd>> {
        match &self.init {
            Some(init) => init.process.open_unreaped(),
            None => Ok(None),
        }
    }

    /// The state that the runtime-spec wants, as it is now.
    pub(crate) fn state(&self) -> Result<State> {
        let observed = self.observe()?;
        let intent = self.intent.clone();
        Ok(State {
            oci_version: intent.oci_version,
            id: intent.id,
            pid: observed.init.map_or(0, |process| process.pid()),
            status: observed.status,
            bundle: intent.bundle,
            rootfs: intent.rootfs,
            created: intent.created,
            annotations: intent.annotations,
            owner: intent.owner,
        })
    }
}

impl Observed {
    fn without_init(status: Status) -> Self {
        Self { status, init: None }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    pub(in crate::state) fn record(id: &str) -> Record {
        Record::new(Intent {
            id: id.to_string(),
            bundle: PathBuf::from("/bundle"),
            rootfs: PathBuf::from("/bundle/rootfs"),
            cgroup: Placement::default(),
            cgroup_existed: false,
            own_pid_namespace: true,
            hooks: Vec::new(),
            agent: None,
            oci_version: "1.3.0".to_string(),
            annotations: BTreeMap::from([("key".to_string(), "\u{e4}\"\n".to_string())]),
            created: "1970-01-01T00:00:00Z".to_string(),
            owner: 0,
            creator: ProcessId::of_caller().unwrap(),
        })
    }

    #[test]
    fn the_status_follows_from_init() {
        let mut record = record("a");
        let state = record.state().unwrap();
        assert_eq!((state.status, state.pid), (Status::Creating, 0));

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id().cast_signed();
        let pidfd = crate::sys::pidfd::pidfd_open(pid).unwrap();
        let id = ProcessId::of(pid, pidfd.as_fd()).unwrap();
        let process = LiveProcess::new(pid, pidfd);
        let executable = process.executable().unwrap().unwrap();
        record.init = Some(Init { process: id, executable });
        let state = record.state().unwrap();
        assert_eq!((state.status, state.pid), (Status::Created, pid));

        record.init.as_mut().unwrap().executable.number += 1;
        let state = record.state().unwrap();
        assert_eq!((state.status, state.pid), (Status::Running, pid));

        process.signal(libc::SIGKILL).unwrap();
        process.wait_exit(Duration::from_secs(10)).unwrap();
        let state = record.state().unwrap();
        assert_eq!((state.status, state.pid), (Status::Stopped, 0), "a zombie");
        child.wait().unwrap();
        assert_eq!(record.state().unwrap().status, Status::Stopped);
    }
}
