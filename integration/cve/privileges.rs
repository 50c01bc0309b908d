//! The wrong privilege: ids, groups, capabilities, variables, sysctls and cgroups that nobody configured.

use std::fs;
use std::process::{Command, Stdio};

use integration::config::{array, drop_namespace, put_capabilities, put_user_namespace};
use integration::process::own_mounts;
use integration::{Bundle, Kind, Process, Under, finish, until};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::probe::{Verdict, ends, holds, is, needs_tare, require, told};

/// Creates by the runtime below a launcher with these arguments, and starts.
#[track_caller]
fn started_below(bundle: &Bundle, launcher: &[&str]) -> Process {
    let inner = bundle.command_for_bundle(&["create"]);
    let mut command = Command::new(launcher[0]);
    command.args(&launcher[1..]).arg(inner.get_program()).args(inner.get_args());
    bundle.create_by(command.stdin(Stdio::null())).ok();
    let process = bundle.process();
    bundle.start().ok();
    assert!(until(|| process.file("cmdline").starts_with("sleep")));
    process
}

/// T-D1. CVE-2024-40635 and CVE-2026-46680 (containerd), CVE-2026-30892 (crun), CVE-2016-3697 (runc): an id
/// that becomes another one, mostly root's. 4294967295 means "unchanged" to the kernel.
#[test]
fn cve_2024_40635_the_id_that_means_unchanged_is_refused() {
    needs_tare!();
    let probe = || {
        for (pointer, id) in [
            ("uid", json!(u32::MAX)),
            ("gid", json!(u32::MAX)),
            ("uid", json!(1_u64 << 32)),
            ("uid", json!(-1)),
            ("uid", json!("1000")),
            ("additionalGids", json!([u32::MAX])),
        ] {
            let bundle = Bundle::sh("id").set(&format!("/process/user/{pointer}"), id.clone());
            let outcome = bundle.run();
            told(&outcome);
            let evidence = || format!("{pointer} {id} becomes {outcome:?}");
            ends(bundle, require(outcome.code != 0, evidence))?;
        }
        Ok(())
    };
    holds(probe, &[("crun 1.8.1", "uid 4294967295 becomes")]);
}

/// T-D2. CVE-2022-29162 (runc), CVE-2022-24769, CVE-2022-27649 to 27652, CVE-2025-27612 (youki),
/// CVE-2016-8867: capabilities that are inheritable or ambient though nobody configured it. That no peer
/// here falls is not for want of capabilities: the caller has them.
#[test]
fn cve_2022_29162_capabilities_are_only_the_configured() {
    needs_tare!();
    let probe = || {
        for uid in [0, 1000] {
            for given in [Some(json!({})), None, Some(json!({ "bounding": ["CAP_KILL"] }))] {
                let bounding =
                    u64::from(given.as_ref().is_some_and(|given| given["bounding"].is_array()))
                        << 5;
                let bundle = Bundle::sleeping().edit(|config| {
                    config["process"]["user"] = json!({ "uid": uid, "gid": uid });
                    let process = config["process"].as_object_mut().unwrap();
                    process.remove("capabilities");
                    process.extend(given.map(|given| ("capabilities".into(), given)));
                });
                let caps = "+net_admin,+chown";
                let caller = [
                    "setpriv",
                    "--inh-caps",
                    caps,
                    "--ambient-caps",
                    caps,
                    "grep",
                    "CapAmb",
                    "/proc/self/status",
                ];
                let mine = finish(Command::new(caller[0]).args(&caller[1..])).ok();
                assert!(mine.trim_end().ends_with("1001"), "{mine}");
                let process = started_below(&bundle, &caller[..5]);
                let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
                let found = sets.map(|set| process.mask(set));
                // With no_new_privs not even root's program gains what the bounding set allows.
                let right = found == [0, 0, 0, bounding, 0];
                ends(bundle, require(right, || format!("{uid}: {found:x?}")))?;
            }
        }
        Ok(())
    };
    holds(probe, &[]);
}

/// T-D3. CVE-2022-36109 (docker), CVE-2023-25173 (containerd), CVE-2022-2990 and CVE-2022-2995: groups that
/// are missing, or the caller's. No peer here falls; the caller has groups.
#[test]
fn cve_2022_36109_groups_are_only_the_configured() {
    needs_tare!();
    let probe = || {
        for (groups, shown) in [(&[][..], ""), (&[7], "7"), (&[7, 70_000], "7 70000")] {
            let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": groups });
            let bundle = Bundle::sleeping().set("/process/user", user);
            let process = started_below(&bundle, &["setpriv", "--groups", "12,13"]);
            let found = process.status("Groups");
            ends(bundle, require(found == shown, || format!("{groups:?}: {found}")))?;
        }
        Ok(())
    };
    holds(probe, &[]);
}

/// T-D4. CVE-2026-57231 (podman): a variable without a value gets the caller's. No peer here falls.
#[test]
fn cve_2026_57231_a_variable_without_value_is_never_the_callers() {
    needs_tare!();
    let probe = || {
        let entries = json!(["PATH=/bin", "TARE_TEST_SECRET", "=x", ""]);
        let bundle = Bundle::sh("env").set("/process/env", entries);
        let mut command = bundle.command_for_bundle(&["run"]);
        let outcome = finish(command.env("TARE_TEST_SECRET", "of-the-host"));
        told(&outcome);
        let shown = outcome.stdout.contains("of-the-host");
        ends(bundle, require(!shown, || format!("shown: {outcome:?}")))
    };
    holds(probe, &[]);
}

/// T-D5, T-D11. CVE-2021-43784 (runc): a length that overflows, so that namespaces or maps get lost; and
/// CVE-2014-8989, groups that a user namespace lets go. No peer here falls: the namespaces are compared with
/// the caller's, which differ.
#[test]
fn cve_2021_43784_large_maps_and_variables_lose_nothing() {
    needs_tare!();
    let probe = || {
        for lines in [1_u32, 300, 340, 341, 5000] {
            let map: Vec<_> = (0..lines)
                .map(|line| json!({ "containerID": line, "hostID": 1000 + 2 * line, "size": 1 }))
                .collect();
            let bundle = Bundle::sleeping().edit(|config| {
                put_user_namespace(config, 1000, 1);
                config["linux"]["uidMappings"] = json!(map);
                config["linux"]["gidMappings"] = json!(map);
                // tmpfs and devpts want the owner of a file that is mapped.
                array(config, "/mounts").retain(|mount| mount["destination"] != "/dev/pts");
                let large = format!("LARGE={}", "x".repeat(70 << 10));
                array(config, "/process/env").push(json!(large));
            });
            let outcome = bundle.create();
            told(&outcome);
            let verdict = match outcome.code {
                // The kernel takes 340 lines.
                0 => mapped(bundle.process(), lines),
                _ => require(lines > 340, || format!("{lines}: {outcome:?}")),
            };
            ends(bundle, verdict)?;
        }
        Ok(())
    };
    holds(probe, &[]);
}

fn mapped(process: Process, lines: u32) -> Verdict {
    for name in ["uid_map", "gid_map"] {
        let found = process.id_map(name).len();
        require(u32::try_from(found) == Ok(lines), || format!("{name}: {found} for {lines}"))?;
    }
    let own = Process(nix::unistd::gettid().as_raw());
    ["user", "mnt", "net", "pid", "ipc", "uts"].into_iter().try_for_each(|name| {
        let namespace = process.namespace(name);
        require(namespace != own.namespace(name), || format!("{namespace} is the caller's"))
    })
}

/// T-D11. The same of paths: mounts and namespaces whose paths are as long as the kernel takes them.
#[test]
fn cve_2021_43784_long_paths_lose_nothing() {
    needs_tare!();
    let probe = || {
        let holder = Bundle::sleeping();
        let process = holder.created();
        let padding = "/.".repeat(1950);
        let path = format!("/proc/{}{padding}/ns/net", process.0);
        let mut bundle = Bundle::sleeping();
        let source = format!("{}{padding}/decoy", bundle.directory().display());
        for number in 0..100 {
            bundle = bundle.mount(&format!("/dev/shm/{number}"), "bind", &source, &["bind", "ro"]);
        }
        let bundle = bundle.edit(|config| {
            integration::config::put_namespace(config, json!({ "type": "network", "path": path }));
        });
        let found = bundle.created();
        let mounts = found.mounts();
        let mounts =
            mounts.iter().filter(|mount| mount.point.starts_with("/dev/shm/") && mount.has("ro"));
        let (count, net) = (mounts.count(), found.namespace("net"));
        let verdict = require(count == 100, || format!("{count} mounts")).and_then(|()| {
            require(net == process.namespace("net"), || format!("{net} is not joined"))
        });
        ends(bundle, verdict)?;
        ends(holder, Ok(()))
    };
    holds(probe, &[]);
}

/// T-D6. GHSA-g54h-m393-cpwq (runc): a list of devices that denies only what it names.
#[test]
fn ghsa_g54h_m393_cpwq_only_the_default_devices_may_be_opened() {
    needs_tare!();
    // loop 7:0 and /dev/mem's neighbour 1:4 (port) are not in the default rules.
    let script = "cd /dev; mknod b b 7 0 && mknod c c 1 4 && echo made
        head -c1 b 2>&1; head -c1 c 2>&1
        for f in null zero full random urandom; do head -c1 $f > null || echo $f; done
        echo x > null && exec 3<>ptmx && echo end";
    let expected =
        "made\nhead: b: Operation not permitted\nhead: c: Operation not permitted\nend\n";
    let probe = |rules: serde_json::Value| {
        let bundle = Bundle::sh(script).edit(|config| {
            put_capabilities(config, &["CAP_MKNOD", "CAP_SYS_RAWIO"]);
            config["linux"]["resources"]["devices"] = rules;
        });
        let found = bundle.run().stdout;
        ends(bundle, require(found == expected, || format!("opened: {found}")))
    };
    holds(|| probe(json!([{ "allow": false, "access": "rwm" }])), &[]);
    // An empty list is no permission.
    holds(|| probe(json!([])), &[("crun 1.8.1", "opened: made\nhead: c: No such device")]);
}

/// The sysctls of a caller that is in namespaces of its own, so that nothing that a runtime does with the
/// caller's meets the host's.
fn with_own_sysctls(probe: impl Fn() -> Verdict) -> Verdict {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC).unwrap();
    let read = || {
        ["net/ipv4/ip_unprivileged_port_start", "kernel/msgmax"]
            .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap())
    };
    let before = read();
    let verdict = probe();
    verdict.and(require(read() == before, || format!("the caller's became {:?}", read())))
}

/// T-D9. CVE-2022-0811 (cri-o), GHSA-w2j5: sysctls that are the host's, or of a namespace that is.
#[test]
fn cve_2022_0811_sysctls_of_the_caller_are_refused() {
    needs_tare!();
    let probe = || {
        for (name, value, kind, joins) in [
            ("net.ipv4.ip_unprivileged_port_start", "77", "network", false),
            ("net.ipv4.ip_unprivileged_port_start", "77", "network", true),
            ("kernel.msgmax", "9000", "ipc", false),
            ("kernel.msgmax", "9000", "ipc", true),
        ] {
            let bundle =
                Bundle::new().set("/linux/sysctl", json!({ name: value })).edit(|config| {
                    let path = format!("/proc/{}/ns/{}", nix::unistd::gettid(), &kind[..3]);
                    match joins {
                        true => integration::config::put_namespace(
                            config,
                            json!({ "type": kind, "path": path }),
                        ),
                        false => drop_namespace(config, kind),
                    }
                    // Without a network namespace there is no sysfs, without one for IPC no mqueue.
                    let mounts = array(config, "/mounts");
                    mounts.retain(|mount| {
                        !["sysfs", "cgroup", "mqueue"].iter().any(|kind| mount["type"] == **kind)
                    });
                });
            let outcome = bundle.run();
            told(&outcome);
            let evidence = || format!("{name} of the caller: {outcome:?}");
            ends(bundle, require(outcome.code != 0, evidence))?;
        }
        Ok(())
    };
    let set = "of the caller: Outcome { code: 0";
    holds(|| with_own_sysctls(probe), &[("runc 1.1.5", set), ("crun 1.8.1", set)]);
}

/// T-D12. CVE-2017-5226 (bubblewrap), CVE-2019-10063 (flatpak): what a container types at the terminal of its
/// caller. It leads a session, which has none. No peer here falls; the caller's own session is another.
#[test]
fn cve_2017_5226_the_process_leads_a_session_of_its_own() {
    needs_tare!();
    let probe = || {
        let bundle = Bundle::sleeping();
        let process = bundle.started();
        let stat = process.file("stat");
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // Process group, session, terminal.
        let pid = process.0.to_string();
        let right = fields[2..5] == [&*pid, &*pid, "0"];
        ends(bundle, require(right, || stat))
    };
    holds(probe, &[]);
}

/// T-D13. CVE-2020-5291 (bubblewrap), CVE-2017-5985, CVE-2018-6556, CVE-2022-47952 and CVE-2026-39402
/// (lxc-user-nic): a setuid program does as root what its caller says.
#[test]
fn cve_2020_5291_a_setuid_runtime_refuses_to_run() {
    needs_tare!();
    let probe = || {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &std::path::Path, mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(path, mode).unwrap();
        };
        mode(directory.path(), 0o755);
        let copy = directory.path().join(Under::test().name());
        fs::copy(&Under::test().path, &copy).unwrap();
        mode(&copy, 0o4755);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        let root = directory.path().join("root");
        let outcome = finish(command.arg("--root").arg(root).arg("list"));
        told(&outcome);
        let said = !is(Kind::Tare) || outcome.stderr.contains("setuid");
        require(outcome.code != 0 && said, || format!("as root: {outcome:?}"))
    };
    let root = "as root: Outcome { code: 0";
    holds(probe, &[("runc 1.1.5", root), ("crun 1.8.1", root)]);
}

/// T-E6. CVE-2023-6476 (cri-o), CVE-2025-47291 (containerd), and crun before 1.28: a container in a cgroup
/// that is not its own.
#[test]
fn cve_2023_6476_a_cgroup_path_never_leads_out_of_the_hierarchy() {
    needs_tare!();
    let long = "/".repeat(4000);
    let probe = || {
        for prefix in ["../../", "/../../", "ID-a/../../", "./", "/\u{fc}-", &long] {
            let bundle = Bundle::sleeping();
            let name = format!("{}-dots", bundle.id());
            let path = format!("{}{name}", prefix.replace("ID", bundle.id()));
            let bundle = bundle.set("/linux/cgroupsPath", json!(path));
            let outcome = bundle.create();
            told(&outcome);
            let mut verdict = Ok(());
            if outcome.code == 0 {
                // Below crun there is no v2 hierarchy: see `enter_private_mounts`.
                let is_mounted = own_mounts().iter().any(|mount| mount.kind == "cgroup2");
                let unified = is_mounted && !is(Kind::Crun);
                let mut found = bundle.process().cgroups();
                found.retain(|name, _| unified || !name.is_empty());
                assert!(!found.is_empty(), "nobody looked");
                let inside = |path: &String| path.ends_with(&name) && !path.contains("..");
                verdict = require(found.values().all(inside), || format!("{path} is {found:?}"));
            }
            ends(bundle, verdict)?;
        }
        Ok(())
    };
    let left = "cgroup left: /sys/fs/cgroup";
    holds(probe, &[("crun 1.8.1", left)]);
}
