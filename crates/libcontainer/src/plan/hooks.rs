//! Hooks: which are run when, and by whom. The runtime-spec's config.md, "POSIX-platform Hooks".

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::compile::Compilation;
use super::format::Operation;
use super::image::{Builder, TextBuf, TextsBuf};
use super::{HostSteps, Plan, Received};
use crate::config;
use crate::error::Result;

/// The umask that hooks get, as the programs of the host have it.
const UMASK: u32 = 0o022;

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum HookKind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl HookKind {
    /// All, in the order of a container's life.
    pub(crate) const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The runtime-spec's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// What the state on its standard input says that the container is. Prestart hooks once were run by
    /// `start`, and still expect what they saw then.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::CreateRuntime | Self::CreateContainer => "creating",
            Self::Prestart | Self::StartContainer => "created",
            Self::Poststart => "running",
            Self::Poststop => "stopped",
        }
    }
}

/// A hook of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) kind: HookKind,
    /// Its place among those of its kind.
    pub(crate) index: usize,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) timeout: Option<Duration>,
}

impl Hook {
    /// When it must have ended, if it is run now. A time that no clock reaches is none.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    /// `hooks.createRuntime[0]`.
    pub(crate) fn property(&self) -> String {
        format!("hooks.{}[{}]", self.kind.name(), self.index)
    }

    /// The program with its name, which is the path's if the configuration has none.
    fn arguments(&self) -> Result<TextsBuf> {
        if self.arguments.is_empty() {
            return TextsBuf::collect([self.path.as_os_str().as_encoded_bytes()]);
        }
        TextsBuf::collect(&self.arguments)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hook #{}", self.kind.name(), self.index)
    }
}

/// The hooks of a configuration, in the order of a container's life.
pub(super) fn hooks(spec: &Spec) -> Vec<Hook> {
    let hook = |(name, index, hook): (&str, usize, &oci_spec::runtime::Hook)| {
        let kind = HookKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(Hook {
            kind,
            index,
            path: hook.path().clone(),
            arguments: hook.args().clone().unwrap_or_default(),
            environment: hook.env().clone().unwrap_or_default(),
            timeout: hook.timeout().and_then(|t| u64::try_from(t).ok()).map(Duration::from_secs),
        })
    };
    config::hooks(spec).filter_map(hook).collect()
}

/// The hooks of `create`: first those that the host side runs, with the mounts made and nothing masked
/// yet, then those that init runs in the container's namespaces, where the host's files still are.
pub(super) fn create(plan: &mut Compilation<'_>) -> Result<()> {
    let is_runtime =
        |hook: &Hook| matches!(hook.kind, HookKind::Prestart | HookKind::CreateRuntime);
    if plan.hooks.iter().any(is_runtime) {
        plan.image.push("hooks", &Operation::RuntimeHooks {})?;
    }
    run(plan, HookKind::CreateContainer)
}

/// Hooks that init runs.
pub(super) fn run(plan: &mut Compilation<'_>, kind: HookKind) -> Result<()> {
    for (number, hook) in plan.hooks.clone().iter().enumerate() {
        if hook.kind != kind {
            continue;
        }
        let path = TextBuf::path(&hook.path)?;
        let (arguments, environment) = (hook.arguments()?, TextsBuf::collect(&hook.environment)?);
        let milliseconds = hook.timeout.map_or(0, |timeout| timeout.as_millis());
        let operation = Operation::RunHook {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            path: path.text(),
            arguments: arguments.texts(),
            environment: environment.texts(),
            timeout: u64::try_from(milliseconds).unwrap_or(u64::MAX),
        };
        plan.image.push(&hook.property(), &operation)?;
    }
    Ok(())
}

impl Plan {
    /// The plan of a process that runs a hook in the caller's namespaces.
    pub(crate) fn of_hook(hook: &Hook, bundle: &Path) -> Result<Self> {
        let received: Vec<Received> = (0..3).map(Received::Stdio).collect();
        let mut image = Builder::new(3);
        let property = hook.property();
        let (bundle, path) = (TextBuf::path(bundle)?, TextBuf::path(&hook.path)?);
        let candidates = TextsBuf::collect([hook.path.as_os_str().as_encoded_bytes()])?;
        let arguments = hook.arguments()?;
        let environment = TextsBuf::collect(&hook.environment)?;
        let operations = [
            Operation::Session {},
            Operation::Stdio { first: 0 },
            Operation::Umask { mask: UMASK },
            Operation::Chdir { path: bundle.text(), retry: 1 },
            Operation::FindProgram { name: path.text(), candidates: candidates.texts() },
            Operation::Execute { arguments: arguments.texts(), environment: environment.texts() },
        ];
        for operation in operations {
            image.push(&property, &operation)?;
        }
        Ok(Self {
            image: image.finish(0)?,
            received,
            spawn_flags: 0,
            two_stages: false,
            own_pid_namespace: false,
            host: HostSteps::default(),
            hooks: Vec::new(),
            preserve_fds: 0,
            rootfs: PathBuf::new(),
            warnings: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_clock_reaches_is_no_deadline() {
        for (timeout, is_one) in [
            (None, false),
            (Some(Duration::from_secs(1)), true),
            (Some(Duration::from_secs(i64::MAX.unsigned_abs())), false),
            (Some(Duration::MAX), false),
        ] {
            let hook = Hook {
                kind: HookKind::Poststop,
                index: 0,
                path: "/bin/true".into(),
                arguments: Vec::new(),
                environment: Vec::new(),
                timeout,
            };
            assert_eq!(hook.deadline().is_some(), is_one, "{timeout:?}");
        }
    }
}
