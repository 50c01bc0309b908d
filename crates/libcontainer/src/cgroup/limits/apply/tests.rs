use std::fs::{read_to_string, write};
use std::path::PathBuf;

use super::super::super::scratch::{Inhabitant, Scratch};
use super::super::super::{Placement, remove};
use super::super::{PAGE, limits};
use super::*;

fn made(placement: &Placement) -> Cgroup {
    let mut cgroup = Cgroup::new(placement.clone());
    cgroup.make_unified().unwrap();
    cgroup.make_v1().unwrap();
    cgroup
}

fn apply_json(cgroup: &Cgroup, placement: &Placement, json: &str) -> Result<()> {
    let (limits, _) = limits(Some(&serde_json::from_str(json).unwrap()), placement)?;
    cgroup.apply_limits(&limits)
}

fn directory(placement: &Placement, controller: &str) -> Option<PathBuf> {
    placement.v1.iter().find(|place| place.has(controller)).map(Place::directory)
}

#[test]
fn what_is_read_must_be_what_was_asked() {
    let rounded = |number, unit| Check::Rounded { number, unit };
    for (check, value, read, holds) in [
        (Check::No, "1", "2", true),
        (Check::Same, "max 100000", "max 100000", true),
        (Check::Same, "1", "10", false),
        (rounded(100, PAGE), "100", "0", true),
        (rounded(1_000_000, PAGE), "1000000", "999424", true),
        (rounded(1_000_000, PAGE), "1000000", "1000001", false),
        (rounded(1_000_000, PAGE), "1000000", "900000", false),
        (rounded(1_000_000, PAGE), "1000000", "max", false),
        (rounded(i64::MAX.unsigned_abs(), PAGE), "-1", "9223372036854771712", true),
        (rounded(i64::MAX.unsigned_abs(), PAGE), "-1", "max", true),
        (rounded(i64::MAX.unsigned_abs(), PAGE), "-1", "4096", false),
        (rounded(5_000_000, 2 << 20), "5000000", "4194304", true),
        (Check::Line("8:0 5".to_string()), "8:0 5", "7:0 1\n8:0 5\n", true),
        (Check::Line("8:0 5".to_string()), "8:0 5", "8:0 50\n18:0 5\n", false),
        (Check::Within("f"), "0,2-3", "2", true),
        (Check::Within("f"), "2-3,0-1", "0-3", true),
        (Check::Within("f"), "0,2-3", "0-3", false),
        (Check::Within("f"), "7", "0-1", false),
        (Check::Within("f"), "0-10:1/2", "0-1", true),
        (Check::Shares(5), "5", "5", true),
    ] {
        assert_eq!(compare(&check, value, read).is_ok(), holds, "{check:?} {value} {read}");
    }
    for (read, text) in [("2", "minimum"), ("262144", "maximum")] {
        let asked = if read == "2" { 1 } else { 300_000 };
        let words = compare(&Check::Shares(asked), "", read).unwrap_err().unwrap();
        assert_eq!(words, format!("the {text} allowed cpu-shares is {read}"));
    }
}

#[test]
fn what_the_kernel_only_seems_to_take_is_an_error() {
    // As cpuset does it on v2: the list is kept, and what is in force is another one.
    let files = tempfile::tempdir().unwrap();
    write(files.path().join("cpuset.cpus"), "").unwrap();
    write(files.path().join("cpuset.cpus.effective"), "0-1\n").unwrap();
    let directory = Directory::of_files(files.path());
    let cpus = |list| {
        let limit = Limit::new("cpu.cpus", "cpuset", "cpuset.cpus", list);
        apply(&directory, &limit.check(Check::Within("cpuset.cpus.effective")))
    };
    cpus("0-7").unwrap();
    let error = cpus("7").unwrap_err().to_string();
    assert!(error.ends_with(r#""7" was written, but what is in force is "0-1""#), "{error}");
}

#[test]
fn the_file_of_another_scheduler_takes_its_place() {
    let files = tempfile::tempdir().unwrap();
    write(files.path().join("io.weight"), "").unwrap();
    let directory = Directory::of_files(files.path());
    let limit = Limit::new("blockIO.weight", "io", "io.bfq.weight", 500);
    apply(&directory, &limit.clone().instead("io.weight", 4950)).unwrap();
    assert_eq!(read_to_string(files.path().join("io.weight")).unwrap(), "4950");
    let error = apply(&directory, &limit.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("no io.bfq.weight"), "{error}");
    apply(&directory, &limit.may_be_absent()).unwrap();
}

const BEFORE: &str = r#"{
    "memory": {"limit": 8388608, "swap": 8388608},
    "cpu": {"quota": 2000, "period": 2000, "burst": 2000, "shares": 100, "idle": 1,
            "realtimeRuntime": 2000, "realtimePeriod": 40000, "cpus": "0"}}"#;
const AFTER: &str = r#"{
    "memory": {"limit": 16777216, "swap": 33554432},
    "cpu": {"quota": 1000, "period": 100000, "burst": 500, "shares": 200,
            "realtimeRuntime": 60, "realtimePeriod": 1500, "cpus": "0"}}"#;

#[test]
fn a_cgroup_that_was_there_takes_other_limits() {
    let Some(scratch) = Scratch::v1("reused") else {
        return;
    };
    let placement = scratch.place("/x");
    for (json, expected) in [
        (BEFORE, ["8388608", "8388608", "2000", "2000", "2000", "3", "2000", "40000"]),
        (AFTER, ["16777216", "33554432", "1000", "100000", "500", "200", "60", "1500"]),
        (BEFORE, ["8388608", "8388608", "2000", "2000", "2000", "3", "2000", "40000"]),
    ] {
        let cgroup = made(&placement);
        // Without a runtime at the top there is none to give.
        let cpu = directory(&placement, "cpu").unwrap();
        write(cpu.with_file_name("cpu.rt_runtime_us"), "100000").unwrap();
        apply_json(&cgroup, &placement, json).unwrap();
        let files = [
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "cpu.cfs_quota_us",
            "cpu.cfs_period_us",
            "cpu.cfs_burst_us",
            "cpu.shares",
            "cpu.rt_runtime_us",
            "cpu.rt_period_us",
        ];
        for (file, expected) in files.into_iter().zip(expected) {
            let controller = file.split('.').next().unwrap();
            let path = directory(&placement, controller).unwrap().join(file);
            assert_eq!(read_to_string(path).unwrap().trim(), expected, "{file}");
        }
        cgroup.keep();
    }
    remove(&placement).unwrap();
}

#[test]
fn parents_that_were_made_get_real_time_first() {
    let Some(scratch) = Scratch::v1("realtime") else {
        return;
    };
    let placement = scratch.place("/there/a/b");
    let there = directory(&placement, "cpu").unwrap();
    let there = there.ancestors().nth(2).unwrap();
    std::fs::create_dir(there).unwrap();
    for parent in [there.parent().unwrap(), there] {
        write(parent.join("cpu.rt_runtime_us"), "100000").unwrap();
    }
    let cgroup = made(&placement);
    let json = r#"{"cpu":{"realtimeRuntime":3000,"realtimePeriod":60000}}"#;
    apply_json(&cgroup, &placement, json).unwrap();
    for (path, expected) in [("", "100000"), ("a", "3000"), ("a/b", "3000")] {
        let file = there.join(path).join("cpu.rt_runtime_us");
        assert_eq!(read_to_string(file).unwrap().trim(), expected, "{path}");
    }
    drop(cgroup);
    std::fs::remove_dir(there).unwrap();
}

#[test]
fn a_failure_names_property_file_value_and_errno() {
    let Some(scratch) = Scratch::v1("refused") else {
        return;
    };
    let placement = scratch.place("/x");
    let cgroup = made(&placement);
    for (json, property, words) in [
        (r#"{"cpu":{"shares":1}}"#, "cpu.shares", "the minimum allowed cpu-shares is 2"),
        (r#"{"cpu":{"shares":262145}}"#, "cpu.shares", "the maximum allowed cpu-shares is 262144"),
        (
            r#"{"cpu":{"period":10}}"#,
            "cpu.period",
            "/x/cpu.cfs_period_us\", \"10\"): invalid argument",
        ),
        (r#"{"cpu":{"cpus":"4095"}}"#, "cpu.cpus", "/x/cpuset.cpus\", \"4095\"): "),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":4095,"minor":9,"rate":1}]}}"#,
            "blockIO.throttleReadBpsDevice[0]",
            "/x/blkio.throttle.read_bps_device\", \"4095:9 1\"): no such device",
        ),
        (
            r#"{"blockIO":{"leafWeight":10}}"#,
            "blockIO.leafWeight",
            "this kernel has no blkio.leaf_weight in ",
        ),
    ] {
        let error = apply_json(&cgroup, &placement, json).unwrap_err();
        let property = format!("linux.resources.{property}");
        assert_eq!(error.property(), Some(property.as_str()));
        let text = error.to_string();
        assert!(text.starts_with(&format!("{property}: ")) && text.contains(words), "{text}");
    }
}

#[test]
fn memory_in_use_is_told_in_numbers() {
    let Some(scratch) = Scratch::v1("usage") else {
        return;
    };
    let placement = scratch.place("/x");
    made(&placement).keep();
    // Pages of a tmpfs stay after their writer, and without swap nothing takes them back.
    write(directory(&placement, "memory").unwrap().join("memory.swappiness"), "0").unwrap();
    let file = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap();
    let script = format!("head -c 8388608 /dev/zero > {}", file.path().display());
    let mut writer = Inhabitant::run(&placement, &script);
    assert!(writer.child.wait().unwrap().success());
    drop(writer);
    let cgroup = made(&placement);
    let error = apply_json(&cgroup, &placement, r#"{"memory":{"limit":65536}}"#).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EBUSY), "{error}");
    let text = error.to_string();
    let words =
        "linux.resources.memory.limit: unable to set memory limit to 65536 (current usage: ";
    assert!(text.starts_with(words) && text.contains(", peak usage: "), "{text}");
    drop(cgroup);
    remove(&placement).unwrap();
}

#[test]
fn on_v2_a_controller_that_is_not_there_is_named() {
    let Some(scratch) = Scratch::v2("missing") else {
        return;
    };
    let placement = scratch.place("/x");
    let cgroup = made(&placement);
    for (json, property, words) in [
        (
            r#"{"rdma":{"mlx5":{"hcaHandles":1}}}"#,
            "rdma.mlx5",
            "cannot set rdma limit: controller \"rdma\" not available in ",
        ),
        (
            r#"{"unified":{"foo.max":"1"}}"#,
            "unified[\"foo.max\"]",
            "unified resource \"foo.max\" can't be set: controller \"foo\" not available in ",
        ),
        (r#"{"unified":{"cgroup.none":"1"}}"#, "unified[\"cgroup.none\"]", "no cgroup.none in "),
        (
            r#"{"unified":{"cgroup.max.depth":"x"}}"#,
            "unified[\"cgroup.max.depth\"]",
            "/x/cgroup.max.depth\", \"x\"): invalid argument",
        ),
    ] {
        let error = apply_json(&cgroup, &placement, json).unwrap_err();
        let property = format!("linux.resources.{property}");
        assert_eq!(error.property(), Some(property.as_str()));
        let text = error.to_string();
        assert!(text.starts_with(&format!("{property}: ")) && text.contains(words), "{text}");
    }
    let json = r#"{"unified":{"cgroup.max.depth":"3","cgroup.max.descendants":"5"}}"#;
    apply_json(&cgroup, &placement, json).unwrap();
    let path = placement.unified.as_ref().unwrap().directory();
    assert_eq!(read_to_string(path.join("cgroup.max.depth")).unwrap(), "3\n");
    assert_eq!(read_to_string(path.join("cgroup.max.descendants")).unwrap(), "5\n");
}
