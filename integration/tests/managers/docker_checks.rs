//! What users of `docker run` rely on.

use std::fs;
use std::path::Path;
use std::thread;

use integration::until;

use crate::Check;
use crate::docker::Docker;

pub(crate) const CHECKS: &[Check<Docker>] = &[
    ("output and exit code", |docker| {
        let outcome = docker
            .run(&["--rm", "--network=none"], &["sh", "-c", "echo out; echo err >&2; exit 42"]);
        let streams = (outcome.stdout.as_str(), outcome.stderr.as_str());
        assert_eq!((outcome.code, streams), (42, ("out\n", "err\n")));
    }),
    ("input", |docker| {
        let file = docker.place.path("input");
        fs::write(&file, "to the container\n").expect("write");
        // The client reads it from the file, and hands on its end.
        let script = "read line; echo \"got $line\"; cat";
        let mut command = docker.command(&["--rm", "--interactive"], &["sh", "-c", script]);
        let outcome = integration::finish(command.stdin(fs::File::open(&file).expect("open")));
        assert_eq!(outcome.ok(), "got to the container\n");
    }),
    ("a command that is not there is exit code 127", |docker| {
        for (command, text) in [
            ("nonesuch", "executable file not found in $PATH"),
            ("/nonesuch", "no such file or directory"),
        ] {
            let outcome = docker.run(&["--rm", "--network=none"], &[command]);
            assert_eq!(outcome.code, 127, "{outcome:?}");
            assert!(outcome.stderr.contains(text), "{outcome:?}");
        }
    }),
    ("a file that can't be executed is exit code 126", |docker| {
        let outcome = docker.run(&["--rm", "--network=none"], &["/etc/passwd"]);
        assert_eq!(outcome.code, 126, "{outcome:?}");
        assert!(outcome.stderr.contains("permission denied"), "{outcome:?}");
    }),
    ("in the background: state, logs, exit code", |docker| {
        let name =
            docker.detached(&[], "echo begun; until [ -e /end ]; do sleep 0.05; done; exit 7");
        assert_eq!(docker.inspect(&name, "{{.State.Status}}"), "running");
        let pid = docker.inspect(&name, "{{.State.Pid}}").parse().expect("a pid");
        let process = integration::Process(pid);
        assert!(process.lives());
        assert!(until(|| docker.call(&["logs", &name]).ok() == "begun\n"));
        fs::write(format!("/proc/{pid}/root/end"), "").expect("write");
        assert_eq!(docker.wait(&name), "7");
        assert_eq!(docker.inspect(&name, "{{.State.Status}} {{.State.Pid}}"), "exited 0");
        docker.remove(&name);
    }),
    ("the same container is started again", |docker| {
        let name = docker.detached(&[], "echo x >> /count; exec wc -l < /count");
        assert_eq!(docker.wait(&name), "0");
        assert_eq!(docker.call(&["start", "--attach", &name]).ok(), "2\n");
        assert_eq!(docker.call(&["start", "--attach", &name]).ok(), "3\n");
        docker.remove(&name);
    }),
    ("stop: the signal, and then SIGKILL", |docker| {
        let script = "trap 'exit 3' TERM; while :; do sleep 0.05; done";
        let name = docker.detached(&[], script);
        assert!(until(|| ready(docker, &name)));
        docker.call(&["stop", "--time", "5", &name]).ok();
        assert_eq!(docker.inspect(&name, "{{.State.ExitCode}}"), "3");
        docker.remove(&name);
        let name = docker.detached(&[], "trap '' TERM; while :; do sleep 0.05; done");
        docker.call(&["stop", "--time", "1", &name]).ok();
        assert_eq!(docker.inspect(&name, "{{.State.ExitCode}}"), "137");
        docker.remove(&name);
    }),
    ("kill by another signal; restart", |docker| {
        let name = docker.detached(&[], "trap 'exit 4' USR1; while :; do sleep 0.05; done");
        assert!(until(|| ready(docker, &name)));
        docker.call(&["kill", "--signal", "USR1", &name]).ok();
        assert_eq!(docker.wait(&name), "4");
        docker.call(&["restart", &name]).ok();
        assert_eq!(docker.inspect(&name, "{{.State.Running}}"), "true");
        docker.call(&["kill", &name]).ok();
        assert_eq!(docker.wait(&name), "137");
        docker.remove(&name);
    }),
    ("a running container is removed by force", |docker| {
        let name = docker.detached(&[], "sleep 1000 & sleep 1000");
        let pid: i32 = docker.inspect(&name, "{{.State.Pid}}").parse().expect("a pid");
        let refused = docker.call(&["rm", &name]);
        assert_eq!(refused.code, 1, "{refused:?}");
        docker.call(&["rm", "--force", &name]).ok();
        assert!(!integration::Process(pid).lives());
        assert_ne!(docker.call(&["inspect", &name]).code, 0);
    }),
    ("memory, CPU and process limits", |docker| {
        if !Path::new("/sys/fs/cgroup/memory").exists() {
            eprintln!("skipped: the limits are looked at where cgroup v1 has them");
            return;
        }
        let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes \
                      memory/memory.soft_limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares \
                      cpuset/cpuset.cpus pids/pids.max";
        let options = [
            "--memory=64m",
            "--memory-reservation=32m",
            "--cpus=0.5",
            "--cpu-shares=512",
            "--cpuset-cpus=0",
            "--pids-limit=20",
        ];
        assert_eq!(docker.sh(&options, script), "67108864\n33554432\n50000\n512\n0\n20\n");
    }),
    ("a container that wants more memory is killed, and Docker says so", |docker| {
        let script = "dd if=/dev/zero of=/dev/null bs=64M count=1";
        let name =
            docker.detached(&["--memory=16m", "--memory-swap=16m"], &format!("exec {script}"));
        assert_eq!(docker.wait(&name), "137");
        assert_eq!(docker.inspect(&name, "{{.State.OOMKilled}}"), "true");
        docker.remove(&name);
    }),
    ("the limit of processes holds", |docker| {
        let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; echo all";
        let outcome =
            docker.run(&["--rm", "--network=none", "--pids-limit=5"], &["sh", "-c", script]);
        assert!(outcome.stdout.contains("fork") && !outcome.stdout.contains("all"), "{outcome:?}");
    }),
    ("rlimits and the OOM score", |docker| {
        let options = ["--ulimit=nofile=512:1024", "--oom-score-adj=100"];
        let script = "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj";
        assert_eq!(docker.sh(&options, script), "512\n1024\n100\n");
    }),
    ("a read-only root with a tmpfs in it", |docker| {
        let script =
            "touch /x 2>&1; touch /t/x && grep -c ' /t tmpfs rw,nosuid,nodev,noexec' /proc/mounts";
        let output = docker.sh(&["--read-only", "--tmpfs=/t:size=1m"], script);
        assert_eq!(output, "touch: /x: Read-only file system\n1\n");
    }),
    ("volumes", |docker| {
        let directory = docker.place.path("volume");
        fs::create_dir_all(&directory).expect("mkdir");
        fs::write(directory.join("in"), "in\n").expect("write");
        let options = [
            format!("--volume={}:/rw", directory.display()),
            format!("--volume={}:/ro:ro", directory.display()),
        ];
        let script = "cat /rw/in; echo out > /rw/out; cat /ro/out; touch /ro/x 2>&1 || true";
        let output = docker.sh(&[&options[0], &options[1]], script);
        assert_eq!(output, "in\nout\ntouch: /ro/x: Read-only file system\n");
        assert_eq!(fs::read_to_string(directory.join("out")).expect("read"), "out\n");
    }),
    ("user and groups", |docker| {
        let options = ["--user=1000:1000", "--group-add=2000"];
        let script = "id -u; id -g; grep Groups: /proc/self/status; grep CapEff /proc/self/status";
        let expected = "1000\n1000\nGroups:\t1000 2000 \nCapEff:\t0000000000000000\n";
        assert_eq!(docker.sh(&options, script), expected);
    }),
    ("names, environment, directory", |docker| {
        let options =
            ["--hostname=host", "--domainname=domain", "--env=A=b c", "--workdir=/made/here"];
        let script = "hostname; cat /proc/sys/kernel/domainname; echo $A $HOSTNAME; pwd";
        assert_eq!(docker.sh(&options, script), "host\ndomain\nb c host\n/made/here\n");
    }),
    ("capabilities", |docker| {
        let script = "grep CapEff /proc/self/status | cut -f2";
        for (options, expected) in [
            (&[][..], "00000000a80425fb\n"),
            (&["--cap-drop=ALL"], "0000000000000000\n"),
            (&["--cap-drop=ALL", "--cap-add=SYS_TIME"], "0000000002000000\n"),
        ] {
            assert_eq!(docker.sh(options, script), expected, "{options:?}");
        }
    }),
    ("seccomp and no_new_privs", |docker| {
        let script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; \
                      mkdir /m; mount -t tmpfs m /m 2>&1 && echo mounted";
        let denied = "mount: permission denied (are you root?)\n";
        for (options, privileges, seccomp) in [
            (&[][..], 0, 2),
            (&["--security-opt=seccomp=unconfined"], 0, 0),
            (&["--security-opt=no-new-privileges"], 1, 2),
            // Allowed by the profile with the capability, and then by the kernel.
            (&["--cap-add=SYS_ADMIN"], 0, 2),
        ] {
            let outcome =
                docker.run(&[&["--rm", "--network=none"], options].concat(), &["sh", "-c", script]);
            let status = format!("NoNewPrivs:\t{privileges}\nSeccomp:\t{seccomp}\n");
            let mounted = if options == ["--cap-add=SYS_ADMIN"] { "mounted\n" } else { denied };
            assert_eq!(outcome.stdout, status + mounted, "{options:?}");
        }
    }),
    ("sysctls of the container", |docker| {
        let script = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax";
        let options = ["--sysctl=net.core.somaxconn=99", "--sysctl=kernel.msgmax=9999"];
        assert_eq!(docker.sh(&options, script), "99\n9999\n");
    }),
    ("devices", |docker| {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: no /dev/fuse");
            return;
        }
        let script = "true < /dev/other && echo opened; echo > /dev/other; \
                      mknod /dev/mine b 7 0 && true < /dev/mine; stat -c '%t:%T' /dev/other";
        let options = ["--rm", "--network=none", "--device=/dev/fuse:/dev/other:r"];
        let outcome = docker.run(&options, &["sh", "-c", script]);
        assert_eq!(outcome.stdout, "opened\na:e5\n", "{outcome:?}");
        for denied in ["create /dev/other: Operation", "open /dev/mine: Operation"] {
            assert!(outcome.stderr.contains(denied), "{outcome:?}");
        }
    }),
    ("the bridge network, by a prestart hook", |docker| {
        let script = "ip -4 addr show eth0; cat /etc/hosts /etc/resolv.conf > /dev/null; \
                      ping -c 1 -W 2 $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')";
        let output = docker.sh(&["--network=bridge"], script);
        assert!(output.contains("inet 172.") && output.contains(" 0% packet loss"), "{output}");
        let output = docker.sh(&[], "ls /sys/class/net");
        assert!(!output.contains("eth0"), "{output}");
    }),
    ("namespaces of others", |docker| {
        let links =
            "readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid; readlink /proc/self/ns/uts";
        let own =
            |name: &str| fs::read_link(format!("/proc/thread-self/ns/{name}")).expect("readlink");
        let output = docker.sh(&["--ipc=host", "--pid=host", "--uts=host"], links);
        let expected = ["ipc", "pid", "uts"].map(|name| own(name).display().to_string());
        assert_eq!(output.lines().collect::<Vec<_>>(), expected);
        let name = docker.detached(&["--ipc=shareable"], "sleep 1000");
        let pid = docker.inspect(&name, "{{.State.Pid}}");
        let [ipc, net] = ["ipc", "net"]
            .map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("readlink"));
        let joined = docker.run(
            &["--rm", &format!("--network=container:{name}"), &format!("--ipc=container:{name}")],
            &["sh", "-c", "readlink /proc/self/ns/ipc; readlink /proc/self/ns/net"],
        );
        assert_eq!(joined.ok(), format!("{}\n{}\n", ipc.display(), net.display()));
        docker.call(&["rm", "--force", &name]).ok();
    }),
    ("a terminal", |docker| {
        let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && readlink /proc/self/fd/0";
        assert_eq!(docker.sh(&["--tty"], script), "/dev/pts/0\r\n");
    }),
    ("--init reaps, and hands on the exit code", |docker| {
        let script = "cat /proc/1/comm; (sleep 0.01 &); sleep 0.2; ps | grep -c '[Z]ombie'; exit 9";
        let outcome = docker.run(&["--rm", "--network=none", "--init"], &["sh", "-c", script]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (9, "docker-init\n0\n"));
    }),
    ("four at a time", |docker| {
        thread::scope(|scope| {
            let run = |number: i32| {
                let script = format!("echo {number}; exit {number}");
                let outcome = docker.run(&["--rm", "--network=none"], &["sh", "-c", &script]);
                assert_eq!((outcome.code, outcome.stdout), (number, format!("{number}\n")));
            };
            let threads: Vec<_> = (1..5).map(|number| scope.spawn(move || run(number))).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("a run"));
        });
    }),
    ("docker cp, diff and commit see the container's files", |docker| {
        let name = docker.detached(&[], "echo new > /root/new");
        assert_eq!(docker.wait(&name), "0");
        assert_eq!(docker.call(&["diff", &name]).ok(), "C /root\nA /root/new\n");
        let to = docker.place.text("copied");
        docker.call(&["cp", &format!("{name}:/root/new"), &to]).ok();
        assert_eq!(fs::read_to_string(to).expect("read"), "new\n");
        docker.remove(&name);
    }),
];

/// Whether the shell of a container has come as far as its loop: it has a child.
fn ready(docker: &Docker, name: &str) -> bool {
    let pid = docker.inspect(name, "{{.State.Pid}}");
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .is_ok_and(|text| !text.is_empty())
}
