//! An image out of Debian's static busybox, in the form that `docker save` writes: containerd and Docker
//! take it, and no registry is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::{finish, rootfs};
use serde_json::json;

/// The image's name.
pub(crate) const NAME: &str = "docker.io/library/busy:latest";

/// Makes the archive in a directory.
pub(crate) fn archive(directory: &Path) -> PathBuf {
    let (root, parts) = (directory.join("image-root"), directory.join("image"));
    rootfs::make(&root);
    fs::create_dir(&parts).expect("mkdir");
    tar(&root, &parts.join("layer.tar"));
    let sum = finish(Command::new("sha256sum").arg(parts.join("layer.tar"))).ok();
    let digest = sum.split(' ').next().expect("a digest");
    let config = json!({
        "created": "2024-01-01T00:00:00Z",
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] }]);
    for (name, value) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(parts.join(name), serde_json::to_vec(&value).expect("JSON")).expect("write");
    }
    let archive = directory.join("image.tar");
    tar(&parts, &archive);
    archive
}

fn tar(from: &Path, to: &Path) {
    let mut command = Command::new("tar");
    command.args(["--owner=0", "--group=0", "--numeric-owner", "--create", "--file"]).arg(to);
    finish(command.arg("--directory").arg(from).arg(".")).ok();
}
