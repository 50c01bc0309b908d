//! Hooks that fail, hang, are killed, or do harm.

use std::time::Duration;

use integration::Bundle;
use serde_json::{Value, json};

use super::{CREATE, RUN, Row, START, check, row};

const CREATE_KINDS: [&str; 3] = ["prestart", "createRuntime", "createContainer"];

/// What crun does for a hook that it runs itself.
const OTHER_CODE: &str = "exits with 255 if a hook fails, or leaves what it has started";

/// A hook that is a shell script of the host. `{bundle}` and `{id}` are put in.
fn shell(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] })
}

fn hook(kind: &'static str, hook: Value) -> impl Fn(Bundle) -> Bundle {
    move |bundle| {
        let text = hook.to_string().replace("{bundle}", &bundle.directory().to_string_lossy());
        let text = text
            .replace("{id}", bundle.id())
            .replace("{runtime}", &integration::Under::test().path.to_string_lossy());
        let hook: Value = serde_json::from_str(&text).unwrap();
        bundle.edit(|config| config["hooks"] = json!({ kind: [hook] }))
    }
}

fn path(path: &str) -> Value {
    json!({ "path": path })
}

fn with_timeout(script: &str) -> Value {
    let mut hook = shell(script);
    hook["timeout"] = json!(1);
    hook
}

/// With a peer that waits for all that has the output open.
fn waits_for_output(rows: Vec<Row>) -> impl Iterator<Item = Row> {
    rows.into_iter().map(|row| row.runc("waits for grandchildren that keep the output open"))
}

/// The same with each kind of hook that create runs.
fn each(name: &str, why: &str, value: Value) -> Vec<Row> {
    let of = |kind| {
        let message = format!("{{start}}: error running {kind} hook #0: {why}");
        let row = row(&format!("{kind}: {name}"), &message, hook(kind, value.clone()));
        if kind == "createContainer" { row } else { row.crun(OTHER_CODE) }
    };
    CREATE_KINDS.into_iter().map(of).collect()
}

#[test]
fn hooks_that_fail() {
    let mut rows = Vec::new();
    rows.extend(each(
        "exit 4",
        "exit status 4, stdout: out\\n, stderr: err\\n",
        shell("echo out; echo err >&2; exit 4"),
    ));
    rows.extend(each("a signal", "signal 9, stdout: , stderr: ", shell("kill -KILL $$")));
    for kind in &CREATE_KINDS[..2] {
        let of = |name: &str, why: &str, value| {
            let message = format!("{{start}}: error running {kind} hook #0: exec: {why}");
            row(&format!("{kind}: {name}"), &message, hook(kind, value)).crun(OTHER_CODE)
        };
        let missing = "\"/nonexistent\": stat /nonexistent: no such file or directory";
        rows.push(of("no such file", missing, path("/nonexistent")));
        rows.push(of("a directory", "\"/etc\": is a directory", path("/etc")));
    }
    rows.push(row(
        "createContainer: no such file",
        "{start}: error running createContainer hook #0: \
         exec: \"/nonexistent\": no such file or directory",
        hook("createContainer", path("/nonexistent")),
    ));
    rows.push(row(
        "createContainer: a directory",
        "{start}: error running createContainer hook #0: exec: \"/etc\": permission denied",
        hook("createContainer", path("/etc")),
    ));
    rows.extend(each(
        "not executable",
        "exec: \"/etc/passwd\": permission denied",
        path("/etc/passwd"),
    ));
    rows.extend(each(
        "output without an end",
        "exit status 1, stdout: y\\ny\\n{*}, stderr: ",
        shell("yes | head -c 20000; exit 1"),
    ));
    rows.push(
        row(
            "createRuntime: exit 4, run",
            "{start}: error running createRuntime hook #0: exit status 4, stdout: , stderr: ",
            hook("createRuntime", shell("exit 4")),
        )
        .crun(OTHER_CODE)
        .command(RUN),
    );
    rows.push(
        row(
            "startContainer: exit 4",
            "error running startContainer hook #0: exit status 4, stdout: , stderr: ",
            hook(
                "startContainer",
                json!({ "path": "/bin/sh", "args": ["sh", "-c", "exit 4"], "env": ["PATH=/bin"] }),
            ),
        )
        .crun("start has returned before the hook fails")
        .runc("start has returned before the hook fails")
        .after(&[CREATE])
        .command(START),
    );
    rows.push(
        row(
            "startContainer: exit 4, run",
            "error running startContainer hook #0: exit status 1, stdout: , stderr: ",
            hook("startContainer", path("/bin/false")),
        )
        .command(RUN),
    );
    rows.push(
        row(
            "startContainer: no such file",
            "error running startContainer hook #0: \
         exec: \"/nonexistent\": no such file or directory",
            hook("startContainer", path("/nonexistent")),
        )
        .crun("start has returned before the hook fails")
        .runc("start has returned before the hook fails")
        .after(&[CREATE])
        .command(START),
    );
    rows.push(
        row(
            "poststart: exit 4",
            "error running poststart hook #0: exit status 4, stdout: , stderr: ",
            hook("poststart", shell("exit 4")),
        )
        .crun("1.8.1 ignores the failure")
        .runc("1.1.5 runs it at the end of create")
        .after(&[CREATE])
        .command(START),
    );
    rows.push(row("poststop: exit 4", "", hook("poststop", shell("exit 4"))).command(RUN).code(0));
    rows.push(
        row(
            "the second fails",
            "{start}: error running createRuntime hook #1: exit status 2, stdout: , stderr: ",
            |bundle: Bundle| {
                bundle.edit(|config| {
                    config["hooks"] =
                        json!({ "createRuntime": [shell("exit 0"), shell("exit 2")] });
                })
            },
        )
        .crun(OTHER_CODE),
    );
    check(&rows);
}

#[test]
fn hooks_that_hang() {
    let mut rows = Vec::new();
    rows.extend(waits_for_output(each(
        "hangs",
        "hook ran past specified timeout of 1.0s",
        with_timeout("sleep 4714"),
    )));
    rows.extend(waits_for_output(each(
        "hangs with children",
        "hook ran past specified timeout of 1.0s",
        with_timeout("sleep 4714 & sleep 4714 & wait"),
    )));
    rows.extend(each(
        "ignores signals",
        "hook ran past specified timeout of 1.0s",
        with_timeout("trap '' TERM INT HUP; while :; do sleep 1; done"),
    ));
    rows.push(
        row(
            "startContainer: hangs",
            "error running startContainer hook #0: hook ran past specified timeout of 1.0s",
            hook(
                "startContainer",
                json!({ "path": "/bin/sleep", "args": ["sleep", "4714"], "timeout": 1 }),
            ),
        )
        .crun("start has returned before the hook is killed")
        .runc("start has returned before the hook is killed")
        .after(&[CREATE])
        .command(START),
    );
    rows.push(
        row(
            "poststart: hangs",
            "error running poststart hook #0: hook ran past specified timeout of 1.0s",
            hook("poststart", with_timeout("sleep 4714")),
        )
        .crun("1.8.1 leaves what a hook has started")
        .runc("waits for grandchildren that keep the output open")
        .after(&[CREATE])
        .command(START),
    );
    rows.push(
        row("poststop: hangs", "", hook("poststop", with_timeout("sleep 4714")))
            .crun("1.8.1 leaves what a hook has started")
            .runc("waits for grandchildren that keep the output open")
            .command(RUN)
            .code(0),
    );
    let rows: Vec<Row> = rows.into_iter().map(|row| row.waits(Duration::from_secs(1))).collect();
    check(&rows);
}

#[test]
fn grandchildren_that_keep_the_output() {
    let mut rows = Vec::new();
    // It ends with the test: what a hook leaves is not the container's.
    let script = "sleep 3 & exit 5";
    rows.extend(waits_for_output(each(
        "exits before its child",
        "exit status 5, stdout: , stderr: ",
        shell(script),
    )));
    check(&rows);
}

#[test]
fn hooks_that_do_harm() {
    check(&[
        row(
            "createRuntime: removes the configuration",
            "",
            hook(
                "createRuntime",
                shell(
                    "mv {bundle}/config.json {bundle}/gone; mv {bundle}/gone {bundle}/config.json",
                ),
            ),
        )
        .command(RUN)
        .code(0),
        row(
            "createRuntime: kills init",
            "{start}: hooks: init was killed by signal 9",
            hook("createRuntime", shell("kill -KILL $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')")),
        ),
        row(
            "createRuntime: kills init and fails",
            "{start}: error running createRuntime hook #0: exit status 1, stdout: , stderr: ",
            hook(
                "createRuntime",
                shell("kill -KILL $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); exit 1"),
            ),
        ).crun(OTHER_CODE),
        row(
            "createContainer: kills the runtime's child",
            "{start}: error running createContainer hook #0: exit status 3, stdout: , stderr: ",
            hook("createContainer", shell("kill -KILL 1; sleep 0.1; exit 3")),
        ),
        row(
            "createRuntime: removes the state",
            "{start}: state of container {id}: openat(\"record.json.next\", O_CREAT): no such file or directory",
            hook("createRuntime", shell("rm -r {bundle}/state/{id}")),
        ),
        row(
            "createRuntime: deletes the container",
            "{start}: error running createRuntime hook #0: hook ran past specified timeout of 1.0s",
            hook(
                "createRuntime",
                with_timeout("{runtime} --root {bundle}/state delete --force {id}"),
            ),
        )
        .waits(Duration::from_secs(1)),
        row(
            "createRuntime: asks for the state",
            "",
            hook(
                "createRuntime",
                shell("{runtime} --root {bundle}/state state {id} | grep -q creating"),
            ),
        ).crun("1.8.1 knows no container before it is created")
        .runc("1.1.5 knows no container before it is created")
        .command(RUN)
        .code(0),
        row(
            "createRuntime: kills by the runtime",
            "{start}: error running createRuntime hook #0: exit status 1, stdout: , stderr: {*} level=error msg=\\\"container not running\\\"\\n",
            hook("createRuntime", shell("{runtime} --root {bundle}/state kill {id} KILL")),
        ).crun(OTHER_CODE),
        row(
            "createRuntime: starts the container",
            "{start}: error running createRuntime hook #0: hook ran past specified timeout of 1.0s",
            hook("createRuntime", with_timeout("{runtime} --root {bundle}/state start {id}")),
        ).crun(OTHER_CODE)
        .waits(Duration::from_secs(1)),
    ]);
}

#[test]
fn much_output() {
    let bytes = integration::rounds(64 << 20, 1 << 30);
    let script = format!("head -c {bytes} /dev/zero; head -c {bytes} /dev/zero >&2; exit 6");
    let rows = each("writes without an end", "exit status 6, stdout: \\0\\0{*}\\0", shell(&script));
    let rows = rows.into_iter().map(|row| row.waits(Duration::from_secs(8)));
    let rows: Vec<Row> = rows.map(|row| row.runc("1.1.5 keeps and tells all of it")).collect();
    check(&rows);
}
