//! The targets without a fuzzer: the fixtures, and bytes without a pattern, the same each time. A finding of
//! the fuzzer has a row here, or a test where it was mended.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, RngSeed};

use super::{config, edited_config, filter, image, kernel_text, message, state};
use crate::config::Config;
use crate::plan::tests::directory;

/// The bytes of all configurations, good and bad.
fn configurations() -> Vec<Vec<u8>> {
    let list = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files
    };
    let files = [list(&directory()), list(&directory().join("bad"))].concat();
    assert!(files.len() > 60);
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// So many cases, the same each time.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(0x7461_7265),
        ..ProptestConfig::with_cases(cases)
    }
}

/// Some bytes of one of these are others, and some of them are missing.
fn changed(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<Option<u8>>()), 1..6);
    (prop::sample::select(seeds), changes).prop_map(|(mut bytes, changes)| {
        for (at, change) in changes {
            match change {
                _ if bytes.is_empty() => bytes.push(b'{'),
                Some(byte) => {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                None => bytes.truncate(at.index(bytes.len())),
            }
        }
        bytes
    })
}

#[test]
fn every_configuration_keeps_what_must_hold() {
    configurations().iter().for_each(|bytes| config(bytes));
}

/// What configurations have broken, as small as they can be.
#[test]
fn findings_stay_mended() {
    for json in [
        // A line more in the text form.
        r#"{"ociVersion":"1.0.0","root":{"path":"a\nb"},"process":{"cwd":"/","args":["x"],"user":{}},
            "linux":{"namespaces":[{"type":"mount"}]}}"#,
        // A line more in an error, on a host without AppArmor.
        r#"{"ociVersion":"1.0.0","root":{"path":"/"},"linux":{"namespaces":[{"type":"mount"}]},
            "process":{"cwd":"/","args":["x"],"user":{},"apparmorProfile":"a\nb"}}"#,
        // A deadline behind the end of time.
        r#"{"ociVersion":"1.0.0","root":{"path":"/"},"process":{"cwd":"/","args":["x"],"user":{}},
            "linux":{"namespaces":[{"type":"mount"}]},
            "hooks":{"poststop":[{"path":"/x","timeout":9223372036854775807}]}}"#,
    ] {
        assert!(Config::from_bytes(json.as_bytes()).is_ok(), "{json}");
        config(json.as_bytes());
    }
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn changed_configurations_are_refused_or_compiled(bytes in changed(configurations())) {
        config(&bytes);
    }

    #[test]
    fn edited_configurations_are_refused_or_compiled(bytes in vec(any::<u8>(), 16..200)) {
        edited_config(&bytes);
    }

    #[test]
    fn filters_mean_what_profiles_say(bytes in vec(any::<u8>(), 100..4000)) {
        filter(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn changed_images_are_refused_or_read_as_they_are(bytes in vec(any::<u8>(), 16..100)) {
        image(&bytes);
    }

    #[test]
    fn text_of_the_kernel_is_read_as_it_was_written(bytes in vec(any::<u8>(), 0..300)) {
        kernel_text(&bytes);
    }

    #[test]
    fn state_is_read_as_it_was_written(
        which in prop::sample::select(&b"rcipx"[..]),
        bytes in vec(any::<u8>(), 0..300),
    ) {
        state(&[&[which], &bytes[..]].concat());
    }

    #[test]
    fn every_message_is_told(bytes in vec(any::<u8>(), 0..400)) {
        message(&bytes);
    }
}
