//! A state root that is full, or has something mounted in it.

use super::*;

/// A tmpfs of a given size, seen by the calling thread alone.
fn on_tmpfs(options: &str, test: impl FnOnce(&Store) + Send) {
    if !geteuid().is_root() {
        return eprintln!("skipped: mount takes root");
    }
    let (_directory, store) = store();
    fs::create_dir(&store.root).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            use nix::mount::{MsFlags, mount};
            let none = None::<&str>;
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(none, "/", none, private, none).unwrap();
            let options = format!("mode=0700,{options}");
            let tmpfs = Some("tmpfs");
            mount(tmpfs, &store.root, tmpfs, MsFlags::empty(), Some(options.as_str())).unwrap();
            test(&store);
        });
    });
}

#[test]
fn a_full_disk_fails_create_cleanly_and_no_delete() {
    on_tmpfs("size=8k", |store| {
        drop(store.create(&record("a")).unwrap());
        let mut large = record("b");
        large.intent.oci_version = "x".repeat(8192);
        let error = store.create(&large).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
        assert_eq!(names_in(&store.root), ["a"]);

        let entry = store.lock("a").unwrap();
        fs::write(store.root.join("filler"), "x").unwrap();
        let error = entry.write(&record("a")).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
        assert_eq!(entry.read(None).unwrap(), record("a"));
        entry.remove().unwrap();
        assert_eq!(names_in(&store.root), ["filler"]);
    });
}

#[test]
fn without_inodes_create_fails_cleanly() {
    for inodes in 2..5 {
        on_tmpfs(&format!("nr_inodes={inodes}"), |store| {
            while names_in(&store.root).len() < 4 {
                let id = format!("c{}", names_in(&store.root).len());
                match store.create(&record(&id)) {
                    Ok(_) => continue,
                    Err(error) => assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}"),
                }
                assert!(store.list().unwrap().iter().all(|(_, record)| record.is_ok()));
                return;
            }
            panic!("there were inodes enough");
        });
    }
}

#[test]
fn nothing_is_removed_beyond_a_mount() {
    on_tmpfs("size=1m", |store| {
        use nix::mount::{MsFlags, mount};
        let entry = store.create(&record("a")).unwrap();
        let (inner, other) = (store.root.join("a/inner"), store.root.join("other"));
        fs::create_dir(&inner).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "x").unwrap();
        let none = None::<&str>;
        mount(Some(&other), &inner, none, MsFlags::MS_BIND, none).unwrap();
        let error = entry.remove().unwrap_err();
        assert_eq!(error.errno(), Some(libc::EXDEV), "{error}");
        assert_eq!(names_in(&other), ["file"]);
    });
}
