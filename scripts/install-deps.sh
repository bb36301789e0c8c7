#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that a task needs and that are not there yet. Usage:
#   install-deps.sh build|run|test|bench|lint ...
# Asks for sudo only when not root. Does nothing (and asks nothing) when all are installed.
set -euo pipefail

declare -A sets=(
  [build]="gcc libc6-dev cmake ninja-build pkg-config libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev
    libhiredis-dev libyaml-dev libnanomsg-dev libprotobuf-c-dev protobuf-c-compiler libsodium-dev"
  [run]="redis-server curl ca-certificates"
  [test]="redis-server curl ca-certificates libcmocka-dev python3 python3-pytest python3-venv nginx-light openssl libfaketime"
  [bench]="redis-server python3 nginx-light util-linux"
  [lint]="clang clang-format-16 clang-tidy-16 libclang-rt-14-dev libcmocka-dev python3"
)

missing=()
for set in "$@"; do
  for package in ${sets[$set]:?unknown set $set}; do
    # Any nginx will do where another flavour is installed already.
    if [ "$package" = nginx-light ] && command -v nginx >/dev/null; then continue; fi
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "install-deps: this is not a Debian system; install by hand: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  echo "install-deps: sudo is needed once to install: ${missing[*]}" >&2
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
# A server package must not start its service here: we start private ones.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
log=$(mktemp)
echo "install-deps: installing ${missing[*]}" >&2
apt() { "${as_root[@]}" apt-get -o Acquire::Retries=5 "$@"; }
# A mirror drops a connection now and then, or is away for a moment.
for pause in 5 15 30 ""; do
  if { apt update -qq && apt install -y --no-install-recommends "${missing[@]}"; } >>"$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  [ -n "$pause" ] || break
  echo "install-deps: apt-get failed, again in $pause s" >&2
  sleep "$pause"
done
tail -20 "$log" >&2
echo "install-deps: apt-get failed (full log: $log)" >&2
exit 1
