//! What `create` and `run` have in common: their options, and the way to a created container.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use libcontainer::{Bundle, Config, Console, Container, CreateOptions, Delete, Keyring, Pivot};

use crate::args::{self, Globals};
use crate::relay::Relay;
use crate::terminal::Terminal;
use crate::{console_socket, listen_fds, pid_file, state_root, text};

/// The options of `create`, which `run` has too.
#[derive(Debug, clap::Args)]
pub(crate) struct Creation {
    /// path to the root of the bundle directory, defaults to the current directory
    #[arg(long, short)]
    bundle: Option<OsString>,
    /// path to an AF_UNIX socket which will receive the master end of the console's pseudoterminal
    #[arg(long)]
    console_socket: Option<OsString>,
    /// path to an AF_UNIX socket which will receive a pidfd of the container's first process (not supported yet)
    #[arg(long)]
    pidfd_socket: Option<OsString>,
    /// specify the file to write the process id to
    #[arg(long)]
    pid_file: Option<OsString>,
    /// do not use pivot_root(2) to enter the rootfs, for when it lies on a ramdisk
    #[arg(long)]
    no_pivot: bool,
    /// do not create a new session keyring for the container
    #[arg(long)]
    no_new_keyring: bool,
    /// pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
}

/// What becomes of tare once the container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is gone.
    Detached,
    /// It stays, and stands between the container's terminal and its own.
    Foreground,
}

impl Creation {
    /// Creates the container and then writes the pid file, or leaves neither. In the foreground a
    /// container with a terminal comes with what copies to and from it.
    pub(crate) fn create(
        &self,
        globals: &Globals,
        id: &str,
        mode: Mode,
    ) -> anyhow::Result<(Container, Option<Relay>)> {
        self.refuse_what_is_not_there(globals)?;
        let pid_file = args::given(self.pid_file.as_ref()).map(Path::new);
        let pid_file = pid_file.map(absolute).transpose()?;
        let listen_fds = listen_fds::count();
        let bundle = self.bundle(listen_fds)?;
        let Some(preserve_fds) = self.preserve_fds.checked_add(listen_fds) else {
            bail!("--preserve-fds {}: too many file descriptors", self.preserve_fds);
        };
        log::debug!("create {id} from {}", bundle.directory().display());
        let pivot = if self.no_pivot { Pivot::MoveMount } else { Pivot::PivotRoot };
        let (console, terminal) = self.console(globals, bundle.config(), mode)?;
        let keyring = if self.no_new_keyring { Keyring::Inherit } else { Keyring::New };
        let options = CreateOptions::new().preserve_fds(preserve_fds).pivot(pivot);
        let options = options.console(console).keyring(keyring);
        let created = state_root::runtime(globals)?.create(id, &bundle, &options)?;
        for warning in &created.warnings {
            log::warn!("{warning}");
        }
        let container = created.container;
        if let Some(path) = &pid_file {
            or_delete(&container, || pid_file::write(path, pid_of(&container)?))?;
        }
        let relay = match (terminal, created.console) {
            (Some(terminal), Some(master)) => {
                Some(or_delete(&container, || Relay::new(terminal, master))?)
            }
            _ => None,
        };
        Ok((container, relay))
    }

    /// Who gets the terminal, if there is one: the console socket, or else the one that we were started
    /// at. Both are looked for before there is a container.
    fn console(
        &self,
        globals: &Globals,
        config: &Config,
        mode: Mode,
    ) -> anyhow::Result<(Console, Option<Terminal>)> {
        let socket = args::given(self.console_socket.as_ref()).map(Path::new);
        let program = &globals.program;
        match (config.has_terminal(), mode, socket) {
            (true, Mode::Detached, Some(path)) => {
                Ok((Console::Socket(console_socket::connect(path)?), None))
            }
            (true, Mode::Detached, None) => {
                bail!("cannot allocate tty if {program} will detach without setting console socket")
            }
            (true, Mode::Foreground, None) => Ok((Console::Return, Some(Terminal::find()?))),
            (_, _, Some(_)) => {
                bail!("cannot use console socket if {program} will not detach or allocate tty")
            }
            (false, _, None) => Ok((Console::None, None)),
        }
    }

    fn bundle(&self, listen_fds: u32) -> anyhow::Result<Bundle> {
        let directory = match args::given(self.bundle.as_ref()) {
            Some(path) => absolute(Path::new(path))?,
            None => absolute(Path::new("."))?,
        };
        if listen_fds == 0 {
            return Ok(Bundle::load(directory)?);
        }
        let mut spec = Config::from_path(&directory.join("config.json"))?.spec().clone();
        if let Some(process) = spec.process_mut() {
            let mut environment = process.env().clone().unwrap_or_default();
            environment.extend(listen_fds::environment(listen_fds));
            process.set_env(Some(environment));
        }
        Ok(Bundle::new(directory, Config::from_spec(spec)?)?)
    }

    fn refuse_what_is_not_there(&self, globals: &Globals) -> anyhow::Result<()> {
        if globals.systemd_cgroup {
            bail!("--systemd-cgroup is not supported yet");
        }
        if args::given(self.pidfd_socket.as_ref()).is_some() {
            bail!("--pidfd-socket is not supported yet");
        }
        if let Some(value) = args::given(globals.rootless.as_ref())
            && value != "auto"
            && args::parse_bool(value).is_none()
        {
            bail!("invalid value {value:?} for --rootless: must be true, false or auto");
        }
        Ok(())
    }
}

/// The pid that the first process of a created container has, or had: another command may have ended it.
pub(crate) fn pid_of(container: &Container) -> anyhow::Result<i32> {
    container.pid().context("container not running")
}

/// Takes a step with a container that was made for it. If that fails, the container goes.
pub(crate) fn or_delete<T>(
    container: &Container,
    step: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    step().map_err(|error| match container.delete(Delete::Force) {
        Ok(_) => error,
        Err(left) => anyhow::anyhow!("{error:#} (and the container is left: {left})"),
    })
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    args::absolute(path)
        .map_err(|error| text::io(&error))
        .with_context(|| format!("find the absolute path of {}", path.display()))
}
