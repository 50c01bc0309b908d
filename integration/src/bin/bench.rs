//! Measures runtimes side by side, in turn, in the same run: `bench wall [WARM [COLD]]` is the time from
//! spawn to exit of `run` with the `spec` template and `/bin/true`, then with what Docker writes by default,
//! its seccomp profile included; `bench rss` is what the process of a
//! created container has in memory. The contenders are `RUNTIME` (or the tare that was built last) and
//! Debian's crun and runc, as far as they are installed, or those that `BENCH` names.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose purpose is to print figures"
)]

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use integration::config::base_config;
use integration::runtime::{Under, enter_private_mounts, hide_unified, propagate};
use integration::{Process, rootfs};
use nix::mount::MsFlags;
use serde_json::{Value, json};

const WARM_UP: usize = 5;

/// A runtime and the times that it took.
struct Contender {
    path: PathBuf,
    times: Vec<Duration>,
}

impl Contender {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The time below which this share of the runs was.
    fn quantile(&self, share: f64) -> f64 {
        let mut times: Vec<f64> =
            self.times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index below the number of rounds"
        )]
        let index = ((times.len() - 1) as f64 * share).round() as usize;
        times.get(index).copied().unwrap_or(f64::NAN)
    }
}

fn contenders() -> Vec<Contender> {
    let mut paths = vec![Under::test().path.clone()];
    let others = env::var("BENCH").unwrap_or_else(|_| "crun runc".into());
    for name in others.split_whitespace() {
        let candidates = ["", "/usr/bin/", "/usr/sbin/"].map(|prefix| format!("{prefix}{name}"));
        let found = candidates.iter().map(PathBuf::from).find(|path| path.is_file());
        match found {
            Some(path) if !paths.iter().any(|other| same_file(other, &path)) => paths.push(path),
            Some(_) => {}
            None => eprintln!("{name} is not installed"),
        }
    }
    paths.into_iter().map(|path| Contender { path, times: Vec::new() }).collect()
}

fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    identity(one) == identity(other)
}

/// A bundle of the template, and a state root.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(mut config: Value) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("tare-bench-").tempdir()?;
        rootfs::make(&directory.path().join("rootfs"));
        config["process"]["args"] = json!(["/bin/true"]);
        fs::write(directory.path().join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(Self { directory })
    }

    /// What Docker writes by default, but for what depends on its host, and what Debian's peers refuse:
    /// the files that it binds, AppArmor, its cgroup, the time namespace, the version.
    fn docker() -> Result<Self> {
        let text = include_str!("../../../fixtures/docker-28.json");
        let mut config: Value = serde_json::from_str(text)?;
        config["ociVersion"] = json!("1.0.2");
        config["root"]["path"] = json!("rootfs");
        config["process"].as_object_mut().context("a process")?.remove("apparmorProfile");
        let linux = config["linux"].as_object_mut().context("a linux section")?;
        linux.remove("cgroupsPath");
        let namespaces = linux.get_mut("namespaces").and_then(Value::as_array_mut);
        namespaces.context("namespaces")?.retain(|namespace| namespace["type"] != "time");
        for mount in config["mounts"].as_array_mut().context("mounts")? {
            if mount["type"] == "bind" {
                mount["source"] = json!("/etc/hostname");
            }
        }
        Self::new(config)
    }

    fn command(&self, runtime: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(runtime);
        let root =
            self.directory.path().join("state").join(runtime.file_name().unwrap_or_default());
        command.arg("--root").arg(root).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    fn run(&self, contender: &Contender) -> Result<Duration> {
        let bundle = self.directory.path().to_string_lossy().into_owned();
        let mut command =
            self.command(&contender.path, &["run", "--bundle", &bundle, "tare-bench"]);
        let begin = Instant::now();
        let status = command.status().with_context(|| contender.path.display().to_string())?;
        let time = begin.elapsed();
        ensure!(status.success(), "{} run: {status}", contender.name());
        Ok(time)
    }

    fn wall(&self, title: &str, rounds: usize, gap: Duration) -> Result<()> {
        let mut contenders = contenders();
        for round in 0..rounds + WARM_UP {
            for contender in &mut contenders {
                sleep(gap);
                let time = self.run(contender)?;
                if round >= WARM_UP {
                    contender.times.push(time);
                }
            }
        }
        print(title, rounds, &contenders);
        Ok(())
    }

    fn resident(&self, runtime: &Path) -> Result<()> {
        let bundle = self.directory.path().to_string_lossy().into_owned();
        let id = "tare-bench-rss";
        let created = self.command(runtime, &["create", "--bundle", &bundle, id]).status()?;
        ensure!(created.success(), "{} create: {created}", runtime.display());
        let state = self.command(runtime, &["state", id]).stdout(Stdio::piped()).output()?;
        let state: Value = serde_json::from_slice(&state.stdout)?;
        let pid = i32::try_from(state["pid"].as_i64().context("no pid in the state")?)?;
        let memory = Process(pid).file("smaps_rollup");
        self.command(runtime, &["delete", "--force", id]).status()?;
        let field = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name));
            line.map_or("?", str::trim).to_string()
        };
        println!("{:24} Rss {:>10}  Pss {:>10}", runtime.display(), field("Rss:"), field("Pss:"));
        Ok(())
    }
}

fn print(title: &str, rounds: usize, contenders: &[Contender]) {
    println!("{title}: run of /bin/true, {rounds} rounds in turn, ms");
    println!("{:12} {:>8} {:>8} {:>8}  first / this", "", "min", "median", "p90");
    let first = contenders.first().map_or(f64::NAN, |contender| contender.quantile(0.5));
    for contender in contenders {
        let [min, median, p90] = [0.0, 0.5, 0.9].map(|share| contender.quantile(share));
        let ratio = first / median;
        println!("{:12} {min:8.2} {median:8.2} {p90:8.2}  {ratio:.2}", contender.name());
    }
}

fn measure() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize, default: usize| -> Result<usize> {
        args.get(index).map_or(Ok(default), |text| text.parse().context("a number of rounds"))
    };
    ensure!(nix::unistd::geteuid().is_root(), "needs root");
    // crun refuses hosts with both versions of cgroups.
    enter_private_mounts();
    propagate(MsFlags::MS_PRIVATE);
    hide_unified();
    propagate(MsFlags::MS_SHARED);
    match args.first().map(String::as_str) {
        Some("wall") => {
            let (warm, cold) = (number(1, 200)?, number(2, 40)?);
            for (name, bench) in
                [("spec", Bench::new(base_config())?), ("docker", Bench::docker()?)]
            {
                bench.wall(&format!("{name}, warm"), warm, Duration::ZERO)?;
                let gap = Duration::from_millis(100);
                bench.wall(&format!("{name}, cold (100 ms apart)"), cold, gap)?;
            }
            Ok(())
        }
        Some("rss") => {
            let bench = Bench::new(base_config())?;
            contenders().iter().try_for_each(|contender| bench.resident(&contender.path))
        }
        _ => bail!("usage: bench wall [WARM [COLD]] | bench rss"),
    }
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
