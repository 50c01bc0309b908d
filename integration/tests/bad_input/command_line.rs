//! The command line: flags, values, arguments.

use integration::Bundle;

use super::{Row, Setting, check, row};

fn words(command: &'static [&'static str], message: &str) -> Row {
    row(&command.join(" "), message, |bundle| bundle).command(command)
}

#[test]
fn usage() {
    let rows = [
        words(&["nosuch"], "No help topic for 'nosuch'").crun("exits with 1").code(3),
        words(&["nosuch", "-h"], "No help topic for 'nosuch'").runc("1.1.5 exits with 3"),
        words(&["help", "nosuch"], "No help topic for 'nosuch'").crun("exits with 1").code(3),
        words(
            &["--nosuch", "list"],
            "time=\"{*}\" level=error msg=\"flag provided but not defined: -nosuch\"",
        )
        .crun("has argp's exit code"),
        words(&["create"], "tare: \"create\" requires exactly 1 argument(s)"),
        words(&["create", "a", "b"], "tare: \"create\" requires exactly 1 argument(s)"),
        words(&["create", "--bogus", "{id}"], "flag provided but not defined: -bogus")
            .crun("has argp's exit code"),
        words(&["create", "--bundle"], "flag needs an argument: --bundle")
            .crun("has argp's exit code"),
        words(
            &["create", "--preserve-fds", "-1", "{id}"],
            "invalid value \"-1\" for flag -preserve-fds: parse error",
        ),
        words(
            &["create", "--preserve-fds", "many", "{id}"],
            "invalid value \"many\" for flag -preserve-fds: parse error",
        ),
        words(
            &["create", "--no-pivot=perhaps", "{id}"],
            "invalid boolean value \"perhaps\" for -no-pivot: parse error",
        )
        .crun("has argp's exit code"),
        words(&["state"], "tare: \"state\" requires exactly 1 argument(s)"),
        words(&["state", "a", "b"], "tare: \"state\" requires exactly 1 argument(s)"),
        words(&["state", "--bogus", "a"], "flag provided but not defined: -bogus")
            .crun("has argp's exit code"),
        words(&["start"], "tare: \"start\" requires exactly 1 argument(s)"),
        words(&["kill"], "tare: \"kill\" requires a minimum of 1 argument(s)"),
        words(&["kill", "{id}", "9", "9"], "tare: \"kill\" requires a maximum of 2 argument(s)"),
        words(&["delete"], "tare: \"delete\" requires exactly 1 argument(s)"),
        words(&["list", "--format", "xml"], "invalid format option"),
        words(&["list", "a"], "tare: \"list\" requires exactly 0 argument(s)"),
        words(
            &["spec", "--bundle", "/nonexistent"],
            "write /nonexistent/config.json: no such file or directory",
        ),
        words(&["restore", "--lsm-mount-context"], "No help topic for 'restore'")
            .crun("has the command")
            .runc("has the command")
            .code(3),
    ];
    check(&rows.map(Row::usage));
}

#[test]
fn bad_ids() {
    let rows = [
        words(&["create", "--bundle", "{bundle}", ""], "container id cannot be empty"),
        words(&["create", "--bundle", "{bundle}", "."], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", ".."], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", "a/b"], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", "../{id}"], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", "/{id}"], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", "a b"], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", "a\n"], "invalid container ID format"),
        words(&["create", "--bundle", "{bundle}", "ä"], "invalid container ID format"),
        words(&["run", "--bundle", "{bundle}", "%s"], "invalid container ID format"),
        words(&["start", "../{id}"], "invalid container ID format"),
        words(&["delete", "--force", "../{id}"], "invalid container ID format"),
        row(
            "an id of 256 characters",
            "linux.cgroupsPath {*}: a name is longer than 255 bytes",
            |bundle: Bundle| {
                let id = "x".repeat(256);
                Setting::from(bundle).call(move |command| command.arg(&id))
            },
        )
        .command(&["create", "--bundle", "{bundle}"]),
    ];
    check(
        &rows.map(|row| row.crun("takes every id without a slash; to delete nothing is no error")),
    );
}

fn option(words: &'static [&'static str], message: &str) -> Row {
    row(&words.join(" "), message, move |bundle| Setting::from(bundle).options(words))
}

#[test]
fn options() {
    check(&[
        option(
            &["--pid-file", "/nonexistent/pid"],
            "write pid file /nonexistent/pid: no such file or directory",
        ),
        option(
            &["--pid-file", "{bundle}/rootfs"],
            "write pid file {bundle}/rootfs: is a directory",
        )
        .runc("1.1.5 leaves its temporary file"),
        option(
            &["--pid-file", "{bundle}/config.json/pid"],
            "write pid file {bundle}/config.json/pid: not a directory",
        ),
        option(
            &["--preserve-fds", "100000"],
            "{start}: preserve 100000 file descriptors: fcntl(F_DUPFD_CLOEXEC, 100003): invalid argument",
        ),
        option(
            &["--preserve-fds", "4294967295"],
            "{start}: preserve 4294967295 file descriptors: fcntl(F_DUPFD_CLOEXEC, 2147483647): invalid argument",
        ),
        row(
            "a log in a directory that is not there",
            "time=\"{*}\" level=error msg=\"open /nonexistent/log: no such file or directory\"",
            |bundle| bundle,
        )
        .command(&["--log", "/nonexistent/log", "state", "{id}"]),
        row(
            "a log that is a directory",
            "time=\"{*}\" level=error msg=\"open {bundle}: is a directory\"",
            |bundle| bundle,
        )
        .command(&["--log", "{bundle}", "state", "{id}"]),
        row(
            "an unknown format of the log",
            "time=\"{*}\" level=error msg=\"invalid log-format: xml\"",
            |bundle| bundle,
        )
        .command(&["--log-format", "xml", "state", "{id}"]),
        row(
            "the root of the system as --root",
            "Option --root argument should not be set to /",
            |bundle| bundle,
        )
        .crun("takes it")
        .runc("1.1.5 takes it")
        .command(&["--root", "/", "list"]),
        row(
            "a --root that is a file",
            "state root: open(\"{bundle}/config.json\"): not a directory",
            |bundle| bundle,
        )
        .command(&["--root", "{bundle}/config.json", "list"]),
        row(
            "a --root that is not there",
            "open {bundle}/nosuch: no such file or directory",
            |bundle| bundle,
        )
        .crun("makes it")
        .runc("1.1.5 makes it")
        .command(&["--root", "{bundle}/nosuch", "list"]),
        row("spec where there is one", "File config.json exists. Remove it first", |bundle| bundle)
            .command(&["spec", "--bundle", "{bundle}"]),
    ]);
}
