//! The options before the command.

use std::ffi::OsString;

/// Open Container Initiative runtime
#[derive(Debug, Default, clap::Parser)]
#[command(
    name = "tare",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Globals {
    /// enable debug logging
    #[arg(long)]
    pub(crate) debug: bool,
    /// set the log file to write logs to (default is '/dev/stderr')
    #[arg(long)]
    pub(crate) log: Option<OsString>,
    /// set the log format ('text' (default), or 'json')
    #[arg(long)]
    pub(crate) log_format: Option<OsString>,
    /// root directory for storage of container state (this should be located in tmpfs) (default: "/run/tare")
    #[arg(long)]
    pub(crate) root: Option<OsString>,
    /// enable systemd cgroup support, expects cgroupsPath to be of form "slice:prefix:name" (not supported yet)
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// ignore cgroup permission errors ('true', 'false', or 'auto' (default))
    #[arg(long)]
    pub(crate) rootless: Option<OsString>,
    /// print the version
    #[arg(long, short)]
    pub(crate) version: bool,
    /// The name that the program was called by: messages begin with it.
    #[arg(skip)]
    pub(crate) program: String,
}
