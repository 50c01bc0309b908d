#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcontainer::fuzzing::edited_config(bytes));
