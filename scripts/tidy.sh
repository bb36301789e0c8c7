#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy over our files of a configured and built tree (generated sources are left out) and
# fails on findings. Usage: scripts/tidy.sh BUILD_DIR [PATH_PREFIX...]   e.g. build/clang common/base
set -euo pipefail

tidy=${CLANG_TIDY:-clang-tidy-16}
build=${1:?usage: scripts/tidy.sh BUILD_DIR [PATH_PREFIX...]}
shift
if ! command -v "$tidy" >/dev/null; then
    echo "scripts/tidy.sh: $tidy is not installed (Debian: apt install clang-tidy-16)" >&2
    exit 2
fi
build=$(cd "$build" && pwd)
cd "$(dirname "$0")/.."
if [ ! -f "$build/compile_commands.json" ]; then
    echo "scripts/tidy.sh: no compile_commands.json in $build: configure it first" >&2
    exit 2
fi

# Our sources in the database, below the prefixes if any, each once.
files=$(python3 - "$build/compile_commands.json" "$PWD" "$build" "$@" <<'PY'
import json, os, sys
database, root, build, *prefixes = sys.argv[1:]
tops = ("common", "proto", "dataplane", "controlplane", "cli", "tests")
found = set()
for entry in json.load(open(database)):
    path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
    name = os.path.relpath(path, root)
    if path.startswith(build + os.sep) or name.split(os.sep)[0] not in tops:
        continue
    if not prefixes or name.startswith(tuple(prefixes)):
        found.add(name)
print("\n".join(sorted(found)))
PY
)
if [ -z "$files" ]; then
    echo "scripts/tidy.sh: no files of ours in $build/compile_commands.json" >&2
    exit 2
fi

# gcc's own flags are unknown to clang; a warning about them is not about our code.
if printf '%s\n' "$files" |
    xargs -d '\n' -n 1 -P "$(nproc)" "$tidy" -p "$build" --quiet \
        --extra-arg=-Wno-unknown-warning-option 2> >(grep -v ' warnings\? generated\.$' >&2); then
    echo "clang-tidy: $(printf '%s\n' "$files" | wc -l) files, no findings"
else
    echo "clang-tidy: findings above" >&2
    exit 1
fi
