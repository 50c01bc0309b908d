//! Many threads of one process that also allocates, logs, starts programs, and is large.

use std::hint::black_box;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use integration::config::put_user_namespace;
use integration::{Bundle, needs_root};
use libcontainer::{CreateOptions, Delete, ExitStatus, Status, Stdio as ContainerStdio};
use log::{LevelFilter, Log, Metadata, Record};

use crate::caller::Caller;
use crate::own_process::{self, Given};

const THREADS: usize = 16;
const CYCLES: usize = 200;
const RESIDENT: usize = 512 << 20;
const PATIENCE: Duration = Duration::from_secs(180);

/// A logger as many programs have it: it allocates under a lock.
struct Locked(Mutex<Vec<String>>);

impl Log for Locked {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut lines = self.0.lock().expect("nobody panics here");
        lines.push(format!("{} {}", record.level(), record.args()));
        if lines.len() > 1000 {
            lines.clear();
        }
    }

    fn flush(&self) {}
}

static LOGGER: Locked = Locked(Mutex::new(Vec::new()));

/// What each worker is doing, for whoever finds it hanging.
static DOING: [AtomicUsize; THREADS] = [const { AtomicUsize::new(0) }; THREADS];
const STEPS: [&str; 7] = ["nothing", "create", "start", "kill", "wait", "delete", "done"];

#[test]
fn sixteen_threads_of_a_busy_process_run_containers() {
    needs_root!();
    let output = own_process::run(&Bundle::sleeping(), "cycles::busy_process");
    for line in output.lines().filter(|line| line.contains("median")) {
        eprintln!("{line}");
    }
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn busy_process() {
    let Some(given) = own_process::given() else { return };
    log::set_logger(&LOGGER).expect("the first logger");
    log::set_max_level(LevelFilter::Trace);
    eprintln!("median create, small caller: {:?}", median_create(&given, "small"));
    let ballast = vec![black_box(1u8); RESIDENT];
    eprintln!("median create, 512 MiB resident: {:?}", median_create(&given, "large"));
    let (done, quiet) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut noise = vec![thread::spawn(watch(quiet.clone()))];
    for _ in 0..2 {
        let quiet = quiet.clone();
        noise.push(thread::spawn(move || allocate(&quiet)));
    }
    let caller = Caller::now();
    let bystander = {
        let done = done.clone();
        thread::spawn(move || start_programs(&done))
    };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (given, next) = (&given, &next);
            scope.spawn(move || {
                while next.fetch_add(1, Ordering::Relaxed) < CYCLES {
                    cycle(given, worker);
                }
            });
        }
    });
    done.store(true, Ordering::Relaxed);
    let programs = bystander.join().expect("the bystander found nothing");
    assert!(programs > 0, "no program was started meanwhile");
    // The threads that make noise are among those that are compared.
    caller.is_unchanged();
    quiet.store(true, Ordering::Relaxed);
    drop(black_box(ballast));
    for thread in noise {
        thread.join().expect("no noise fails");
    }
}

fn step(worker: usize, step: usize) {
    DOING[worker].store(step, Ordering::Relaxed);
    log::debug!("worker {worker}: {}", STEPS[step]);
}

/// One life of a container. Every fourth has a user namespace, which takes two processes to make.
fn cycle(given: &Given, worker: usize) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut given = given.clone();
    if number % 4 == 3 {
        put_user_namespace(&mut given.config, 100_000, 65536);
    }
    step(worker, 1);
    let container = given.create(number);
    assert_eq!(container.state().expect("state").status, Status::Created);
    if number % 5 != 4 {
        step(worker, 2);
        container.start().expect("start");
        assert_eq!(container.state().expect("state").status, Status::Running);
    }
    step(worker, 3);
    container.kill(libc::SIGKILL).expect("kill");
    step(worker, 4);
    assert_eq!(container.wait().expect("wait"), ExitStatus::Signaled(libc::SIGKILL));
    step(worker, 5);
    container.delete(Delete::Stopped).expect("delete");
    step(worker, 6);
}

/// Ends the process, with the reason, if it hangs.
fn watch(done: Arc<AtomicBool>) -> impl FnOnce() {
    move || {
        let begin = Instant::now();
        while !done.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
            if begin.elapsed() > PATIENCE {
                let doing = |(worker, step): (usize, &AtomicUsize)| {
                    format!("{worker}: {}", STEPS[step.load(Ordering::Relaxed)])
                };
                let doing: Vec<_> = DOING.iter().enumerate().map(doing).collect();
                eprintln!("hangs after {PATIENCE:?}; the workers are at {doing:?}");
                std::process::abort();
            }
        }
    }
}

fn allocate(done: &AtomicBool) {
    let mut size = 1usize;
    while !done.load(Ordering::Relaxed) {
        let some: Vec<Vec<u8>> =
            (0..32).map(|index| vec![0; (size + index * 97) % 70_000]).collect();
        size = black_box(some).len().wrapping_mul(size.wrapping_add(7919)) % 65_536;
        log::trace!("allocated {size}");
        thread::yield_now();
    }
}

/// Starts programs as any process may meanwhile. They must inherit nothing of the library's.
fn start_programs(done: &AtomicBool) -> usize {
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        let mut child = Command::new(integration::rootfs::BUSYBOX)
            .args(["ls", "-l", "/proc/self/fd"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // The directory that it lists is closed when it looks at what it has found.
            .stderr(Stdio::null())
            .spawn()
            .expect("spawn");
        let mut listed = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut listed).expect("read");
        assert!(child.wait().expect("a child of ours").success());
        for foreign in ["memfd", "anon_inode", "/state", "/cgroup", "socket:", "/ns/"] {
            assert!(!listed.contains(foreign), "a program inherited a descriptor: {listed}");
        }
        assert!(listed.contains("pipe:"), "{listed}");
        count += 1;
        thread::sleep(Duration::from_millis(5));
    }
    count
}

fn median_create(given: &Given, name: &str) -> Duration {
    let bundle = given.bundle();
    let mut times: Vec<Duration> = (0..15)
        .map(|number| {
            let id = format!("{}-{name}-{number}", given.id);
            let options = CreateOptions::new().stdio(ContainerStdio::Null);
            let begin = Instant::now();
            let created = given.runtime().create(&id, &bundle, &options).expect("create");
            let time = begin.elapsed();
            created.container.delete(Delete::Force).expect("delete");
            created.container.wait().expect("wait");
            time
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
