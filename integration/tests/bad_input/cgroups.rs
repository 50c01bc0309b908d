//! Cgroups: paths, limits, and who is there already.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;

use integration::Bundle;
use integration::hierarchies::{self, Hierarchy, has_v1};
use serde_json::{Value, json};

use super::place::{OwnCgroup, Sleeper};
use super::{RUN, Setting, check, row};

fn limits(pointer: &'static str, value: Value) -> impl Fn(Bundle) -> Bundle {
    move |bundle| bundle.set(&format!("/linux/resources/{pointer}"), value.clone())
}

/// Whether there is cgroup v1, but not this controller of it.
fn lacks(controller: &str) -> bool {
    has_v1() && hierarchies::v1(controller).is_none()
}

/// A cgroup that is there when the container comes, in the hierarchies of v1.
fn taken(
    controller: &'static str,
    prepare: fn(&OwnCgroup) -> Option<Sleeper>,
) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        let name = bundle.id().to_string();
        let setting = Setting::from(bundle.set("/linux/cgroupsPath", json!(name)));
        let cgroup = OwnCgroup::new(controller, &name);
        let kept = prepare(&cgroup);
        setting.keep(kept).keep(cgroup)
    }
}

fn occupied(cgroup: &OwnCgroup) -> Option<Sleeper> {
    let sleeper = Sleeper::new(|command| command);
    cgroup.write("cgroup.procs", &sleeper.pid().to_string());
    Some(sleeper)
}

#[test]
fn paths() {
    check(&[
        row(
            "a path that processes are in",
            "container's cgroup is not empty: 1 process(es) found in {v1:pids}/{id}",
            taken("pids", occupied),
        )
        .crun("takes it")
        .runc("1.1.5 takes it")
        .never_again(),
        row(
            "a path that is frozen",
            "container's cgroup unexpectedly frozen: {v1:freezer}/{id}",
            taken("freezer", |cgroup| {
                cgroup.write("freezer.state", "FROZEN");
                None
            }),
        )
        .crun("1.8.1 waits in it for ever")
        .never_again(),
        row(
            "a path with a name that is too long",
            "linux.cgroupsPath {*}: a name is longer than 255 bytes",
            |bundle: Bundle| {
                let path = format!("{}{}", bundle.id(), "x".repeat(256));
                bundle.set("/linux/cgroupsPath", json!(path))
            },
        )
        .crun("takes it")
        .runc("1.1.5 takes it"),
        row(
            "a path that is too long",
            "linux.cgroupsPath {*}: it is longer than 4095 bytes",
            |bundle: Bundle| {
                let path = format!("/{}{}", bundle.id(), "/x".repeat(2500));
                bundle.set("/linux/cgroupsPath", json!(path))
            },
        ),
        row(
            "a path that is a file",
            "make the cgroup {v2}/cgroup.procs/{id}: mkdirat(\"{v2}/cgroup.procs/{id}\"): not a directory",
            |bundle: Bundle| {
                let path = format!("cgroup.procs/{}", bundle.id());
                bundle.set("/linux/cgroupsPath", json!(path))
            },
        ),
        row(
            "a path that the caller may not make",
            "make the cgroup {v2}/{id}: mkdirat(\"{v2}/{id}\"): permission denied",
            |bundle: Bundle| {
                let path = json!(bundle.id());
                let bundle = bundle.set("/linux/cgroupsPath", path);
                Setting::from(bundle)
                    .then(|bundle| chown(bundle.state_root(), Some(65_534), Some(65_534)).unwrap())
                    .call(|command| command.uid(65_534).gid(65_534))
            },
        )
        .never_again(),
    ]);
}

#[test]
fn values() {
    let file = |cpu: Hierarchy| cpu.own.join("cpu.rt_runtime_us");
    let real_time = hierarchies::v1("cpu").is_some_and(|cpu| file(cpu).exists());
    let rows = [
        row(
            "memory below zero",
            "{bundle}/config.json: linux.resources.memory.limit: invalid memory value: -2 (allowed: a number of bytes, or -1 for no limit)",
            limits("memory", json!({ "limit": -2 })),
        ),
        row(
            "processors that there are not",
            "linux.resources.cpu.cpus: write(\"{v1:cpuset}/{id}/cpuset.cpus\", \"4000\"): numerical result out of range",
            limits("cpu", json!({ "cpus": "4000" })),
        ),
        row(
            "processors that are none",
            "linux.resources.cpu.cpus: write(\"{v1:cpuset}/{id}/cpuset.cpus\", \"many\"): invalid argument",
            limits("cpu", json!({ "cpus": "many" })),
        ),
        row(
            "memory nodes that there are not",
            "linux.resources.cpu.mems: write(\"{v1:cpuset}/{id}/cpuset.mems\", \"900\"): invalid argument",
            limits("cpu", json!({ "mems": "900" })),
        ),
        row(
            "a period that is too short",
            "linux.resources.cpu.period: write(\"{v1:cpu}/{id}/cpu.cfs_period_us\", \"1\"): invalid argument",
            limits("cpu", json!({ "quota": 1000, "period": 1 })),
        ),
        row(
            "a quota that is too small",
            "linux.resources.cpu.quota: write(\"{v1:cpu}/{id}/cpu.cfs_quota_us\", \"1\"): invalid argument",
            limits("cpu", json!({ "quota": 1, "period": 100_000 })),
        ),
        row(
            "shares below the kernel's",
            "linux.resources.cpu.shares: the minimum allowed cpu-shares is 2",
            limits("cpu", json!({ "shares": 1 })),
        )
        .needs(has_v1(), "cgroup v1"),
        row(
            "more real time than time",
            "linux.resources.cpu.realtimeRuntime: write(\"{v1:cpu}/{id}/cpu.rt_runtime_us\", \"2000000\"): invalid argument",
            limits("cpu", json!({ "realtimeRuntime": 2_000_000, "realtimePeriod": 1_000_000 })),
        )
        .needs(real_time, "groups with real time"),
        row(
            "pages of a size that there is not",
            "linux.resources.hugepageLimits[0]: cannot set hugetlb limit: no hierarchy with the hugetlb controller is mounted on this host",
            limits("hugepageLimits", json!([{ "pageSize": "3MB", "limit": 0 }])),
        )
        .needs(lacks("hugetlb"), "cgroup v1 without hugetlb"),
        row(
            "a block device that there is not",
            "linux.resources.blockIO.throttleReadBpsDevice[0]: write(\"{v1:blkio}/{id}/blkio.throttle.read_bps_device\", \"4000:1 1\"): no such device",
            limits(
                "blockIO",
                json!({ "throttleReadBpsDevice": [{ "major": 4000, "minor": 1, "rate": 1 }] }),
            ),
        ),
        row(
            "a class of packets without the controller",
            "linux.resources.network.classID: cannot set net_cls limit: no hierarchy with the net_cls controller is mounted on this host",
            limits("network", json!({ "classID": 1 })),
        )
        .needs(lacks("net_cls"), "cgroup v1 without net_cls"),
        row(
            "a device of rdma without the controller",
            "linux.resources.rdma.mlx5_1: cannot set rdma limit: no hierarchy with the rdma controller is mounted on this host",
            limits("rdma", json!({ "mlx5_1": { "hcaHandles": 1 } })),
        )
        .needs(lacks("rdma"), "cgroup v1 without rdma"),
        row(
            "files of v2 on a host with v1",
            "linux.resources.unified: invalid configuration: cannot use unified on cgroup v1",
            limits("unified", json!({ "memory.max": "1" })),
        )
        .needs(has_v1(), "cgroup v1"),
    ];
    check(&rows.map(|row| row.crun("1.8.1 leaves the cgroups, or takes it")));
}

#[test]
fn too_little_memory() {
    let memory = |limit: u64| limits("memory", json!({ "limit": limit }));
    let rows = [
        row("no limit is what 0 says", "", memory(0)).crun("1.8.1 fails").code(0),
        row(
            "a page",
            "{start}: {*}: container init was OOM-killed (memory limit too low?)",
            memory(4096),
        ),
        row(
            "64 KiB",
            "{start}: {*}: container init was OOM-killed (memory limit too low?)",
            memory(64 << 10),
        ),
        row(
            "a page, run",
            "{start}: {*}: container init was OOM-killed (memory limit too low?)",
            memory(4096),
        )
        .command(RUN),
        row(
            "a page, with the swap",
            "{start}: {*}: container init was OOM-killed (memory limit too low?)",
            limits("memory", json!({ "limit": 4096, "swap": 4096 })),
        ),
        row(
            "a page, in a user namespace",
            "{start}: {*}: container init was OOM-killed (memory limit too low?)",
            |bundle: Bundle| {
                limits("memory", json!({ "limit": 4096 }))(bundle)
                    .edit(|config| integration::config::put_user_namespace(config, 100_000, 1000))
            },
        ),
    ];
    let has = hierarchies::v1("memory").is_some();
    check(&rows.map(|row| row.needs(has, "the memory controller of cgroup v1")));
}

#[test]
fn too_few_processes() {
    let rows = [
        row("no process is the first one only", "", limits("pids", json!({ "limit": 0 })))
            .command(RUN)
            .code(0),
        row(
            "a hook needs one more",
            "{start}: error running createContainer hook #0: clone3: resource temporarily unavailable",
            |bundle: Bundle| {
                limits("pids", json!({ "limit": 1 }))(bundle).edit(|config| {
                    config["hooks"] = json!({ "createContainer": [{ "path": "/bin/true" }] });
                })
            },
        ),
    ];
    let has = hierarchies::v1("pids").is_some();
    check(&rows.map(|row| row.needs(has, "the pids controller of cgroup v1")));
}
