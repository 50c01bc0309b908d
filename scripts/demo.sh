#!/usr/bin/env bash
# Makes a bundle with a root filesystem of Debian packages and runs a container from it, showing what the
# container sees and how long each step took. RUNTIME is the runtime; DEMO_PACKAGES are the packages.
set -euo pipefail

runtime=${RUNTIME:?the runtime to show}
packages=${DEMO_PACKAGES:-base-files base-passwd dash coreutils grep sed mawk hostname mount procps}
if [ "$(id -u)" != 0 ]; then
    echo 'the demo lacks root: run it as root, or with sudo' >&2
    exit 1
fi
bash scripts/requirements.sh demo

work=$(mktemp -d -t tare-demo-XXXXXX)
id=tare-demo-$$
cleanup() {
    "$runtime" --root "$work/state" delete --force "$id" > /dev/null 2>&1 || true
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT

# Usage: step TEXT COMMAND ...: runs it and says how long it took.
step() {
    local text=$1 begin end
    shift
    begin=$(date +%s%N)
    "$@"
    end=$(date +%s%N)
    printf '%9.1f ms  %s\n' "$(((end - begin) / 10000))e-2" "$text"
}

download() {
    local options='--recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances'
    [ -n "$(apt-cache policy libc6 2>/dev/null | grep -E 'https?://')" ] || apt-get update --quiet=2
    mkdir "$work/packages"
    chmod 777 "$work" "$work/packages"
    # shellcheck disable=SC2046,SC2086 # words are meant
    (cd "$work/packages" &&
        apt-get download --quiet=2 $(apt-cache depends $options $packages | grep '^[a-z0-9]' | sort -u))
}

from_packages() {
    local directory package
    for directory in bin sbin lib lib64; do
        mkdir -p "$work/rootfs/usr/$directory"
        ln -s "usr/$directory" "$work/rootfs/$directory"
    done
    for package in "$work"/packages/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$work/rootfs"
    done
    [ -e "$work/rootfs/bin/sh" ] || ln -s dash "$work/rootfs/bin/sh"
    cp "$work/rootfs/usr/share/base-passwd/passwd.master" "$work/rootfs/etc/passwd"
    cp "$work/rootfs/usr/share/base-passwd/group.master" "$work/rootfs/etc/group"
    rm -r "$work/packages"
}

from_busybox() {
    echo 'no packages could be fetched (is there a network?): the root filesystem is busybox' >&2
    rm -rf "$work/rootfs" "$work/packages"
    mkdir -p "$work/rootfs"/{bin,dev,etc,proc,root,sys,tmp}
    cp /bin/busybox "$work/rootfs/bin/"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$work/rootfs/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' > "$work/rootfs/etc/passwd"
}

configure() {
    (cd "$work" && "$runtime" spec)
    # The template asks for a terminal and a shell.
    sed -i -e 's/"terminal": true/"terminal": false/' -e "s/\"sh\"\$/\"sh\", \"\/demo\"/" "$work/config.json"
    cat > "$work/rootfs/demo" << 'SCRIPT'
heading() { printf '\n--- %s\n' "$1"; }
heading 'hostname';       hostname
heading 'system';         . /etc/os-release 2> /dev/null; echo "${PRETTY_NAME:-busybox}"; id
heading 'processes';      ps -ef 2> /dev/null || ps
heading 'mounts';         mount | cut -c 1-110
heading 'limits';         ulimit -a | grep -E 'nofiles|file desc|core|stack'
heading 'capabilities';   grep -E '^(Cap|NoNewPrivs)' /proc/self/status
heading 'seccomp';        grep -E '^Seccomp:' /proc/self/status
heading 'control groups'; cut -d : -f 2-3 /proc/self/cgroup
heading 'writing to the root filesystem'; touch /file || true
echo
SCRIPT
}

wait_for_end() {
    while "$runtime" --root "$work/state" state "$id" | grep -q '"running"'; do sleep 0.01; done
}

echo "runtime: $("$runtime" --version | head -n 1) ($runtime)"
if step 'download packages' download; then
    step 'unpack them into a root filesystem' from_packages
else
    step 'make a root filesystem' from_busybox
fi
chmod 755 "$work"
printf '%12s  in %s files\n' "$(du -sh "$work/rootfs" | cut -f 1)" "$(find "$work/rootfs" | wc -l)"
step 'spec: write the configuration' configure
output=$work/output
create() { "$runtime" --root "$work/state" create --bundle "$work" "$id" > "$output" 2>&1 < /dev/null; }
step 'create' create || { cat "$output" >&2; exit 1; }
step 'start' "$runtime" --root "$work/state" start "$id"
step 'the container runs' wait_for_end
step 'delete' "$runtime" --root "$work/state" delete "$id"
cat "$output"
