//! The size of a terminal.

use std::os::fd::AsFd;

use crate::error::{Error, Result};
use crate::sys::ioctl::{set_window_size, window_size};

/// The size of a terminal, in characters; zeros if nobody has told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Its height.
    pub rows: u16,
    /// Its width.
    pub columns: u16,
}

impl WindowSize {
    /// The size of a terminal, of which either end will do.
    ///
    /// # Kernel
    ///
    /// ioctl(2) `TIOCGWINSZ`.
    ///
    /// # Errors
    ///
    /// `ENOTTY` if it is none.
    pub fn of(terminal: impl AsFd) -> Result<Self> {
        let size = window_size(terminal.as_fd())
            .map_err(|errno| Error::os("ioctl(TIOCGWINSZ)", errno as i32))?;
        Ok(Self { rows: size.ws_row, columns: size.ws_col })
    }

    /// Tells a terminal its size, by either end. If that is another one, its foreground process group
    /// gets SIGWINCH.
    ///
    /// # Kernel
    ///
    /// ioctl(2) `TIOCSWINSZ`.
    ///
    /// # Errors
    ///
    /// `ENOTTY` if it is none.
    pub fn apply(self, terminal: impl AsFd) -> Result<()> {
        let size =
            libc::winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 };
        set_window_size(terminal.as_fd(), size)
            .map_err(|errno| Error::os("ioctl(TIOCSWINSZ)", errno as i32))
    }
}
