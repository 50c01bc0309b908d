//! The end of a container: processes, cgroups, state, in this order, so that the record is there for as
//! long as there is something to remove.

use std::time::Duration;

use super::{Delete, Status};
use crate::cgroup::{self, Placement};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::launch::Hooks;
use crate::plan::HookKind;
use crate::process::{Life, LiveProcess};
use crate::state::{Entry, Identity, Record, Store};

/// How long a killed process may take to end.
const KILL_TIME: Duration = Duration::from_secs(10);

/// How long it takes at the most, unless something holds it.
const USUAL_KILL_TIME: Duration = Duration::from_millis(200);

/// See [`crate::Runtime::delete`]. With an identity, another container of this id is left alone.
pub(super) fn delete(
    store: &Store,
    id: &str,
    which: Option<&Identity>,
    delete: Delete,
) -> Result<Vec<Warning>> {
    if delete == Delete::Force {
        match store.read(id, which) {
            // Before the lock: a `start` holds that until init answers, which a stopped one never does.
            Ok(record) => kill_recorded(&record)?,
            // Nor is there anything to wait for if the id is another's.
            Err(error) if is_gone(&error) && which.is_some() => {
                return store.sweep(id).map(|()| Vec::new());
            }
            Err(_) => {}
        }
    }
    let entry = match store.lock(id) {
        Err(error) if is_gone(&error) && delete == Delete::Force => {
            return store.sweep(id).map(|()| Vec::new());
        }
        entry => entry?,
    };
    let record = match entry.read(which) {
        // Whatever happened to the record, the processes are known by their cgroups. That it can't be read
        // at the moment did not happen to it; and whose it is nobody knows without it.
        Err(error) if delete == Delete::Force && which.is_none() && is_lost(&error) => {
            if let Some(placement) = entry.cgroups()? {
                cgroup::kill_all(&placement)?;
                cgroup::destroy(&placement)?;
            }
            return entry.remove().map(|()| Vec::new());
        }
        Err(error) if delete == Delete::Force && is_gone(&error) => return Ok(Vec::new()),
        record => record?,
    };
    let observed = record.observe()?;
    if observed.status == Status::Running && delete == Delete::Stopped {
        let message = format!("cannot delete container {id} that is not stopped: running");
        return Err(Error::new(ErrorKind::InvalidState, message));
    }
    if let Some(process) = observed.init {
        kill(&process, &record.intent.cgroup)?;
    }
    let hooks = Hooks::prepare(&record.intent, &[HookKind::Poststop], entry.directory())?;
    remove(entry, &record)?;
    let failed = hooks.run_all(HookKind::Poststop).into_iter();
    Ok(failed
        .map(|error| Warning {
            property: error.property().unwrap_or("hooks.poststop").to_string(),
            message: error.to_string(),
        })
        .collect())
}

/// Whether there is no such container, or not this one any more.
fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Whether the container has no record, or a damaged one.
fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidState
}

/// Removes the cgroups and the record of a container whose first process has ended.
fn remove(entry: Entry, record: &Record) -> Result<()> {
    if record.init.is_none() && record.intent.cgroup_existed {
        // Init has died with its creator, and whether it ever was in there nobody knows.
        cgroup::withdraw(&record.intent.cgroup);
        return entry.remove();
    }
    // Nothing outlives the first process of a pid namespace. Without one, or if create was interrupted,
    // processes may be left that are known by their cgroup alone.
    if record.init.is_none() || !record.intent.own_pid_namespace {
        cgroup::kill_all(&record.intent.cgroup)?;
    }
    cgroup::destroy(&record.intent.cgroup)?;
    entry.remove()
}

/// Kills the first process of a container, if there is one on record.
fn kill_recorded(record: &Record) -> Result<()> {
    match record.observe()?.init {
        Some(process) => kill(&process, &record.intent.cgroup),
        None => Ok(()),
    }
}

fn kill(process: &LiveProcess, cgroup: &Placement) -> Result<()> {
    if process.signal(libc::SIGKILL)? == Life::Gone {
        return Ok(());
    }
    if process.wait_exit(USUAL_KILL_TIME)? == Life::Gone {
        return Ok(());
    }
    // A v1 freezer holds it even now: this thaws.
    cgroup::kill_all(cgroup)?;
    match process.wait_exit(KILL_TIME)? {
        Life::Gone => Ok(()),
        Life::Alive => Err(Error::new(ErrorKind::InvalidState, "container init still running")),
    }
}
