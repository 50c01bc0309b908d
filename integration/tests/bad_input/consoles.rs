//! Terminals: who gets them, and what the image has where they are mounted.

use integration::Bundle;
use integration::config::array;
use integration::terminal::ConsoleSocket;
use serde_json::json;

use super::place::{Inode, put};
use super::{RUN, Setting, check, row};

fn terminal(bundle: Bundle) -> Bundle {
    bundle.set("/process/terminal", json!(true))
}

#[test]
fn console_sockets() {
    let at = |inode: Inode| {
        move |bundle: Bundle| {
            Setting::from(terminal(bundle))
                .then(|bundle| put(&bundle.directory().join("console"), inode))
                .options(&["--console-socket", "{bundle}/console"])
        }
    };
    check(&[
        row(
            "a terminal and no console socket",
            "cannot allocate tty if tare will detach without setting console socket",
            terminal,
        ),
        row(
            "a console socket and no terminal",
            "cannot use console socket if tare will not detach or allocate tty",
            |bundle| Setting::from(bundle).options(&["--console-socket", "{bundle}/console"]),
        ),
        row(
            "a console socket that is not there",
            "connect to console socket {bundle}/console: no such file or directory",
            at(Inode::Nothing),
        ),
        row(
            "a console socket that is a file",
            "connect to console socket {bundle}/console: connection refused",
            at(Inode::File),
        ),
        row(
            "a console socket that is a FIFO",
            "connect to console socket {bundle}/console: connection refused",
            at(Inode::Fifo),
        ),
        row(
            "a console socket on which nobody listens",
            "connect to console socket {bundle}/console: connection refused",
            at(Inode::Socket),
        ),
        row(
            "a console socket whose name is too long",
            "connect to console socket {*}: file name too long",
            |bundle| {
                Setting::from(terminal(bundle)).options(&["--console-socket", &"/x".repeat(100)])
            },
        ),
        row(
            "a terminal in the foreground, where there is none",
            "open /dev/tty: no such device or address",
            terminal,
        )
        .command(RUN),
    ]);
}

/// An image with this at `/dev/console`: nothing is mounted on `/dev`.
fn console(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        let bundle = terminal(bundle).set("/root/readonly", json!(false)).edit(|config| {
            array(config, "/mounts").retain(|mount| mount["destination"] != "/dev");
        });
        let setting = Setting::from(bundle).then(|bundle| {
            for name in ["pts", "shm", "mqueue"] {
                put(&bundle.rootfs("dev").join(name), Inode::Directory);
            }
            put(&bundle.rootfs("dev/console"), inode);
        });
        let socket = ConsoleSocket::listen(&setting.bundle);
        setting.options(&["--console-socket", "{bundle}/console.sock"]).keep(socket)
    }
}

#[test]
fn consoles() {
    let rows = [
        row(
            "/dev/console is a directory",
            "{start}: process.terminal: make the terminal: move_mount (/dev/console): is a directory",
            console(Inode::Directory),
        ),
        row(
            "/dev/console is a loop of links",
            "{start}: process.terminal: make the terminal: openat2 (/dev/console): too many levels of symbolic links",
            console(Inode::Loop),
        ),
        row(
            "/dev/console is a link to nothing",
            "{start}: process.terminal: make the terminal: openat2 (/dev/console): too many levels of symbolic links",
            console(Inode::Dangling),
        ),
    ];
    let leaves = "leaves what it has made in the root filesystem";
    check(&rows.map(|row| row.runc(leaves).crun(leaves)));
}
