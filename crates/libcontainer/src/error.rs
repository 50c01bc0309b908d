//! The one public error.
//!
//! A message reads from the outside in, on one line: what we were doing, the object, the system call,
//! the errno in the words of the Go runtimes (`no such file or directory`), because container managers
//! classify failures by those words. Programs look at [`Error::kind`], [`Error::errno`] and
//! [`Error::property`] instead.

use std::fmt;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The container, or an object that the configuration names, does not exist.
    NotFound,
    /// A container of this id exists already.
    Exists,
    /// The configuration, or an argument, breaks a rule.
    InvalidConfig,
    /// The container is not in a state in which this operation is possible.
    InvalidState,
    /// The configuration asks for something that this build or this kernel can't do.
    Unsupported,
    /// The kernel refused for want of permission.
    Permission,
    /// A system call failed; [`Error::errno`] tells how.
    Os,
    /// A hook failed.
    Hook,
    /// A promise inside this library was broken.
    Internal,
}

/// Why an operation failed. It names the object, the system call and the errno.
#[allow(clippy::error_impl_error, reason = "the one public error, as in io and fmt")]
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    errno: Option<i32>,
    property: Option<String>,
}

impl Error {
    /// An error of `kind` that says `message`: lower case, without a full stop.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), errno: None, property: None }))
    }

    /// A failed system call, written as strace does: `call` is `openat2(5, "etc")`.
    pub(crate) fn os(call: impl fmt::Display, errno: i32) -> Self {
        let kind = match errno {
            libc::ENOENT | libc::ESRCH => ErrorKind::NotFound,
            libc::EPERM | libc::EACCES => ErrorKind::Permission,
            libc::ENOSYS => ErrorKind::Unsupported,
            _ => ErrorKind::Os,
        };
        let mut error = Self::new(kind, format!("{call}: {}", errno_text(errno)));
        error.0.errno = Some(errno);
        error
    }

    /// The failure of a standard library call, with what was called.
    pub(crate) fn io(call: impl fmt::Display, source: &std::io::Error) -> Self {
        match source.raw_os_error() {
            Some(errno) => Self::os(call, errno),
            None => Self::new(ErrorKind::Os, format!("{call}: {source}")),
        }
    }

    /// Replaces the message, where callers match the words.
    #[must_use]
    pub(crate) fn in_words(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Puts what we were doing before the message.
    #[must_use]
    pub(crate) fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// The same without newlines and other control characters, which what it quotes may have.
    #[must_use]
    pub(crate) fn on_one_line(mut self) -> Self {
        self.0.message = self.0.message.replace(char::is_control, " ");
        self
    }

    /// Says which property of `config.json` the failed operation comes from.
    #[must_use]
    pub(crate) fn with_property(mut self, property: impl Into<String>) -> Self {
        self.0.property = Some(property.into());
        self
    }

    /// Gives the error another kind, where the caller knows better than the errno.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The errno of the system call that failed, if one did (errno(3)).
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// The property of `config.json` that the failed step comes from, such as `mounts[3]`.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        self.0.property.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("errno", &self.0.errno)
            .field("property", &self.0.property)
            .finish()
    }
}

impl std::error::Error for Error {}

/// Puts what we were doing before the message of a failure.
pub(crate) trait Context<T> {
    /// The same result; `doing` is called only for a failure.
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.context(doing()))
    }
}

/// Something that the configuration asked for and that was left out as the specification says, such as
/// an unknown capability. Returned, never printed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The property of `config.json`, such as `process.capabilities.bounding`.
    pub property: String,
    /// What was left out, and why.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.message)
    }
}

/// Where nix has other words than Go, of what the system calls here can fail with.
const OTHER_TEXTS: &[(i32, &str)] = &[
    (libc::EIO, "input/output error"),
    (libc::EBADF, "bad file descriptor"),
    (libc::EAGAIN, "resource temporarily unavailable"),
    (libc::ENOMEM, "cannot allocate memory"),
    (libc::EXDEV, "invalid cross-device link"),
    (libc::ENFILE, "too many open files in system"),
    (libc::ENOTTY, "inappropriate ioctl for device"),
    (libc::ERANGE, "numerical result out of range"),
    (libc::EDEADLK, "resource deadlock avoided"),
    (libc::ELOOP, "too many levels of symbolic links"),
    (libc::EOPNOTSUPP, "operation not supported"),
    (libc::EDQUOT, "disk quota exceeded"),
    (libc::EOVERFLOW, "value too large for defined data type"),
    (libc::ENODATA, "no data available"),
];

/// The errno in the words that the callers of Go runtimes look for: lower case.
pub fn errno_text(errno: i32) -> String {
    let known = nix::errno::Errno::from_raw(errno);
    if let Some((_, text)) = OTHER_TEXTS.iter().find(|(other, _)| *other == errno) {
        return (*text).to_string();
    }
    if known == nix::errno::Errno::UnknownErrno {
        return format!("errno {errno}");
    }
    let mut text = known.desc().to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_from_the_outside_in() {
        let error = Error::os("openat2(5, \"etc\")", libc::ENOENT)
            .context("mounts[0] /etc")
            .with_property("mounts[0]");
        assert_eq!(
            error.to_string(),
            "mounts[0] /etc: openat2(5, \"etc\"): no such file or directory"
        );
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert_eq!(error.property(), Some("mounts[0]"));
    }

    #[test]
    fn errno_texts_are_those_of_go() {
        for (errno, text) in [
            (libc::EPERM, "operation not permitted"),
            (libc::EACCES, "permission denied"),
            (libc::ENOEXEC, "exec format error"),
            (libc::EBUSY, "device or resource busy"),
            (libc::EDQUOT, "disk quota exceeded"),
            (libc::ELOOP, "too many levels of symbolic links"),
            (libc::ENOMEM, "cannot allocate memory"),
            (9999, "errno 9999"),
        ] {
            assert_eq!(errno_text(errno), text);
        }
    }

    #[test]
    fn the_error_crosses_threads() {
        fn assert_send_sync<T: Send + Sync + 'static>() {}
        assert_send_sync::<Error>();
    }
}
