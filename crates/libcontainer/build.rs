//! Builds init, the freestanding program that the library embeds, with the compiler that builds the
//! library, for the same target. Nothing is downloaded.

use std::env;
use std::path::Path;
use std::process::Command;

/// The sources that init consists of.
const SOURCES: [&str; 4] =
    ["init", "src/plan/format.rs", "src/plan/operation.rs", "src/plan/protocol.rs"];

fn main() -> Result<(), String> {
    // cargo-fuzz sets it.
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let variable = |name: &str| env::var(name).map_err(|e| format!("{name}: {e}"));
    let output = Path::new(&variable("OUT_DIR")?).join("init");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        // What the lint recipe hands to clippy too.
        .arg("@init/rustc.args")
        .args(["--target", &variable("TARGET")?])
        .args([
            "-C",
            "opt-level=s",
            "-C",
            "lto=fat",
            "-C",
            "codegen-units=1",
            "-C",
            "strip=symbols",
        ])
        // It runs at a fixed address: nothing is there that would apply relocations.
        .args(["-C", "relocation-model=static"])
        .args(["-C", "link-args=-nostdlib -nostartfiles -static -no-pie -Wl,--build-id=none"])
        .arg("-o")
        .arg(&output)
        .arg("init/start.rs");
    let status = rustc.status().map_err(|e| format!("run rustc for init: {e}"))?;
    if !status.success() {
        return Err(format!("rustc for init failed: {status}"));
    }
    Ok(())
}
