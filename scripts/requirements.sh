#!/usr/bin/env bash
# Installs what a task (build, test, demo, peers, managers) needs beyond the Rust toolchain, if it is run by root
# on a system with apt; otherwise says what is missing, and fails if nothing can be done without it.
set -euo pipefail

task=$1
packages=()

# Usage: needs PACKAGE COMMAND [ARGUMENT ...]: the command succeeds if the package is there.
needs() {
    local package=$1
    shift
    "$@" > /dev/null 2>&1 || packages+=("$package")
}

static_libc() {
    [ -e "$(cc -print-file-name=libc.a)" ]
}

static_busybox() {
    [ -x /bin/busybox ] && ! ldd /bin/busybox
}

needs gcc command -v cc
needs libc6-dev static_libc
case $task in
build) ;;
test)
    needs busybox-static static_busybox
    needs util-linux command -v setpriv
    needs strace command -v strace
    ;;
demo)
    needs busybox-static static_busybox
    ;;
peers)
    needs busybox-static static_busybox
    needs util-linux command -v setpriv
    needs runc test -x /usr/sbin/runc -o -x /usr/bin/runc
    needs crun command -v crun
    ;;
managers)
    needs busybox-static static_busybox
    needs util-linux command -v setpriv
    needs runc test -x /usr/sbin/runc -o -x /usr/bin/runc
    needs containerd command -v containerd
    needs docker.io command -v dockerd
    needs iptables test -x /usr/sbin/iptables
    needs tini command -v docker-init
    ;;
*)
    printf 'usage: requirements.sh build|test|demo|peers|managers\n' >&2
    exit 2
    ;;
esac

if [ "$(id -u)" != 0 ] && [ "$task" != build ]; then
    printf 'note: not root: tests of containers are skipped, and nothing can be run from a bundle\n' >&2
fi
[ ${#packages[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    printf 'installing %s\n' "${packages[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    # The tests start the engines that they need: the packages shall not.
    policy=/usr/sbin/policy-rc.d
    if [ "$task" = managers ] && [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    apt-get update --quiet=2
    apt-get install --quiet=2 --yes --no-install-recommends "${packages[@]}" > /dev/null
    exit 0
fi
printf 'lacks %s: as root, run: apt-get install %s\n' "${packages[*]}" "${packages[*]}" >&2
# Without root the tests that need these are skipped anyway.
[ "$task" = test ] || exit 1
