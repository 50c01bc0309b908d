//! Init's modules once more, for their unit tests: the program itself is built by the build script, from
//! the same files, and has no test harness.

#[path = "../init/check.rs"]
pub(crate) mod check;
#[path = "../init/control.rs"]
pub(crate) mod control;
#[path = "../init/copy_up.rs"]
pub(crate) mod copy_up;
#[path = "../init/filesystem.rs"]
pub(crate) mod filesystem;
#[path = "../init/flags.rs"]
pub(crate) mod flags;
#[path = "../init/hook.rs"]
pub(crate) mod hook;
#[path = "../init/identity.rs"]
pub(crate) mod identity;
#[path = "../init/keyring.rs"]
pub(crate) mod keyring;
#[path = "../init/made.rs"]
pub(crate) mod made;
#[path = "../init/memory.rs"]
pub(crate) mod memory;
#[path = "../init/mounts.rs"]
pub(crate) mod mounts;
#[path = "../init/namespaces.rs"]
pub(crate) mod namespaces;
#[path = "../init/numbers.rs"]
pub(crate) mod numbers;
#[path = "../init/passwd.rs"]
pub(crate) mod passwd;
#[path = "../init/procfs.rs"]
pub(crate) mod procfs;
#[path = "../init/program.rs"]
pub(crate) mod program;
#[path = "../init/rootfs.rs"]
pub(crate) mod rootfs;
#[path = "../init/run.rs"]
pub(crate) mod run;
#[path = "../init/slots.rs"]
pub(crate) mod slots;
#[path = "../init/sys/mod.rs"]
pub(crate) mod sys;
#[path = "../init/terminal.rs"]
pub(crate) mod terminal;

use crate::plan::{format, protocol};
