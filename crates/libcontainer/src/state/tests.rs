mod disk;

use super::record::tests::record;
use super::*;
use nix::sched::{CloneFlags, unshare};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("root"));
    (directory, store)
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_container_is_made_written_read_and_removed() {
    let (directory, store) = store();
    assert!(store.list().unwrap().is_empty());
    assert!(!store.root.exists(), "reading makes nothing");
    assert_eq!(store.read("a", None).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.lock("a").unwrap_err().kind(), ErrorKind::NotFound);

    let mut written = record("a");
    let entry = store.create(&written).unwrap();
    assert_eq!(store.read("a", None).unwrap(), written);
    assert_eq!(mode(&store.root), 0o700);
    assert_eq!(mode(&store.root.join("a")), 0o711);
    assert_eq!(mode(&store.root.join("a/record.json")), 0o600);

    written.intent.owner = 7;
    entry.write(&written).unwrap();
    assert_eq!(entry.read(None).unwrap(), written);
    assert_eq!(mode(&store.root.join("a/record.json")), 0o600);
    assert_eq!(names_in(&store.root.join("a")), ["cgroups", "record.json"]);
    drop(entry);

    let entry = store.lock("a").unwrap();
    entry.remove().unwrap();
    let error = store.lock("a").unwrap_err();
    assert_eq!(error.to_string(), "container does not exist");
    assert_eq!(names_in(&store.root), [""; 0]);
    drop(directory);
}

#[test]
fn a_taken_id_is_refused_in_the_words_of_runc() {
    let (_directory, store) = store();
    let entry = store.create(&record("a")).unwrap();
    // At once, and not when the lock is free.
    let error = store.create(&record("a")).unwrap_err();
    assert_eq!(error.to_string(), "container with given ID already exists");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(entry.read(None).is_ok());
    for id in ["", "..", "a/b"] {
        assert_eq!(store.create(&record(id)).unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn of_eight_who_create_one_id_one_wins() {
    let (_directory, store) = store();
    for round in 0..20 {
        let id = format!("c{round}");
        let barrier = Barrier::new(8);
        let won: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let record = record(&id);
                        barrier.wait();
                        match store.create(&record) {
                            Ok(_) => true,
                            Err(error) if error.kind() == ErrorKind::Exists => false,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
    assert_eq!(store.list().unwrap().len(), 20);
}

/// Creators and removers of one id: none fails but by losing, nothing is left, and nobody ever
/// removes or sees a container that is another's.
#[test]
fn create_and_remove_of_one_id_do_not_harm_each_other() {
    let (_directory, store) = store();
    let losing = [ErrorKind::Exists, ErrorKind::NotFound, ErrorKind::InvalidState];
    thread::scope(|scope| {
        for creates in [true, true, true, false, false, false] {
            let store = &store;
            scope.spawn(move || {
                let mut record = record("a");
                for round in 0..300 {
                    record.intent.owner = round;
                    let result = if creates {
                        store.create(&record).and_then(|entry| {
                            thread::yield_now();
                            assert_eq!(entry.read(None)?, record);
                            entry.remove()
                        })
                    } else {
                        store.lock("a").and_then(Entry::remove)
                    };
                    if let Err(error) = result {
                        assert!(losing.contains(&error.kind()), "{error:?}");
                    }
                }
            });
        }
    });
    assert_eq!(names_in(&store.root), [""; 0]);
    drop(store.create(&record("a")).unwrap());
}

#[test]
fn the_lock_is_waited_for_and_then_given_up() {
    let (_directory, mut store) = store();
    store.patience = Duration::from_millis(50);
    let entry = store.create(&record("a")).unwrap();
    let begin = Instant::now();
    let error = store.lock("a").unwrap_err();
    assert!(begin.elapsed() >= store.patience);
    assert_eq!(error.errno(), Some(libc::EWOULDBLOCK));
    assert!(error.to_string().starts_with("state of container a: another operation"));
    assert!(store.read("a", None).is_ok(), "reading takes no lock");

    store.patience = Duration::from_secs(10);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.lock("a").map(drop));
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(entry);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn the_lock_is_free_though_somebody_has_inherited_the_descriptor() {
    let (_directory, mut store) = store();
    store.patience = Duration::ZERO;
    let entry = store.create(&record("a")).unwrap();
    let inherited = nix::unistd::dup(entry.directory()).unwrap();
    drop(entry);
    assert!(store.lock("a").is_ok());
    drop(inherited);
}

#[test]
fn who_waited_for_a_container_that_was_removed_finds_none() {
    let (_directory, store) = store();
    let entry = store.create(&record("a")).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.lock("a").map(drop));
        thread::sleep(Duration::from_millis(20));
        entry.remove().unwrap();
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "container does not exist");
    });
}

#[test]
fn a_damaged_record_is_told_and_can_be_removed() {
    let (_directory, store) = store();
    drop(store.create(&record("good")).unwrap());
    let whole = fs::read_to_string(store.root.join("good/record.json")).unwrap();
    let half = whole[..whole.len() / 2].to_string();
    let other_format = whole.replacen("\"format\":1", "\"format\":2", 1);
    let no_format = whole.replacen("\"format\":1,", "", 1);
    for (why, content) in [
        ("there is no record", None),
        ("EOF", Some(String::new())),
        ("EOF", Some(half)),
        ("expected value", Some("\0".repeat(4096))),
        ("format 2, and we know 1", Some(other_format)),
        ("missing field `format`", Some(no_format)),
        ("it is the record of container good", Some(whole.clone())),
    ] {
        drop(store.create(&record("bad")).unwrap());
        let path = store.root.join("bad/record.json");
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = store.read("bad", None).unwrap_err();
        let start = format!("state of container bad: the state is unreadable: record.json: {why}");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        let list = store.list().unwrap();
        let readable: Vec<_> = list.iter().map(|(id, r)| (id.as_str(), r.is_ok())).collect();
        assert_eq!(readable, [("bad", false), ("good", true)]);
        let entry = store.lock("bad").unwrap();
        assert!(entry.read(None).is_err());
        entry.remove().unwrap();
        assert_eq!(names_in(&store.root), ["good"]);
    }
    // A field that a later version adds does no harm.
    let later = whole.replacen('{', "{\"later\":[1],", 1);
    fs::write(store.root.join("good/record.json"), later).unwrap();
    assert_eq!(store.read("good", None).unwrap(), record("good"));
}

#[test]
fn everything_in_the_directory_goes_and_nothing_that_it_points_to() {
    let (directory, store) = store();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "x").unwrap();
    let entry = store.create(&record("a")).unwrap();
    let path = store.root.join("a");
    let socket = std::os::unix::net::UnixListener::bind(path.join(GATE)).unwrap();
    fs::write(path.join("record.json.next"), "{").unwrap();
    fs::create_dir_all(path.join("b/c")).unwrap();
    fs::write(path.join("b/c/d"), "x").unwrap();
    symlink(&outside, path.join("link")).unwrap();
    symlink(&outside, path.join("b/link")).unwrap();
    entry.remove().unwrap();
    assert_eq!(names_in(&store.root), [""; 0]);
    assert_eq!(names_in(&outside), ["file"]);
    drop(socket);
}

#[test]
fn an_interrupted_removal_is_no_container_and_is_finished_by_the_next() {
    let (_directory, store) = store();
    let tomb = store.root.join(".a~deleting");
    let interrupt = || {
        drop(store.create(&record("a")).unwrap());
        fs::rename(store.root.join("a"), &tomb).unwrap();
        assert!(store.list().unwrap().is_empty());
        assert_eq!(store.lock("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(tomb.exists());
    };
    interrupt();
    store.sweep("a").unwrap();
    assert_eq!(names_in(&store.root), [""; 0]);
    store.sweep("a").unwrap();

    interrupt();
    let entry = store.create(&record("a")).unwrap();
    entry.remove().unwrap();
    assert_eq!(names_in(&store.root), [""; 0]);
}

#[test]
fn ids_may_be_as_long_as_names() {
    let (_directory, store) = store();
    let id = "x".repeat(255);
    let entry = store.create(&record(&id)).unwrap();
    entry.remove().unwrap();
    assert_eq!(names_in(&store.root), [""; 0]);
    let too_long = "x".repeat(256);
    let error = store.create(&record(&too_long)).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENAMETOOLONG));
    for error in [store.lock(&too_long).unwrap_err(), store.read(&too_long, None).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_symbolic_link_is_no_container() {
    let (_directory, store) = store();
    drop(store.create(&record("a")).unwrap());
    symlink("a", store.root.join("b")).unwrap();
    fs::write(store.root.join("file"), "").unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.read("b", None).unwrap_err().errno(), Some(libc::ELOOP));
    assert_eq!(store.lock("b").unwrap_err().errno(), Some(libc::ENOTDIR));
    assert_eq!(store.create(&record("b")).unwrap_err().kind(), ErrorKind::Exists);
}

#[test]
fn a_root_that_is_not_ours_alone_is_refused() {
    let (_directory, store) = store();
    drop(store.create(&record("a")).unwrap());
    let refused = |why: &str| {
        for error in [
            store.create(&record("b")).unwrap_err(),
            store.lock("a").unwrap_err(),
            store.read("a", None).unwrap_err(),
            store.list().unwrap_err(),
        ] {
            let start = format!("state root {}: {why}", store.root.display());
            assert!(error.to_string().starts_with(&start), "{error}");
            assert_eq!(error.kind(), ErrorKind::Permission);
        }
    };
    for mode in [0o770, 0o702, 0o1777] {
        fs::set_permissions(&store.root, fs::Permissions::from_mode(mode)).unwrap();
        refused("others may write to it");
    }
    fs::set_permissions(&store.root, fs::Permissions::from_mode(0o1755)).unwrap();
    assert!(store.read("a", None).is_ok());
    if !geteuid().is_root() {
        return eprintln!("skipped: chown takes root");
    }
    chown(&store.root, Some(65534), None).unwrap();
    refused("it belongs to uid 65534, and we are 0");
    assert_eq!(names_in(&store.root), ["a"]);
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let (_directory, store) = store();
    drop(store.create(&record("first")).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            // From here on this thread has a umask of its own.
            unshare(CloneFlags::CLONE_FS).unwrap();
            nix::sys::stat::umask(Mode::from_bits_truncate(0o777));
            let entry = store.create(&record("a")).unwrap();
            entry.write(&record("a")).unwrap();
        });
    });
    assert_eq!(mode(&store.root.join("a")), 0o711);
    assert_eq!(mode(&store.root.join("a/record.json")), 0o600);
    assert!(store.read("a", None).is_ok());
}

#[test]
fn a_root_that_cannot_be_used_is_named() {
    let (directory, _) = store();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for root in [file.clone(), file.join("below")] {
        let error = Store::new(&root).create(&record("a")).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("state root: "), "{text}");
        assert!(text.contains(root.to_str().unwrap()), "{text}");
        assert_eq!(error.errno(), Some(libc::ENOTDIR));
    }
}
