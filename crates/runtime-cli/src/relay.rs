//! Between the terminal that `run` was started at and the container's: what is typed goes there, what the
//! container writes comes here. Part of the one loop of `signals`; nothing here waits.

use std::io::{Stdin, Stdout, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use libcontainer::WindowSize;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

use crate::terminal::{RawTerminal, Terminal};
use crate::text;

/// What is copied at once: as much as a pipe that polls writable takes without blocking.
const CHUNK: usize = 4096;

/// How often it is copied before signals get their turn.
const ROUNDS: usize = 16;

/// Bytes on their way.
#[derive(Debug)]
struct Bytes {
    buffer: [u8; CHUNK],
    start: usize,
    end: usize,
}

/// The two terminals.
#[derive(Debug)]
pub(crate) struct Relay {
    terminal: RawTerminal,
    stdin: Stdin,
    stdout: Stdout,
    master: OwnedFd,
    typed: Bytes,
    written: Bytes,
    /// Whether there is more to come: not behind the end of the standard input, and not when nobody
    /// has the container's terminal open any more.
    reads: bool,
    hears: bool,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// What the container has written so far is on the standard output.
    Nothing,
    /// There is more.
    More,
}

impl Bytes {
    fn new() -> Self {
        Self { buffer: [0; CHUNK], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads once; 0 at the end.
    fn fill(&mut self, from: BorrowedFd<'_>) -> Result<usize, Errno> {
        let length = read(from, &mut self.buffer)?;
        (self.start, self.end) = (0, length);
        Ok(length)
    }

    /// Writes once. What can't be written because nobody is there to read it is dropped.
    fn flush(&mut self, to: BorrowedFd<'_>) {
        match write(to, &self.buffer[self.start..self.end]) {
            Ok(length) => self.start += length,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.start = self.end,
        }
    }
}

impl Relay {
    /// Makes this terminal raw, and the container's one of the same size. One of the two makes a
    /// carriage return and a line feed of a line's end: this one, so that a redirected output has none.
    pub(crate) fn new(terminal: Terminal, master: OwnedFd) -> anyhow::Result<Self> {
        let mut inner = tcgetattr(&master).map_err(text::errno).context("tcgetattr")?;
        inner.output_flags -= OutputFlags::ONLCR;
        tcsetattr(&master, SetArg::TCSANOW, &inner).map_err(text::errno).context("tcsetattr")?;
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))
            .map_err(text::errno)
            .context("fcntl(F_SETFL)")?;
        let relay = Self {
            terminal: terminal.make_raw()?,
            stdin: stdin(),
            stdout: stdout(),
            master,
            typed: Bytes::new(),
            written: Bytes::new(),
            reads: true,
            hears: true,
        };
        relay.resize();
        Ok(relay)
    }

    /// Tells the container's terminal the size of this one.
    pub(crate) fn resize(&self) {
        let resized = match WindowSize::of(&self.terminal) {
            // Nobody has told this one.
            Ok(WindowSize { rows: 0, columns: 0 }) => Ok(()),
            Ok(size) => size.apply(&self.master),
            Err(error) => Err(error),
        };
        if let Err(error) = resized {
            log::debug!("resize the terminal: {error}");
        }
    }

    /// What to wait for. What is of no interest must not be there: poll(2) tells of every end.
    pub(crate) fn wanted<'s>(&'s self, into: &mut Vec<PollFd<'s>>) {
        let mut master = PollFlags::empty();
        master.set(PollFlags::POLLIN, self.hears && self.written.is_empty());
        master.set(PollFlags::POLLOUT, !self.typed.is_empty());
        if !master.is_empty() {
            into.push(PollFd::new(self.master.as_fd(), master));
        }
        if !self.written.is_empty() {
            into.push(PollFd::new(self.stdout.as_fd(), PollFlags::POLLOUT));
        }
        if self.reads && self.typed.is_empty() {
            into.push(PollFd::new(self.stdin.as_fd(), PollFlags::POLLIN));
        }
    }

    /// Copies what can be copied without waiting.
    pub(crate) fn copy(&mut self) -> Left {
        self.copy_typed();
        for _ in 0..ROUNDS {
            if !self.written.is_empty() {
                if !is_ready(self.stdout.as_fd(), PollFlags::POLLOUT) {
                    return Left::More;
                }
                self.written.flush(self.stdout.as_fd());
            } else if !self.hears {
                return Left::Nothing;
            } else {
                match self.written.fill(self.master.as_fd()) {
                    Err(Errno::EAGAIN) => return Left::Nothing,
                    Ok(1..) | Err(Errno::EINTR) => {}
                    // EIO: nobody has it open any more.
                    Ok(0) | Err(_) => self.hang_up(),
                }
            }
        }
        Left::More
    }

    fn copy_typed(&mut self) {
        if self.typed.is_empty() {
            if !self.reads || !is_ready(self.stdin.as_fd(), PollFlags::POLLIN) {
                return;
            }
            // EIO: this terminal has hung up, or belongs to another foreground job.
            if let Ok(0) | Err(_) = self.typed.fill(self.stdin.as_fd()) {
                self.reads = false;
                return;
            }
        }
        self.typed.flush(self.master.as_fd());
    }

    fn hang_up(&mut self) {
        (self.hears, self.reads) = (false, false);
        self.typed = Bytes::new();
    }
}

/// Whether something can be read or written, or an end be found, without waiting.
fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn bytes_are_written_in_pieces_until_nobody_reads() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (mut sink, full) = std::io::pipe().unwrap();
        fcntl(&full, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        while write(&full, &[b'x'; CHUNK]).is_ok() {}

        let mut bytes = Bytes::new();
        writer.write_all(b"abc").unwrap();
        assert_eq!(bytes.fill(reader.as_fd()), Ok(3));
        assert!(!bytes.is_empty());
        bytes.flush(full.as_fd());
        assert!(!bytes.is_empty(), "there was no room");
        sink.read_exact(&mut [0; 2 * CHUNK]).unwrap();
        bytes.flush(full.as_fd());
        assert!(bytes.is_empty());

        writer.write_all(b"d").unwrap();
        bytes.fill(reader.as_fd()).unwrap();
        drop(sink);
        bytes.flush(full.as_fd());
        assert!(bytes.is_empty());
        drop(writer);
        assert_eq!(bytes.fill(reader.as_fd()), Ok(0));
    }
}
