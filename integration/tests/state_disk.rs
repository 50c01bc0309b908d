//! State roots that are full, read-only, or gone: create fails and leaves nothing, and what runs can still
//! be looked at, killed and deleted.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use integration::{Bundle, leftovers, needs_root, peers_differ, rounds, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A tmpfs at the state root of a bundle, until the value is dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(bundle: &Bundle, flags: MsFlags, options: &str) -> Self {
        let root = bundle.state_root();
        let options = format!("mode=700,{options}");
        mount(Some("tmpfs"), &root, Some("tmpfs"), flags, Some(&*options)).unwrap();
        Self(root)
    }

    /// Takes all that is left of it.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("~fill")).ok();
        while file.as_mut().is_some_and(|file| file.write_all(&[0; 4096]).is_ok()) {}
        (0..)
            .take_while(|number| fs::File::create(self.0.join(format!("~{number}"))).is_ok())
            .last();
    }

    fn remount(&self, flags: MsFlags) {
        let flags = flags | MsFlags::MS_REMOUNT;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).unwrap();
    }

    /// The entries of containers, whole or not.
    fn entries(&self) -> Vec<PathBuf> {
        let is_filling = |path: &PathBuf| path.to_string_lossy().contains("/~");
        let all = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| !is_filling(path)).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// Creates on a disk of this size. If that fails, nothing may be left; else the whole life must be
/// possible on what is a full disk by then.
fn on_disk(pages: usize, inodes: usize) -> bool {
    let what = format!("{pages} pages, {inodes} inodes");
    let bundle = Bundle::sleeping();
    let disk =
        Disk::new(&bundle, MsFlags::empty(), &format!("size={},nr_inodes={inodes}", pages * 4096));
    let outcome = bundle.create();
    if outcome.code != 0 {
        let said = outcome.fails();
        assert!(said.contains("no space left on device"), "{what}: {said}");
        assert_eq!(disk.entries(), Vec::<PathBuf>::new(), "{what}");
        assert_eq!(leftovers::processes(bundle.id(), bundle.directory()), Vec::<String>::new());
        assert_eq!(leftovers::cgroups(bundle.id()), Vec::<PathBuf>::new(), "{what}");
        return false;
    }
    let process = bundle.process();
    disk.fill();
    bundle.call(&["list"]).ok();
    bundle.start().ok();
    assert_eq!(bundle.status(), "running", "{what}");
    if pages.is_multiple_of(2) {
        bundle.kill("KILL").ok();
        assert_eq!(bundle.wait(process), 137, "{what}");
        bundle.delete().ok();
    } else {
        bundle.delete_force().ok();
    }
    assert_eq!(disk.entries(), Vec::<PathBuf>::new(), "{what}");
    true
}

#[test]
fn on_a_full_disk_create_fails_and_the_rest_works() {
    needs_root!();
    peers_differ!("runc", "1.1.5 leaves half of what it made, and can't start on a full disk");
    peers_differ!("crun", "1.8.1 leaves half of what it made");
    let mut made = Vec::new();
    for pages in 1..rounds(5, 12) {
        made.extend((2..12).map(|inodes| on_disk(pages, inodes)));
    }
    assert!(made.contains(&true) && made.contains(&false), "{made:?}");
}

#[test]
fn on_a_disk_that_became_read_only_containers_can_be_killed() {
    needs_root!();
    peers_differ!("runc", "1.1.5 removes a file on start");
    peers_differ!("crun", "1.8.1 fails create without the reason");
    let bundle = Bundle::sleeping();
    let disk = Disk::new(&bundle, MsFlags::empty(), "size=1m");
    let process = bundle.created();
    disk.remount(MsFlags::MS_RDONLY);
    let mut other = bundle.command(&["create", "--bundle"]);
    other.arg(bundle.directory()).arg("other");
    let said = bundle.finish(&mut other).fails();
    assert!(said.contains("read-only file system"), "{said}");
    assert_eq!(leftovers::cgroups("other"), Vec::<PathBuf>::new());
    assert_eq!(bundle.status(), "created");
    bundle.call(&["list"]).ok();
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    assert_eq!(bundle.wait(process), 137);
    for force in [&[] as &[&str], &["--force"]] {
        let said = bundle.call(&[&["delete"], force, &[bundle.id()]].concat()).fails();
        assert!(said.contains("read-only file system"), "{said}");
    }
    disk.remount(MsFlags::empty());
    bundle.delete().ok();
    assert_eq!(disk.entries(), Vec::<PathBuf>::new());
}

#[test]
fn nothing_in_the_state_root_is_executed() {
    needs_root!();
    let bundle = Bundle::sh("echo ran");
    let flags = MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let disk = Disk::new(&bundle, flags, "size=1m");
    assert_eq!(bundle.run().ok(), "ran\n");
    drop(disk);
}

/// Cgroups and processes that no runtime knows any more.
fn clear(bundle: &Bundle, process: integration::Process) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.0), nix::sys::signal::SIGKILL)
        .unwrap();
    assert_eq!(bundle.wait(process), 137);
    for path in leftovers::cgroups(bundle.id()).iter().rev() {
        assert!(until(|| fs::remove_dir(path).is_ok() || !Path::exists(path)));
    }
}

#[test]
fn a_container_whose_state_was_removed_does_not_exist() {
    needs_root!();
    peers_differ!("crun", "1.8.1 names the file that is missing");
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    fs::remove_dir_all(bundle.state_root().join(bundle.id())).unwrap();
    let id = bundle.id();
    for args in [&["state", id] as &[&str], &["start", id], &["kill", id, "KILL"], &["delete", id]]
    {
        let said = bundle.call(args).fails();
        assert!(said.contains("does not exist"), "{args:?}: {said}");
    }
    assert!(process.lives());
    clear(&bundle, process);
}

#[test]
fn a_run_whose_state_was_removed_ends_as_its_program() {
    needs_root!();
    let script = "while [ ! -e /tmp/go ]; do sleep 0.01; done; exit 7";
    let bundle = Bundle::sh(script).writes(&["/tmp/go"]);
    let mut command = bundle.command_for_bundle(&["run"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    assert!(until(|| bundle.call(&["state", bundle.id()]).stdout.contains("running")));
    fs::remove_dir_all(bundle.state_root().join(bundle.id())).unwrap();
    fs::write(bundle.rootfs("tmp/go"), "").unwrap();
    let mut status = None;
    assert!(until(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    }));
    assert_eq!(status.unwrap().code(), Some(7));
    for path in leftovers::cgroups(bundle.id()).iter().rev() {
        fs::remove_dir(path).unwrap();
    }
}
