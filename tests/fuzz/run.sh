#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM CORPUS [SEEDS]: fuzzes one target. What decides whether a change lands has to be the same for the same change, so the
# default seed is fixed and the corpus begins with the seeds; SLUICE_FUZZ_SEED (0: another each time) and SLUICE_FUZZ_SECONDS are for hunting.
set -euo pipefail
program=$1 corpus=$2
mkdir -p "$corpus"
exec "$program" -seed="${SLUICE_FUZZ_SEED:-1}" -max_total_time="${SLUICE_FUZZ_SECONDS:-10}" -timeout=60 -rss_limit_mb=1024 \
    -close_fd_mask=1 "$corpus" "${@:3}"
