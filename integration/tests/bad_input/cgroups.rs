//! Cgroups: paths, limits, and who is there already.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;

use integration::Bundle;
use serde_json::{Value, json};

use super::place::{OwnCgroup, Sleeper};
use super::{RUN, Setting, check, row};

fn limits(pointer: &'static str, value: Value) -> impl Fn(Bundle) -> Bundle {
    move |bundle| bundle.set(&format!("/linux/resources/{pointer}"), value.clone())
}

/// A cgroup that is there when the container comes, in the hierarchies of v1.
fn taken(
    controller: &'static str,
    prepare: fn(&OwnCgroup) -> Option<Sleeper>,
) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        let name = bundle.id().to_string();
        let setting = Setting::from(bundle.set("/linux/cgroupsPath", json!(format!("/{name}"))));
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
            "container's cgroup is not empty: 1 process(es) found in /sys/fs/cgroup/pids/{id}",
            taken("pids", occupied),
        ).crun("takes it").runc("1.1.5 takes it")
        .never_again(),
        row(
            "a path that is frozen",
            "container's cgroup unexpectedly frozen: /sys/fs/cgroup/freezer/{id}",
            taken("freezer", |cgroup| {
                cgroup.write("freezer.state", "FROZEN");
                None
            }),
        )
        .crun("1.8.1 waits in it for ever")
        .never_again(),
        row(
            "a path with a name that is too long",
            "linux.cgroupsPath /{*}: a name is longer than 255 bytes",
            |bundle: Bundle| {
                bundle.set("/linux/cgroupsPath", json!(format!("/{}", "x".repeat(256))))
            },
        ).crun("takes it").runc("1.1.5 takes it"),
        row(
            "a path that is too long",
            "linux.cgroupsPath {*}: it is longer than 4095 bytes",
            |bundle: Bundle| bundle.set("/linux/cgroupsPath", json!("/x".repeat(2500))),
        ),
        row(
            "a path that is a file",
            "make the cgroup /sys/fs/cgroup/unified/cgroup.procs/x: mkdirat(\"/sys/fs/cgroup/unified/cgroup.procs/x\"): not a directory",
            |bundle: Bundle| bundle.set("/linux/cgroupsPath", json!("/cgroup.procs/x")),
        ),
        row(
            "a path that the caller may not make",
            "make the cgroup /sys/fs/cgroup/unified/{id}: mkdirat(\"/sys/fs/cgroup/unified/{id}\"): permission denied",
            |bundle: Bundle| {
                let path = json!(format!("/{}", bundle.id()));
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
    let rows = [
        row(
            "memory below zero",
            "{bundle}/config.json: linux.resources.memory.limit: invalid memory value: -2 (allowed: a number of bytes, or -1 for no limit)",
            limits("memory", json!({ "limit": -2 })),
        ),
        row(
            "processors that there are not",
            "linux.resources.cpu.cpus: write(\"/sys/fs/cgroup/cpuset/{id}/cpuset.cpus\", \"4000\"): numerical result out of range",
            limits("cpu", json!({ "cpus": "4000" })),
        ),
        row(
            "processors that are none",
            "linux.resources.cpu.cpus: write(\"/sys/fs/cgroup/cpuset/{id}/cpuset.cpus\", \"many\"): invalid argument",
            limits("cpu", json!({ "cpus": "many" })),
        ),
        row(
            "memory nodes that there are not",
            "linux.resources.cpu.mems: write(\"/sys/fs/cgroup/cpuset/{id}/cpuset.mems\", \"900\"): invalid argument",
            limits("cpu", json!({ "mems": "900" })),
        ),
        row(
            "a period that is too short",
            "linux.resources.cpu.period: write(\"/sys/fs/cgroup/cpu/{id}/cpu.cfs_period_us\", \"1\"): invalid argument",
            limits("cpu", json!({ "quota": 1000, "period": 1 })),
        ),
        row(
            "a quota that is too small",
            "linux.resources.cpu.quota: write(\"/sys/fs/cgroup/cpu/{id}/cpu.cfs_quota_us\", \"1\"): invalid argument",
            limits("cpu", json!({ "quota": 1, "period": 100_000 })),
        ),
        row(
            "shares below the kernel's",
            "linux.resources.cpu.shares: the minimum allowed cpu-shares is 2",
            limits("cpu", json!({ "shares": 1 })),
        ),
        row(
            "more real time than time",
            "linux.resources.cpu.realtimeRuntime: write(\"/sys/fs/cgroup/cpu/{id}/cpu.rt_runtime_us\", \"2000000\"): invalid argument",
            limits("cpu", json!({ "realtimeRuntime": 2_000_000, "realtimePeriod": 1_000_000 })),
        ),
        row(
            "pages of a size that there is not",
            "linux.resources.hugepageLimits[0]: cannot set hugetlb limit: no hierarchy with the hugetlb controller is mounted on this host",
            limits("hugepageLimits", json!([{ "pageSize": "3MB", "limit": 0 }])),
        ),
        row(
            "a block device that there is not",
            "linux.resources.blockIO.throttleReadBpsDevice[0]: write(\"/sys/fs/cgroup/blkio/{id}/blkio.throttle.read_bps_device\", \"4000:1 1\"): no such device",
            limits(
                "blockIO",
                json!({ "throttleReadBpsDevice": [{ "major": 4000, "minor": 1, "rate": 1 }] }),
            ),
        ),
        row(
            "a class of packets without the controller",
            "linux.resources.network.classID: cannot set net_cls limit: no hierarchy with the net_cls controller is mounted on this host",
            limits("network", json!({ "classID": 1 })),
        ),
        row(
            "a device of rdma without the controller",
            "linux.resources.rdma.mlx5_1: cannot set rdma limit: no hierarchy with the rdma controller is mounted on this host",
            limits("rdma", json!({ "mlx5_1": { "hcaHandles": 1 } })),
        ),
        row(
            "files of v2 on a host with v1",
            "linux.resources.unified: invalid configuration: cannot use unified on cgroup v1",
            limits("unified", json!({ "memory.max": "1" })),
        ),
    ];
    check(&rows.map(|row| row.crun("1.8.1 leaves the cgroups, or takes it")));
}

#[test]
fn too_little_memory() {
    let memory = |limit: u64| limits("memory", json!({ "limit": limit }));
    check(&[
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
    ]);
}

#[test]
fn too_few_processes() {
    check(&[
        row("no process is the first one only", "", limits("pids", json!({ "limit": 0 })))
            .command(RUN)
            .code(0),
        row(
            "a hook needs one more",
            "{start}: hooks.createContainer[0]: run /bin/true: clone3: resource temporarily unavailable",
            |bundle: Bundle| {
                limits("pids", json!({ "limit": 1 }))(bundle).edit(|config| {
                    config["hooks"] = json!({ "createContainer": [{ "path": "/bin/true" }] });
                })
            },
        ),
    ]);
}
