#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""failed_tests.py BUILD_DIR: what failed in the last run of ctest there, in few lines: the test, the assertion, where.

Printed last (scripts/ctest.sh), since of a long log often only the end is kept. Reads Testing/Temporary/LastTest.log and
LastTestsFailed.log.
"""
import pathlib
import re
import sys

LINES, WIDTH = 10, 220  # of one test
# Lines that say what was wrong: of pytest, cmocka, our own CHECK, sanitizers.
TELLING = re.compile(r"^E   |^\S+\.py:\d+: |^FAILED |^ERROR |^\[  ERROR   \]|^\[  FAILED  \] [a-z]|error: Failure!|CHECK failed|"
                     r"runtime error:|ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|SUMMARY: ")


def outputs(log):
    """Name of each test in LastTest.log -> its part of it."""
    parts = re.split(r"^\d+/\d+ Testing: (.*)\n", log, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def digest(text):
    """The beginning of what was wrong (the assertion), its end (which test), how long it took."""
    body = re.search(r"^Output:\n-+\n(.*?)^<end of output>", text, re.M | re.S)
    lines = [line for line in (body.group(1) if body else text).split("\n") if line.strip()]
    found = [line for line in lines if TELLING.search(line)] or lines[-LINES:]
    if len(found) > LINES:
        found = found[:LINES - 4] + ["..."] + found[-3:]
    found += re.findall(r"^Test time = .*|^Test Failed.*|^Test Timeout.*", text, re.M)
    return [line if len(line) <= WIDTH else line[:WIDTH - 3] + "..." for line in found]


def main(build):
    where = pathlib.Path(build) / "Testing/Temporary"
    failed = where / "LastTestsFailed.log"
    names = [line.split(":", 1)[1] for line in failed.read_text().split("\n") if ":" in line] if failed.exists() else []
    texts = outputs((where / "LastTest.log").read_text(errors="replace"))
    for name in names:
        print(f"--- {name}")
        for line in digest(texts.get(name, "")):
            print("   ", line)


if __name__ == "__main__":
    main(sys.argv[1])
