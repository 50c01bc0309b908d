//! Propagation: where else a mount appears that is made later.

use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

use super::{bound, mounted};

#[test]
fn propagation_words_have_their_effect() {
    needs_root!();
    peers_differ!("crun", "makes the whole tree private before it sets what is configured");
    // (word, tags of the mount, tags of the one below it)
    let table: [(&str, &[&str], &[&str]); 8] = [
        ("private", &[], &["master"]),
        ("rprivate", &[], &[]),
        ("slave", &["master"], &["master"]),
        ("rslave", &["master"], &["master"]),
        ("shared", &["shared", "master"], &["master"]),
        ("rshared", &["shared", "master"], &["shared", "master"]),
        ("unbindable", &["unbindable"], &["master"]),
        ("runbindable", &["unbindable"], &["unbindable"]),
    ];
    for (word, expected_top, expected_below) in table {
        let (top, below) = bound(&["rbind", word]);
        let below = below.unwrap();
        for (mount, expected) in [(&top, expected_top), (&below, expected_below)] {
            for tag in ["shared", "master", "unbindable"] {
                let expected = expected.contains(&tag);
                assert_eq!(mount.propagates(tag), expected, "{word}: {tag}: {mount:?}");
            }
        }
    }
}

#[test]
fn the_root_propagates_as_configured() {
    needs_root!();
    for (word, shared, master, unbindable) in [
        ("private", false, false, false),
        ("rprivate", false, false, false),
        ("slave", false, true, false),
        ("rslave", false, true, false),
        ("shared", true, false, false),
        ("rshared", true, false, false),
        ("unbindable", false, false, true),
    ] {
        if shared {
            peers_differ!("runc", "1.1.5 makes the root private by the read-only remount");
        }
        let bundle = Bundle::sleeping().set("/linux/rootfsPropagation", json!(word));
        let root = mounted(&bundle, "/");
        assert_eq!(root.propagates("shared"), shared, "{word}: {root:?}");
        assert_eq!(root.propagates("unbindable"), unbindable, "{word}: {root:?}");
        assert!(master || !root.propagates("master"), "{word}: {root:?}");
    }
}
