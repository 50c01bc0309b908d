//! The terminal that a foreground `run` was started at (termios(3)).

use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::text;

/// A terminal, and how it was set when it was found.
#[derive(Debug)]
pub(crate) struct Terminal {
    file: OwnedFd,
    original: Termios,
}

/// A terminal that hands on every key as it is. Dropping the value sets it as it was.
#[derive(Debug)]
pub(crate) struct RawTerminal(Terminal);

impl Terminal {
    /// The one that a standard stream is open on; two of them may be redirected. Without any, the
    /// session's.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let (error, output, input) = (stderr(), stdout(), stdin());
        for stream in [error.as_fd(), output.as_fd(), input.as_fd()] {
            if let Ok(original) = tcgetattr(stream) {
                let file = stream.try_clone_to_owned().map_err(|error| text::io(&error))?;
                return Ok(Self { file, original });
            }
        }
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let file =
            open("/dev/tty", flags, Mode::empty()).map_err(text::errno).context("open /dev/tty")?;
        let original = tcgetattr(&file).map_err(text::errno).context("tcgetattr /dev/tty")?;
        Ok(Self { file, original })
    }

    /// Keys go to the container as they are: its terminal echoes, edits lines and makes signals of them.
    /// Lines still end as this terminal wants it.
    pub(crate) fn make_raw(self) -> anyhow::Result<RawTerminal> {
        let mut raw = self.original.clone();
        cfmakeraw(&mut raw);
        raw.output_flags |= OutputFlags::OPOST;
        // From here on it is set as it was, even if this does not go well.
        let terminal = RawTerminal(self);
        tcsetattr(&terminal, SetArg::TCSANOW, &raw).map_err(text::errno).context("tcsetattr")?;
        Ok(terminal)
    }
}

impl AsFd for RawTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // One that has hung up is nobody's any more.
        tcsetattr(&self.0.file, SetArg::TCSANOW, &self.0.original).ok();
    }
}
