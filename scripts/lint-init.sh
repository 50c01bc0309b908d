#!/usr/bin/env bash
# Runs clippy over init, which the build script builds and cargo does not know: with the flags of the
# build, and the lints of the workspace as cargo would hand them over. Warnings are denied.
set -euo pipefail
cd "$(dirname "$0")/../crates/libcontainer"

mapfile -t flags < init/rustc.args
mapfile -t lints < <(awk -F'[ ="]+' '
    /^\[/ { in_lints = 0 }
    /^\[workspace.lints.rust\]/ { in_lints = 1; tool = "" }
    /^\[workspace.lints.clippy\]/ { in_lints = 1; tool = "clippy::" }
    in_lints && /^[a-z]/ { print "--" $2 "=" tool $1 }
' ../../Cargo.toml)
[ "${#lints[@]}" -gt 20 ] || { echo "Cargo.toml has no lints that could be read" >&2; exit 1; }

output=$(mktemp -d)
trap 'rm -r "$output"' EXIT
CLIPPY_CONF_DIR=../.. clippy-driver "${flags[@]}" --emit=metadata --out-dir "$output" \
    "${lints[@]}" --allow=unsafe_code --deny=warnings init/start.rs
