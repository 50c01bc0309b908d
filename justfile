# The home of all commands. `just --list` shows them; scripts/just runs them where just is missing.

set shell := ["bash", "-euo", "pipefail", "-c"]

triple := `rustc -vV | sed -n 's/^host: //p'`
target := absolute_path(env("CARGO_TARGET_DIR", "target")) / triple
tare := target / "release/tare"
export RUNTIME := env("RUNTIME", tare)
# A snapshot that differs is a failure, and no file beside it.
export INSTA_UPDATE := env("INSTA_UPDATE", "no")

_list:
    @just --list

# Build tare as it is shipped: optimised, static.
build:
    cargo build --release --locked --package runtime-cli

# Build tare, make a bundle from Debian packages, and show what a container of it sees.
demo: build
    bash scripts/demo.sh

# Run every test that can run on this machine, and install what they need (as root).
test *filter: build
    bash scripts/requirements.sh test
    cargo test --locked --workspace -- {{ filter }}

# Run every test with the long sweeps, races and storms.
test-long *filter: build
    bash scripts/requirements.sh test
    LONG=1 cargo test --locked --workspace -- {{ filter }}
    @if cargo +nightly --version > /dev/null 2>&1; then {{ just_executable() }} fuzz; \
    else echo "skipped: fuzzing needs a nightly compiler"; fi

# With a nightly compiler and g++. It finds what fuzz/artifacts has then, and the corpora grow with each run.
# Put what must hold for any bytes to a fuzzer, each target for so many SECONDS.
fuzz seconds="600":
    @command -v cargo-fuzz > /dev/null || (cd / && cargo install --locked cargo-fuzz)
    @mkdir -p fuzz/corpus/config
    @for file in fixtures/*.json fixtures/bad/*.json; do cp "$file" "fuzz/corpus/config/${file//\//-}"; done
    @failed=0; for target in $(cargo +nightly fuzz list); do \
        echo "fuzzing $target"; \
        cargo +nightly fuzz run --sanitizer none "$target" -- -max_total_time={{ seconds }} \
            -timeout=10 -max_len=16384 -len_control=0 -verbosity=0 -print_final_stats=1 || failed=1; \
    done; exit "$failed"

# Run the end-to-end tests against the peers, to see that the expectations are honest.
test-peers *filter:
    bash scripts/requirements.sh peers
    RUNTIME=runc cargo test --locked --package integration --test runtime -- {{ filter }}
    RUNTIME=crun cargo test --locked --package integration --test runtime -- {{ filter }}

# Run Docker and containerd with tare below them, and with runc as the control.
test-managers: build
    bash scripts/requirements.sh managers
    cargo test --locked --package integration --test managers

# Check the formatting and lint, warnings denied.
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    bash scripts/lint-init.sh
    @if command -v cargo-deny > /dev/null; then cargo deny check; else echo "cargo-deny is not installed: licences unchecked"; fi

# Record anew what the fixtures are compiled to, for review.
snapshots:
    INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test --locked --package libcontainer --lib -- snapshots
    git status --short crates/libcontainer/src/plan/snapshots

# Format the sources.
fmt:
    cargo fmt --all

# What runs on every change.
ci: lint test

# Time `run` of /bin/true against Debian's crun and runc, warm and cold.
bench warm="200" cold="40": build
    bash scripts/requirements.sh peers
    cargo build --locked --package integration --bin bench
    {{ target }}/debug/bench wall {{ warm }} {{ cold }}

# DIR is a tree of opencontainers/runtime-tools in which `make runtimetest validation-executables` has run.
# Put tare to the conformance suite that is built in DIR, or to some PROGRAMs of it.
conformance dir *program: build
    cargo build --locked --package integration --bin conformance
    {{ target }}/debug/conformance {{ dir }} {{ program }}

# Show the resident memory of a created container, beside that of the peers.
rss: build
    cargo build --locked --package integration --bin bench
    {{ target }}/debug/bench rss

# INIT is init's file if it is not where the build script of libcontainer puts it.
# Show the sizes of init, which must stay below 64 KiB, and of tare.
size: build
    @init=${INIT:-$(ls -t {{ target }}/release/build/libcontainer-*/out/init 2>/dev/null | head -n 1)}; \
    [ -n "$init" ] || { echo "no init below {{ target }}/release/build: set INIT to its file" >&2; exit 1; }; \
    stat -c '%s bytes  %n' "$init" {{ tare }}; \
    [ "$(stat -c %s "$init")" -lt 65536 ] || { echo "init is 64 KiB or more" >&2; exit 1; }
