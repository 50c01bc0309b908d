//! The log: one record a line, in the two formats of logrus, which container managers read back.
//!
//! Podman reads the file as a single JSON object, so without `--debug` nothing is written to one but the
//! error that ends the program, which goes to the standard error as well. Without a file, warnings are told
//! too: what was left out of a configuration shall not go unseen.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, bail};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::rfc3339;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="…" level=error msg="…"`.
    Text,
    /// One object a line.
    Json,
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// To the standard error.
    Stderr,
    /// To a file.
    File,
}

struct Logger {
    format: Format,
    file: Option<File>,
}

/// The record of logrus; its keys are sorted.
#[derive(serde::Serialize)]
struct Json<'a> {
    level: &'a str,
    msg: &'a str,
    time: &'a str,
}

/// Starts logging.
pub(crate) fn install(
    file: Option<&OsStr>,
    format: Format,
    debug: bool,
) -> anyhow::Result<Channel> {
    let file = file.map(open).transpose()?;
    let channel = if file.is_some() { Channel::File } else { Channel::Stderr };
    let level = match channel {
        _ if debug => LevelFilter::Debug,
        Channel::File => LevelFilter::Error,
        Channel::Stderr => LevelFilter::Warn,
    };
    // A second call is not a failure: the first logger stays.
    if log::set_boxed_logger(Box::new(Logger { format, file })).is_ok() {
        log::set_max_level(level);
    }
    Ok(channel)
}

/// The format of `--log-format`.
pub(crate) fn format(name: Option<&OsStr>) -> anyhow::Result<Format> {
    match name.map(OsStr::to_string_lossy).as_deref() {
        None | Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        Some(other) => bail!("invalid log-format: {other}"),
    }
}

fn open(path: &OsStr) -> anyhow::Result<File> {
    let path = Path::new(path);
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o644)
        .open(path)
        .map_err(|error| crate::text::io(&error))
        .with_context(|| format!("open {}", path.display()))
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let time = rfc3339::format(SystemTime::now());
        let line = line(self.format, record.level(), &record.args().to_string(), &time);
        // One write a record, so that records of several processes do not mix. There is nowhere left to
        // report a failure to.
        let written = match &self.file {
            Some(file) => (&mut &*file).write_all(line.as_bytes()),
            None => io::stderr().write_all(line.as_bytes()),
        };
        written.ok();
    }

    fn flush(&self) {}
}

fn line(format: Format, level: Level, msg: &str, time: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    match format {
        Format::Text => format!("time=\"{time}\" level={level} msg={}\n", quoted(msg)),
        Format::Json => {
            let mut line = serde_json::to_string(&Json { level, msg, time }).unwrap_or_default();
            line.push('\n');
            line
        }
    }
}

/// As logrus: plain words stay bare.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    if text.bytes().all(is_plain) { text.to_string() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-20T22:16:04Z";

    #[test]
    fn records_are_those_of_logrus() {
        for (format, level, msg, expected) in [
            (
                Format::Text,
                Level::Error,
                "container does not exist",
                r#"time="2026-11-20T22:16:04Z" level=error msg="container does not exist""#,
            ),
            (
                Format::Text,
                Level::Error,
                "tare: \"state\" requires\n",
                r#"time="2026-11-20T22:16:04Z" level=error msg="tare: \"state\" requires\n""#,
            ),
            (
                Format::Text,
                Level::Warn,
                "word",
                r#"time="2026-11-20T22:16:04Z" level=warning msg=word"#,
            ),
            (
                Format::Json,
                Level::Debug,
                "a \"b\"\nc",
                r#"{"level":"debug","msg":"a \"b\"\nc","time":"2026-11-20T22:16:04Z"}"#,
            ),
        ] {
            assert_eq!(line(format, level, msg, TIME), format!("{expected}\n"));
        }
    }

    #[test]
    fn formats_have_names() {
        assert_eq!(format(None).unwrap(), Format::Text);
        assert_eq!(format(Some(OsStr::new("text"))).unwrap(), Format::Text);
        assert_eq!(format(Some(OsStr::new("json"))).unwrap(), Format::Json);
        let error = format(Some(OsStr::new("xx"))).unwrap_err();
        assert_eq!(error.to_string(), "invalid log-format: xx");
    }
}
