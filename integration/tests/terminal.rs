//! Terminals: through a console socket, and in the foreground.

use std::fs::{self, File};
use std::process::Command;

use integration::config::{array, put_user_namespace};
use integration::terminal::{AtTerminal, ConsoleSocket, Screen};
use integration::{Bundle, Outcome, Process, finish, needs_root, peers_differ, until};
use nix::sys::signal::Signal;
use nix::sys::stat::makedev;
use serde_json::json;

/// A bundle whose process is a shell with a terminal.
fn at_terminal(script: &str) -> Bundle {
    Bundle::sh(script).set("/process/terminal", json!(true))
}

#[track_caller]
fn create(bundle: &Bundle, socket: &ConsoleSocket) -> Outcome {
    bundle.create_by(&mut bundle.command_for_bundle(&["create", "--console-socket", socket.path()]))
}

/// Creates and starts with a console socket.
#[track_caller]
fn started(bundle: &Bundle) -> (Process, Screen) {
    let socket = ConsoleSocket::listen(bundle);
    create(bundle, &socket).ok();
    let (_, screen) = socket.receive();
    let process = bundle.process();
    bundle.start().ok();
    (process, screen)
}

#[test]
fn a_console_socket_gets_the_master_end_before_create_returns() {
    needs_root!();
    let bundle = at_terminal("echo there");
    let socket = ConsoleSocket::listen(&bundle);
    create(&bundle, &socket).ok();
    let (name, mut screen) = socket.receive();
    bundle.start().ok();
    assert_eq!(screen.ends(), "there\r\n");
    assert_eq!(bundle.output(), (String::new(), String::new()));
    peers_differ!("crun", "sends another name along");
    peers_differ!("runc", "1.1.5 opens /dev/ptmx, and says so");
    assert_eq!(name, "/dev/pts/ptmx");
}

#[test]
fn the_standard_streams_are_the_terminal() {
    needs_root!();
    let script = "test -t 0 && test -t 1 && test -t 2 && busybox tty && echo session > /dev/tty && \
                  echo console > /dev/console && echo error >&2 && readlink /proc/self/fd/0";
    let bundle = at_terminal(script);
    let (_, mut screen) = started(&bundle);
    let lines = "/dev/pts/0\r\nsession\r\nconsole\r\nerror\r\n/dev/pts/0\r\n";
    assert_eq!(screen.ends(), lines);
}

#[test]
fn the_streams_of_the_caller_are_gone() {
    needs_root!();
    let bundle = at_terminal("exec sleep 1000");
    let (process, _screen) = started(&bundle);
    assert!(until(|| process.file("cmdline").starts_with("sleep\0")));
    let descriptors: Vec<_> = process.descriptors().into_iter().collect();
    let terminal = |number| (number, "/dev/pts/0".to_string());
    assert_eq!(descriptors, [terminal(0), terminal(1), terminal(2)]);
}

#[test]
fn the_terminal_controls_the_session() {
    needs_root!();
    peers_differ!("crun", "1.8.1 gives the console mount other options");
    let bundle = at_terminal("exec sleep 1000");
    let (process, screen) = started(&bundle);
    assert!(until(|| process.file("cmdline").starts_with("sleep\0")));
    let stat = process.file("stat");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let pid = process.0.to_string();
    let number = i32::try_from(makedev(136, 0)).unwrap();
    // Session, terminal, foreground process group.
    assert_eq!(fields[3..6], [pid.as_str(), &number.to_string(), &pid], "{stat}");
    let console = process.mount("/dev/console");
    assert_eq!((console.kind.as_str(), console.root.as_str()), ("devpts", "/0"));
    assert!(console.has("nosuid") && console.has("noexec"), "{console:?}");
    drop(screen);
    // The first process of a pid namespace is spared the SIGHUP that others get.
    assert!(process.lives());
}

#[test]
fn the_terminal_belongs_to_the_user() {
    needs_root!();
    let script = "stat -c '%u %g %a' /dev/pts/0 /dev/console; echo x > /dev/pts/0 && echo opened";
    for (uid, owner) in [(0, "0 5 620"), (1000, "1000 5 620")] {
        let bundle = at_terminal(script).set("/process/user", json!({ "uid": uid, "gid": 0 }));
        let (_, mut screen) = started(&bundle);
        assert_eq!(screen.ends(), format!("{owner}\r\n{owner}\r\nx\r\nopened\r\n"));
    }
}

#[test]
fn a_terminal_works_in_a_user_namespace() {
    needs_root!();
    let script =
        "test -t 0 && busybox tty; echo session > /dev/tty; stat -c '%u %g %a' /dev/console";
    let bundle = at_terminal(script)
        .edit(|config| put_user_namespace(config, 100_000, 65_536))
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let (_, mut screen) = started(&bundle);
    assert_eq!(screen.ends(), "/dev/pts/0\r\nsession\r\n1000 5 620\r\n");
}

#[test]
fn the_terminal_has_the_configured_size() {
    needs_root!();
    for (size, rows, columns) in [
        (json!({ "height": 33, "width": 99 }), 33, 99),
        (json!({ "height": 65535, "width": 1 }), 65535, 1),
        (json!({ "height": 0, "width": 0 }), 0, 0),
        (json!(null), 0, 0),
    ] {
        let bundle = at_terminal("busybox stty size").set("/process/consoleSize", size);
        let socket = ConsoleSocket::listen(&bundle);
        create(&bundle, &socket).ok();
        let (_, mut screen) = socket.receive();
        assert_eq!(screen.size(), (rows, columns));
        bundle.start().ok();
        // For sizes that it doesn't believe busybox shows a default.
        let seen = screen.ends();
        assert!(rows != 33 || seen == "33 99\r\n", "{seen}");
    }
}

#[test]
fn a_size_without_terminal_means_nothing() {
    needs_root!();
    let size = json!({ "height": 100_000, "width": 99 });
    let bundle = Bundle::sh("echo ran").set("/process/consoleSize", size);
    assert_eq!(bundle.run().ok(), "ran\n");
}

#[test]
fn who_holds_the_master_end_resizes_types_and_interrupts() {
    needs_root!();
    let script = "trap 'busybox stty size' WINCH; trap 'echo interrupted; exit 0' INT; echo ready; \
                  read line; echo got $line; while :; do sleep 0.05; done";
    let bundle = at_terminal(script);
    let (_, mut screen) = started(&bundle);
    screen.shows("ready");
    screen.types("hello\n");
    screen.shows("got hello");
    screen.resize(44, 55);
    screen.shows("44 55");
    screen.types("\x03");
    screen.shows("interrupted");
}

#[test]
fn a_terminal_needs_a_console_socket_and_the_other_way_round() {
    needs_root!();
    let socket_text = "cannot use console socket if";
    let tables: [(bool, &[&str], &str); 4] = [
        (true, &["create"], "cannot allocate tty if"),
        (true, &["run", "--detach"], "cannot allocate tty if"),
        (false, &["create", "--console-socket", "SOCKET"], socket_text),
        (true, &["run", "--console-socket", "SOCKET"], socket_text),
    ];
    peers_differ!("crun", "has other texts, and allows a socket in the foreground");
    for (terminal, args, text) in tables {
        let bundle = Bundle::new().set("/process/terminal", json!(terminal));
        let socket = ConsoleSocket::listen(&bundle);
        let args: Vec<_> =
            args.iter().map(|arg| if *arg == "SOCKET" { socket.path() } else { arg }).collect();
        let said = finish(&mut bundle.command_for_bundle(&args)).fails();
        assert!(said.contains(text), "{args:?}: {said}");
        assert_eq!(bundle.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_console_socket_that_nobody_answers_is_an_error() {
    needs_root!();
    peers_differ!("crun", "says it with a capital letter");
    let bundle = at_terminal("true");
    let path = bundle.directory().join("missing.sock");
    let args = ["create", "--console-socket", path.to_str().unwrap()];
    let said = finish(&mut bundle.command_for_bundle(&args)).fails();
    assert!(said.contains("no such file or directory"), "{said}");
    assert_eq!(bundle.leftovers(), Vec::<String>::new());

    let socket = ConsoleSocket::listen(&bundle);
    let path = socket.path().to_string();
    let thread = std::thread::spawn(|| socket.turn_away());
    let args = ["create", "--console-socket", &path];
    let said = finish(&mut bundle.command_for_bundle(&args)).fails();
    assert!(said.contains("broken pipe"), "{said}");
    thread.join().unwrap();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

// In the foreground.

fn run(bundle: &Bundle) -> AtTerminal {
    AtTerminal::start(&bundle.command_for_bundle(&["run"]), |_| {})
}

#[test]
fn a_foreground_run_is_at_the_callers_terminal() {
    needs_root!();
    peers_differ!("crun", "1.8.1 does not hand on the size");
    let bundle = at_terminal("busybox stty size; read line; echo got $line; exit 7");
    let mut run = run(&bundle);
    run.screen.shows("33 99");
    assert!(run.is_raw());
    run.screen.types("hello\r");
    let (code, seen) = run.ends();
    assert_eq!(code, 7);
    // The echo of the container's terminal, once, and lines that end as the outer one wants it.
    assert_eq!(seen, "33 99\r\nhello\r\ngot hello\r\n");
}

#[test]
fn a_foreground_run_hands_on_size_and_interrupt() {
    needs_root!();
    peers_differ!("crun", "1.8.1 does not hand on the size");
    let script = "trap 'busybox stty size' WINCH; trap 'echo interrupted; exit 5' INT; echo ready; \
                  while :; do sleep 0.05; done";
    let bundle = at_terminal(script);
    let mut run = run(&bundle);
    run.screen.shows("ready");
    run.screen.resize(44, 55);
    run.screen.shows("44 55");
    run.screen.types("\x03");
    let (code, seen) = run.ends();
    assert_eq!(code, 5);
    assert!(seen.ends_with("interrupted\r\n"), "{seen}");
}

#[test]
fn the_terminal_is_restored_after_a_signal() {
    needs_root!();
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let bundle = at_terminal(script);
    let mut ended = run(&bundle);
    ended.screen.shows("ready");
    ended.kill(Signal::SIGTERM);
    assert_eq!(ended.ends().0, 3);

    let bundle = at_terminal("echo ready; kill -KILL $$; exec sleep 1000").edit(|config| {
        array(config, "/linux/namespaces").retain(|namespace| namespace["type"] != "pid");
    });
    let mut killed = run(&bundle);
    killed.screen.shows("ready");
    assert_eq!(killed.ends().0, 137);
}

#[test]
fn the_terminal_is_restored_after_a_failure() {
    needs_root!();
    peers_differ!("crun", "1.8.1 loses the reason on the way");
    let bundle = at_terminal("").args(&["/nonexistent"]);
    let (code, seen) = run(&bundle).ends();
    assert_ne!(code, 0);
    assert!(seen.contains("/nonexistent"), "{seen}");
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
    // A directory without config.json.
    fs::remove_file(bundle.directory().join("config.json")).unwrap();
    let mut command = bundle.command(&["run", "--bundle"]);
    let (code, seen) =
        AtTerminal::start(command.arg(bundle.directory()).arg(bundle.id()), |_| {}).ends();
    assert_ne!(code, 0);
    assert!(seen.contains("config.json"), "{seen}");
}

#[test]
fn all_output_arrives_and_a_redirected_one_is_as_it_was_written() {
    needs_root!();
    peers_differ!("crun", "1.8.1 leaves the terminal's translation on");
    let lines = |end: &str| (1..=20_000).map(|n| format!("{n}{end}")).collect::<String>();
    let bundle = at_terminal("seq 1 20000");
    let (code, seen) = run(&bundle).ends();
    assert_eq!(code, 0);
    assert!(seen == lines("\r\n"), "{} bytes", seen.len());

    let path = bundle.directory().join("output");
    let file = File::create(&path).unwrap();
    let redirected = AtTerminal::start(&bundle.command_for_bundle(&["run"]), |command| {
        command.stdout(file);
    });
    let (code, seen) = redirected.ends();
    assert_eq!((code, seen.as_str()), (0, ""));
    assert!(fs::read_to_string(path).unwrap() == lines("\n"));
}

#[test]
fn a_foreground_run_without_terminal_is_refused() {
    needs_root!();
    peers_differ!("crun", "has another text");
    let bundle = at_terminal("true");
    let command = bundle.command_for_bundle(&["run"]);
    // Without a controlling terminal, which the tests may have.
    let mut apart = Command::new("setsid");
    apart.arg("--wait").arg(command.get_program()).args(command.get_args());
    let said = finish(apart.stdin(std::process::Stdio::null())).fails();
    assert!(said.contains("open /dev/tty: no such device or address"), "{said}");
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn the_template_runs_at_a_terminal() {
    needs_root!();
    let bundle = Bundle::new();
    finish(bundle.command(&["spec", "--bundle"]).arg(bundle.directory())).ok();
    let mut command = bundle.command(&["run", "--bundle"]);
    let mut run = AtTerminal::start(command.arg(bundle.directory()).arg(bundle.id()), |_| {});
    run.screen.shows("# ");
    run.screen.types("echo $((6*7)); exit 9\r");
    let (code, seen) = run.ends();
    assert_eq!(code, 9);
    assert!(seen.contains("\r\n42\r\n"), "{seen}");
}

/// Without a file system of its own on /dev.
fn with_dev_of_the_image(script: &str) -> Bundle {
    at_terminal(script).writes(&["dev"]).edit(|config| {
        array(config, "/mounts").retain(|mount| mount["destination"] != "/dev");
    })
}

#[test]
fn a_console_is_made_in_the_dev_of_an_image() {
    needs_root!();
    let bundle = with_dev_of_the_image("echo there > /dev/console");
    let (_, mut screen) = started(&bundle);
    assert_eq!(screen.ends(), "there\r\n");
}
