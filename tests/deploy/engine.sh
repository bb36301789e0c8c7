#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command with a Docker daemon of its own, for machines where none runs and no registry can be reached:
#
#   tests/deploy/engine.sh WORK_DIR COMMAND...        (root; Debian packages docker.io debootstrap iptables)
#
# The base images are made here: debian:bookworm-slim by debootstrap, redis:7-bookworm from Debian's redis-server. They
# stay in WORK_DIR for the next time. The daemon is stopped by pid; the firewall is put back as it was.
set -euo pipefail

work=$(mkdir -p "$1" && cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
mirror=${SLUICE_TEST_MIRROR:-http://deb.debian.org/debian}
export DOCKER_HOST=unix://$work/docker.sock

for tool in dockerd debootstrap iptables; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: $tool is not installed (apt install docker.io debootstrap iptables)" >&2
        exit 77
    fi
done
if [ "$(id -u)" -ne 0 ]; then
    echo "SKIPPED: a Docker daemon needs root" >&2
    exit 77
fi

iptables-save >"$work/firewall"
dockerd --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/dockerd.pid" -H "$DOCKER_HOST" \
    >"$work/dockerd.log" 2>&1 &
daemon=$!

stop() {
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    iptables-restore <"$work/firewall" || true
    ip link del docker0 2>/dev/null || true
}
trap stop EXIT

for _ in $(seq 100); do
    docker info >/dev/null 2>&1 && break
    if ! kill -0 "$daemon" 2>/dev/null; then
        tail -3 "$work/dockerd.log" >&2
        echo "SKIPPED: dockerd does not start here" >&2
        exit 77
    fi
    sleep 0.2
done

has() { docker image inspect "$1" >/dev/null 2>&1; }

if ! has debian:bookworm-slim && ! docker pull -q debian:bookworm-slim >/dev/null 2>&1; then
    echo "engine: making debian:bookworm-slim from $mirror" >&2
    root=$work/rootfs
    rm -rf "$root"
    debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log"
    rm -rf "$root"/usr/share/{doc,man,locale,info,lintian}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    printf 'path-exclude /usr/share/%s/*\n' doc man locale info lintian >"$root/etc/dpkg/dpkg.cfg.d/docker"
    echo 'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache ""; Acquire::Languages "none";' \
        >"$root/etc/apt/apt.conf.d/docker"
    tar -C "$root" --exclude='./dev/*' -c . | docker import -c 'CMD ["bash"]' \
        -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - debian:bookworm-slim >/dev/null
    rm -rf "$root"
fi
if ! has redis:7-bookworm && ! docker pull -q redis:7-bookworm >/dev/null 2>&1; then
    echo "engine: making redis:7-bookworm from Debian's redis-server" >&2
    docker build -q -t redis:7-bookworm - <"$here/redis.Dockerfile" >/dev/null
fi

"$@"
