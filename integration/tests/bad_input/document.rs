//! The configuration as a file and as a document. What a configuration may not say is in `fixtures/bad`,
//! each file of which is a row.

use std::fs;
use std::path::Path;
use std::time::Duration;

use integration::Bundle;

use super::place::{Inode, put};
use super::{RUN, Row, Setting, check, row};

/// The bundle with this text in its configuration.
fn with_text(bundle: Bundle, text: &[u8]) -> Setting {
    Setting::from(bundle)
        .then(|bundle| fs::write(bundle.directory().join("config.json"), text).unwrap())
}

fn with_inode(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(bundle).then(|bundle| put(&bundle.directory().join("config.json"), inode))
    }
}

#[test]
fn every_bad_fixture() {
    // To the peers they are not put: some would do to the host what the rules forbid.
    if integration::Under::test().kind != integration::Kind::Tare {
        return;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/bad");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let bad: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    assert!(bad.len() > 50, "{bad:?}");
    let rows: Vec<Row> = bad.iter().map(|path| fixture(path)).collect();
    check(&rows);
}

fn fixture(path: &Path) -> Row {
    let text = fs::read(path).unwrap();
    let expected = fs::read_to_string(path.with_extension("error")).unwrap();
    let message = format!("{{bundle}}/config.json: {}", expected.trim_end_matches('\n'));
    row(&path.file_stem().unwrap().to_string_lossy(), &message, move |bundle| {
        with_text(bundle, &text)
    })
}

fn unopened(path: &str, why: &str) -> String {
    format!("open(\"{{bundle}}/{path}\", O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC): {why}")
}

fn not_found(path: &str) -> String {
    let why = unopened(path, "no such file or directory");
    format!("JSON specification file config.json not found: {why}")
}

#[test]
fn files() {
    check(&[
        row("no config.json", &not_found("config.json"), with_inode(Inode::Nothing)),
        row("no config.json, run", &not_found("config.json"), with_inode(Inode::Nothing))
            .command(RUN),
        row(
            "config.json is a directory",
            "{bundle}/config.json: is not a regular file",
            with_inode(Inode::Directory),
        ),
        row(
            "config.json is a FIFO",
            "{bundle}/config.json: is not a regular file",
            with_inode(Inode::Fifo),
        )
        .crun("waits for a writer")
        .runc("waits for a writer"),
        row(
            "config.json is a socket",
            &unopened("config.json", "no such device or address"),
            with_inode(Inode::Socket),
        ),
        row(
            "config.json is a device",
            &unopened("config.json", "no such device or address"),
            with_inode(Inode::Device),
        ),
        row(
            "config.json is a loop of links",
            &unopened("config.json", "too many levels of symbolic links"),
            with_inode(Inode::Loop),
        ),
        row(
            "config.json is a link to nothing",
            &not_found("config.json"),
            with_inode(Inode::Dangling),
        ),
        row(
            "config.json is an endless device",
            "{bundle}/config.json: is not a regular file",
            |bundle| {
                with_inode(Inode::Nothing)(bundle).then(|bundle| {
                    let path = bundle.directory().join("config.json");
                    std::os::unix::fs::symlink("/dev/zero", path).unwrap();
                })
            },
        )
        .crun("reads it without an end"),
        row("no bundle", &not_found("nosuch/config.json"), |bundle| bundle).command(&[
            "create",
            "--bundle",
            "{bundle}/nosuch",
            "{id}",
        ]),
        row(
            "the bundle is a file",
            &unopened("config.json/config.json", "not a directory"),
            |bundle| bundle,
        )
        .command(&["create", "--bundle", "{bundle}/config.json", "{id}"]),
        row(
            "the bundle's name is too long",
            "open(\"/{*}/config.json\", O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC): file name too long",
            |bundle| Setting::from(bundle).options(&["--bundle", &format!("/{}", "x".repeat(256))]),
        ),
    ]);
}

#[test]
fn documents() {
    let text = |text: &'static [u8]| move |bundle| with_text(bundle, text);
    check(&[
        row(
            "nothing",
            "{bundle}/config.json: EOF while parsing a value at line 1 column 0",
            text(b""),
        ),
        row(
            "blanks",
            "{bundle}/config.json: EOF while parsing a value at line 2 column 2",
            text(b" \n\t "),
        ),
        row("null", "{bundle}/config.json: config cannot be null", text(b"null"))
            .runc("1.1.5 panics"),
        row(
            "an array",
            "{bundle}/config.json: config: is an array, must be an object at line 1 column 1",
            text(b"[]"),
        ),
        row(
            "an open object",
            "{bundle}/config.json: EOF while parsing an object at line 1 column 1",
            text(b"{"),
        ),
        row(
            "a number that no type holds",
            "{bundle}/config.json: number out of range at line 1 column 41",
            text(br#"{"process":{"cwd":"/","oomScoreAdj":1e400}}"#),
        ),
        row(
            "a float",
            "{bundle}/config.json: process.user.uid: invalid type: floating point `0.5`, expected u32 at line 1 column 37; \
             ociVersion: must be specified (allowed: a semantic version 1.x.y); \
             root: root must be specified (allowed: an object with a path); \
             process.args: args must not be empty (allowed: the program and its arguments)",
            text(br#"{"process":{"cwd":"/","user":{"uid":0.5,"gid":0}}}"#),
        ),
        row(
            "a number of 20 digits",
            "{bundle}/config.json: process.user.uid: invalid type: floating point `1e+20`, expected u32 at line 1 column 37; \
             ociVersion: must be specified (allowed: a semantic version 1.x.y); \
             root: root must be specified (allowed: an object with a path); \
             process.args: args must not be empty (allowed: the program and its arguments)",
            text(br#"{"process":{"cwd":"/","user":{"uid":99999999999999999999}}}"#),
        ),
        row(
            "half of a surrogate pair",
            "{bundle}/config.json: unexpected end of hex escape at line 1 column 20",
            text(br#"{"hostname":"\ud800"}"#),
        ),
        row(
            "text behind the end",
            "{bundle}/config.json: trailing characters at line 1 column 4",
            text(b"{} {}"),
        ),
        row(
            "a comment",
            "{bundle}/config.json: key must be a string at line 1 column 2",
            text(b"{/* */}"),
        ),
        row(
            "200000 levels",
            "{bundle}/config.json: recursion limit exceeded at line 1 column 128",
            |bundle| with_text(bundle, "[".repeat(200_000).as_bytes()),
        ),
        row(
            "200000 levels that nobody reads",
            "{bundle}/config.json: x[0][0][0]: is nested deeper than 128 levels at line 1 column 134",
            |bundle| {
                let text = format!("{{\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
                with_text(bundle, text.as_bytes())
            },
        ),
        row(
            "200000 keys",
            "{bundle}/config.json: ociVersion: must be specified (allowed: a semantic version 1.x.y); root: root must be specified (allowed: an object with a path); process: process property must not be empty (allowed: an object with args and cwd)",
            |bundle| {
                let keys: Vec<String> = (0..200_000).map(|n| format!("\"{n}\":0")).collect();
                with_text(bundle, format!("{{{}}}", keys.join(",")).as_bytes())
            },
        ),
        row(
            "a thousand defects behind 15 MiB of white space",
            "{bundle}/config.json: x.a: duplicate key \"a\" at line 1 column {*} more",
            |bundle| {
                let (space, keys) = (" ".repeat(15 << 20), ["\"a\":1"; 1000].join(","));
                let text = format!("{{\"ociVersion\":\"1.0.2\",{space}\"x\":{{{keys}}}}}");
                with_text(bundle, text.as_bytes())
            },
        )
        .crun("takes the last one")
        .runc("takes the last one")
        .waits(Duration::from_secs(4)),
        row("17 MiB", "{bundle}/config.json: is larger than 16 MiB", |bundle| {
            with_text(bundle, &[b' '; 17 << 20])
        }),
        row("17 MiB of a hole", "{bundle}/config.json: is larger than 16 MiB", |bundle| {
            with_text(bundle, b"").then(|bundle| {
                let path = bundle.directory().join("config.json");
                fs::File::create(path).unwrap().set_len(17 << 20).unwrap();
            })
        }),
    ]);
}
