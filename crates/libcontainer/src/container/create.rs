//! Create: from a bundle to a container at the gate.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::geteuid;
use oci_spec::runtime::Spec;

use super::{Console, Container, CreateOptions, Created, Stdio};
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::host::HostFacts;
use crate::launch::{self, Executable, Hooks, Host, Streams};
use crate::plan::{self, HookKind, Plan, Request};
use crate::process::ProcessId;
use crate::seccomp::notifies;
use crate::state::{self, Entry, Intent, Record, Store};

/// Compiles a bundle.
pub(super) fn plan(
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
    facts: &HostFacts,
) -> Result<Plan> {
    let request = Request {
        id,
        bundle: bundle.directory(),
        has_stdio: !matches!(options.stdio, Stdio::Inherit) && !bundle.config().has_terminal(),
        preserve_fds: options.preserve_fds,
        pivot: options.pivot,
        keyring: options.keyring,
    };
    plan::compile(bundle.config(), &request, facts)
}

/// See [`crate::Runtime::create`].
pub(super) fn create(
    store: &Store,
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
    facts: &HostFacts,
) -> Result<Created> {
    state::check_id(id)?;
    check_console(bundle.config().has_terminal(), &options.console)?;
    let plan = plan(id, bundle, options, facts)?;
    check_rootfs(&plan.rootfs)?;
    let record = Record::new(intent(id, bundle, &plan)?);
    let mut made = Made::begin(store, record, &plan)?;
    let launched = made.launch(options, &plan, facts);
    let (process, console) = launched.inspect_err(|_| made.clear_rootfs(&plan))?;
    let container = Container::new(store.clone(), &made.record, process);
    made.keep();
    Ok(Created { container, console, warnings: plan.warnings })
}

/// Somebody must be there for a terminal, and a terminal for who waits for it.
fn check_console(has_terminal: bool, console: &Console) -> Result<()> {
    let wrong = match console {
        Console::None if has_terminal => "nobody is there to get the master end of the terminal",
        Console::Socket(_) if !has_terminal => "there is a console socket, but no terminal",
        _ => return Ok(()),
    };
    let message = format!("process.terminal: {wrong}");
    Err(Error::new(ErrorKind::InvalidConfig, message).with_property("process.terminal"))
}

/// The root filesystem must be there, and no link: what it is mounted from is what its path says.
fn check_rootfs(rootfs: &Path) -> Result<()> {
    let failed = |what: &str| {
        let message = format!("invalid rootfs: {}: {what}", rootfs.display());
        Error::new(ErrorKind::InvalidConfig, message).with_property("root.path")
    };
    let status = fstatat(nix::fcntl::AT_FDCWD, rootfs, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(|e| Error::os(format!("invalid rootfs: stat {}", rootfs.display()), e as i32))
        .map_err(|e| e.with_property("root.path"))?;
    match status.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Ok(()),
        libc::S_IFLNK => Err(failed("not an absolute path, or a symlink")),
        _ => Err(failed("not a directory")),
    }
}

/// What `delete --force` has to know, whatever becomes of this create.
fn intent(id: &str, bundle: &Bundle, plan: &Plan) -> Result<Intent> {
    let spec = bundle.config().spec();
    let annotations = spec.annotations().iter().flatten();
    Ok(Intent {
        id: id.to_string(),
        bundle: bundle.directory().to_path_buf(),
        rootfs: plan.rootfs.clone(),
        cgroup: plan.host.cgroups.clone(),
        cgroup_existed: plan.host.cgroups.exists(),
        own_pid_namespace: plan.own_pid_namespace,
        hooks: plan.hooks.clone(),
        agent: agent(spec),
        oci_version: spec.version().clone(),
        annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        created: state::rfc3339(SystemTime::now()),
        owner: geteuid().as_raw(),
        creator: ProcessId::of_caller()?,
    })
}

/// The agent, if the filter asks one.
fn agent(spec: &Spec) -> Option<state::Agent> {
    let profile = spec.linux().as_ref()?.seccomp().as_ref()?;
    let path = profile.listener_path().as_ref().filter(|_| notifies(profile))?;
    Some(state::Agent { path: path.clone(), metadata: profile.listener_metadata().clone() })
}

/// What a create has made so far. Dropping the value removes it, the record last.
struct Made {
    init: Option<launch::Init>,
    cgroup: Option<Cgroup>,
    entry: Option<Entry>,
    record: Record,
    /// Whether hooks may have been run, which those behind a container's end then follow.
    hooked: bool,
}

impl Made {
    fn begin(store: &Store, record: Record, plan: &Plan) -> Result<Self> {
        let entry = store.create(&record)?;
        let cgroup = Some(Cgroup::new(plan.host.cgroups.clone()));
        let mut made = Self { init: None, cgroup, entry: Some(entry), record, hooked: false };
        made.forget_cgroup_of_another(plan)?;
        Ok(made)
    }

    /// The cgroup that was there may have been that of the id's last container, and be gone with it.
    fn forget_cgroup_of_another(&mut self, plan: &Plan) -> Result<()> {
        let existed = &mut self.record.intent.cgroup_existed;
        if !*existed || plan.host.cgroups.exists() {
            return Ok(());
        }
        *existed = false;
        self.entry.as_ref().map_or(Ok(()), |entry| entry.write(&self.record))
    }

    /// Spawns init and serves it until the container is created and that is on record. The v1 cgroups
    /// are made while init works already. Returns the pidfd of its first process, and the master end of
    /// its terminal if the caller wants it back.
    fn launch(
        &mut self,
        options: &CreateOptions,
        plan: &Plan,
        facts: &HostFacts,
    ) -> Result<(Option<OwnedFd>, Option<OwnedFd>)> {
        let (Some(entry), Some(cgroup)) = (&self.entry, &mut self.cgroup) else {
            return Err(Error::new(ErrorKind::Internal, "launched twice"));
        };
        let executable = Executable::new(facts.kernel.memfd_exec, entry.directory())?;
        let gate = launch::listen(entry.directory())?;
        let null = null_streams(&options.stdio)?;
        let stdio = match &options.stdio {
            Stdio::Fds(streams) => Some(streams),
            _ => null.as_ref(),
        };
        cgroup.make_unified()?;
        let streams = Streams { gate: Some(gate.as_fd()), stdio, cgroup: cgroup.unified_fd() };
        let started = launch::spawn(plan, &executable, &streams)
            .context(|| "unable to start container process")?;
        let init = self.init.insert(started);
        cgroup.make_v1()?;
        cgroup.apply_devices(&plan.host.device_rules)?;
        cgroup.apply_limits(&plan.host.limits)?;
        if let Some(owner) = plan.host.cgroup_owner {
            cgroup.give_to(owner)?;
        }
        self.hooked = !plan.hooks.is_empty();
        let intent = self.record.intent.clone();
        let kinds = [HookKind::Prestart, HookKind::CreateRuntime];
        let hooks = Hooks::prepare(&intent, &kinds, entry.directory())?;
        let mut created = |process: ProcessId| {
            self.record.init = Some(state::Init { process, executable: executable.inode() });
            entry.write(&self.record)
        };
        let mut returned = None;
        let mut console = |master: OwnedFd| match &options.console {
            Console::Socket(socket) => launch::send_console(socket.as_fd(), &master),
            _ => {
                returned = Some(master);
                Ok(())
            }
        };
        let (created, console) = (&mut created, &mut console);
        launch::serve(init, &mut Host { plan, cgroup, hooks: &hooks, created, console })
            .context(|| "unable to start container process")?;
        Ok((self.init.take().and_then(launch::Init::release), returned))
    }

    /// Ends init, and removes what it has made in the root filesystem.
    fn clear_rootfs(&mut self, plan: &Plan) {
        if let Some(init) = self.init.take() {
            launch::take_back(plan, &init.end_and_tell());
        }
    }

    fn keep(mut self) {
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.keep();
        }
        self.entry = None;
        self.hooked = false;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.init = None;
        let is_gone = self.cgroup.as_mut().is_none_or(Cgroup::take_back);
        // The failure that led here is what the caller is told. What could not be removed stays on
        // record, for `delete --force`.
        if is_gone && let Some(entry) = self.entry.take() {
            let kinds: &[HookKind] = if self.hooked { &[HookKind::Poststop] } else { &[] };
            let hooks = Hooks::prepare(&self.record.intent, kinds, entry.directory());
            entry.remove().ok();
            if let (true, Ok(hooks)) = (self.hooked, hooks) {
                drop(hooks.run_all(HookKind::Poststop));
            }
        }
    }
}

/// The null device three times, if the caller wants it.
fn null_streams(stdio: &Stdio) -> Result<Option<[OwnedFd; 3]>> {
    if !matches!(stdio, Stdio::Null) {
        return Ok(None);
    }
    let null = || {
        open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| Error::os("open /dev/null", errno as i32))
    };
    Ok(Some([null()?, null()?, null()?]))
}
