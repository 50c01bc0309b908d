//! What a hook writes: taken in while it runs, so that a full pipe does not stop it, and repeated in the
//! error if it fails.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::error::{Error, Result};

/// What of it a message repeats.
const MOST_OUTPUT: usize = 4096;

/// The output of a hook: two pipes, and what came out of them.
#[derive(Debug)]
pub(super) struct Output {
    streams: [Stream; 2],
}

#[derive(Debug)]
struct Stream {
    from: File,
    bytes: Vec<u8>,
    open: bool,
}

impl Output {
    /// The output, and the ends that the hook writes to.
    pub(super) fn pipes() -> Result<(Self, [OwnedFd; 2])> {
        let pipe =
            || pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::os("pipe2 for a hook", errno as i32));
        let ((out, out_end), (err, err_end)) = (pipe()?, pipe()?);
        let stream = |from: OwnedFd| Stream { from: from.into(), bytes: Vec::new(), open: true };
        Ok((Self { streams: [stream(out), stream(err)] }, [out_end, err_end]))
    }

    /// Takes in what is there, until `until` is readable or the deadline has passed. False if it has.
    pub(super) fn take_until(
        &mut self,
        until: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> Result<bool> {
        loop {
            let mut polled = vec![PollFd::new(until, PollFlags::POLLIN)];
            let open = self.streams.iter().filter(|stream| stream.open);
            polled.extend(open.map(|stream| PollFd::new(stream.from.as_fd(), PollFlags::POLLIN)));
            let ready: Vec<bool> = match poll(&mut polled, timeout(deadline)) {
                Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Ok(false);
                }
                Ok(_) => polled.iter().map(|fd| fd.any() == Some(true)).collect(),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(Error::os("poll for a hook", errno as i32)),
            };
            let mut ready = ready.into_iter();
            let done = ready.next() == Some(true);
            for (stream, ready) in self.streams.iter_mut().filter(|stream| stream.open).zip(ready) {
                if ready {
                    stream.take();
                }
            }
            if done {
                return Ok(true);
            }
        }
    }

    /// What came out, as a message has it.
    pub(super) fn into_text(self) -> String {
        let [out, err] =
            self.streams.map(|stream| String::from_utf8_lossy(&stream.bytes).into_owned());
        format!("stdout: {}, stderr: {}", out.escape_debug(), err.escape_debug())
    }
}

impl Stream {
    /// Reads once. What is too much is read, so that the hook isn't stopped by a full pipe, and dropped.
    fn take(&mut self) {
        let mut buffer = [0; MOST_OUTPUT];
        match self.from.read(&mut buffer) {
            Ok(0) | Err(_) => self.open = false,
            Ok(length) => {
                let room = MOST_OUTPUT.saturating_sub(self.bytes.len());
                self.bytes.extend_from_slice(&buffer[..length.min(room)]);
            }
        }
    }
}

fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(Instant::now());
    // Rounded up: a poll that ends too early only comes again.
    let milliseconds = left.as_millis().saturating_add(1).min(1 << 30);
    PollTimeout::try_from(i32::try_from(milliseconds).unwrap_or(1 << 30))
        .unwrap_or(PollTimeout::ZERO)
}
