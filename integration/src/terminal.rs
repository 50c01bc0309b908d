//! Terminals as a caller has them: the master end that a console socket brings, and a terminal that the
//! runtime is started at.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command};

use libcontainer::WindowSize;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::{Pid, read, write};

use crate::bundle::Bundle;
use crate::outcome::{code, until};

/// The master end of a terminal, and what was seen on it.
#[derive(Debug)]
pub struct Screen {
    master: OwnedFd,
    seen: String,
}

impl Screen {
    fn new(master: OwnedFd) -> Self {
        Self { master, seen: String::new() }
    }

    /// Types.
    #[track_caller]
    pub fn types(&self, text: &str) {
        assert_eq!(write(&self.master, text.as_bytes()), Ok(text.len()));
    }

    /// Makes it another size.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        WindowSize { rows, columns }.apply(&self.master).expect("TIOCSWINSZ");
    }

    /// Its size: rows and columns.
    #[track_caller]
    pub fn size(&self) -> (u16, u16) {
        let WindowSize { rows, columns } = WindowSize::of(&self.master).expect("TIOCGWINSZ");
        (rows, columns)
    }

    /// Reads what is there; false behind the end.
    fn look(&mut self) -> bool {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO) != Ok(1) {
            return true;
        }
        let mut bytes = [0; 4096];
        match read(&self.master, &mut bytes) {
            Ok(length @ 1..) => {
                self.seen += &String::from_utf8_lossy(&bytes[..length]);
                true
            }
            // EIO: nobody has it open any more.
            Ok(0) | Err(_) => false,
        }
    }

    /// Waits until this text was seen, and returns all that was.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        let shown = until(|| self.seen.contains(text) || !self.look() || self.seen.contains(text));
        assert!(shown && self.seen.contains(text), "no {text:?}: {:?}", self.seen);
        self.seen.clone()
    }

    /// Waits until nobody has the terminal open any more, and returns all that was seen.
    #[track_caller]
    pub fn ends(&mut self) -> String {
        assert!(until(|| (0..100).any(|_| !self.look())), "goes on: {:?}", self.seen);
        self.seen.clone()
    }
}

/// A socket that waits for the master end of a container's terminal.
#[derive(Debug)]
pub struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// One in the bundle's directory.
    pub fn listen(bundle: &Bundle) -> Self {
        let path = bundle.directory().join("console.sock");
        Self { listener: UnixListener::bind(&path).expect("bind"), path }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// Takes the next connection, and closes it.
    pub fn turn_away(self) {
        drop(self.listener.accept());
    }

    /// What was sent: the text, and the terminal.
    #[track_caller]
    pub fn receive(&self) -> (String, Screen) {
        self.listener.set_nonblocking(true).expect("fcntl");
        let (connection, _) = self.listener.accept().expect("nobody has connected");
        let mut bytes = [0; 256];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!([RawFd; 2]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let fd = connection.as_raw_fd();
        let message =
            recvmsg::<UnixAddr>(fd, &mut slices, Some(&mut control), flags).expect("recv");
        let fds: Vec<RawFd> = message
            .cmsgs()
            .expect("cmsgs")
            .filter_map(|message| match message {
                ControlMessageOwned::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        let length = message.bytes;
        let [master] = fds[..] else { panic!("descriptors: {fds:?}") };
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        (text, Screen::new(own(master)))
    }
}

#[allow(unsafe_code, reason = "nix hands out a received descriptor as a number")]
fn own(received: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and `receive` passes it once.
    unsafe { OwnedFd::from_raw_fd(received) }
}

/// A command in the foreground of a terminal of its own.
#[derive(Debug)]
pub struct AtTerminal {
    /// What a user sees of it.
    pub screen: Screen,
    slave: OwnedFd,
    before: Termios,
    child: Child,
}

impl AtTerminal {
    /// Starts it as the leader of a session. `redirect` may change where its streams go.
    #[track_caller]
    pub fn start(command: &Command, redirect: impl FnOnce(&mut Command)) -> Self {
        let pty = openpty(None, None).expect("openpty");
        WindowSize { rows: 33, columns: 99 }.apply(&pty.master).expect("TIOCSWINSZ");
        let before = tcgetattr(&pty.slave).expect("tcgetattr");
        let stream = || pty.slave.try_clone().expect("dup");
        let mut leader = Command::new("setsid");
        leader.arg("--ctty").arg(command.get_program()).args(command.get_args());
        leader.stdin(stream()).stdout(stream()).stderr(stream());
        redirect(&mut leader);
        let child = leader.spawn().expect("setsid of util-linux");
        Self { screen: Screen::new(pty.master), slave: pty.slave, before, child }
    }

    /// Sends a signal to the command.
    pub fn kill(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("kill");
    }

    /// Whether the terminal hands on every key as it is.
    pub fn is_raw(&self) -> bool {
        let flags = tcgetattr(&self.slave).expect("tcgetattr").local_flags;
        !flags.contains(nix::sys::termios::LocalFlags::ICANON)
    }

    /// Waits for its end. The terminal must be set as it was. Returns the status in the way of a shell,
    /// and all that was seen.
    #[track_caller]
    pub fn ends(mut self) -> (i32, String) {
        let mut status = None;
        until(|| {
            self.screen.look();
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        let Some(status) = status else {
            self.child.kill().expect("kill of a child of ours");
            self.child.wait().expect("a child of ours");
            panic!("hangs: {:?}", self.screen.seen);
        };
        assert_eq!(tcgetattr(&self.slave).expect("tcgetattr"), self.before);
        drop(self.slave);
        (code(status), self.screen.ends())
    }
}
