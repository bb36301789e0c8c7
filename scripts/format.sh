#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formats every .c and .h of the tree with the pinned formatter; --check only says which would change.
set -euo pipefail

formatter=${CLANG_FORMAT:-clang-format-16}
mode=(-i)

case "${1:-}" in
"") ;;
--check) mode=(--dry-run -Werror) ;;
*)
    echo "usage: scripts/format.sh [--check]" >&2
    exit 2
    ;;
esac
if ! command -v "$formatter" >/dev/null; then
    echo "scripts/format.sh: $formatter is not installed (Debian: apt install clang-format-16)" >&2
    exit 2
fi

cd "$(dirname "$0")/.."
find common proto dataplane controlplane cli tests -name build -prune -o -name '*.[ch]' -print0 |
    xargs -0 -r -n 16 -P "$(nproc)" "$formatter" "${mode[@]}" --style=file
