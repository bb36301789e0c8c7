#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ctest.sh PRESET [arguments of ctest]: runs it. After a failure the last thing printed is what failed, in few lines each.
set -uo pipefail
cd "$(dirname "$0")/.."

ctest --preset "$@" --output-on-failure
status=$?
if [ "$status" -ne 0 ]; then
    printf '\nWhat failed (%s):\n' "build/$1/Testing/Temporary/LastTest.log"
    /usr/bin/python3 scripts/failed_tests.py "build/$1"
fi
exit "$status"
