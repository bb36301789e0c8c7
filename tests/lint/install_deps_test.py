#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/install-deps.sh with an apt-get that fails at first, or always, and with nothing to do. Its tools are not the real ones."""
import os
import pathlib
import subprocess
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/install-deps.sh"


def run(fails, installed=False):
    """Exit code, errors, the calls of apt-get and how long was waited between them."""
    with tempfile.TemporaryDirectory() as d:
        tools = {
            "apt-get": f'echo "$*" >>{d}/calls; [ "$(wc -l <{d}/calls)" -gt {fails} ]',
            "dpkg-query": "echo installed" if installed else "exit 1",
            "sleep": f'echo "$1" >>{d}/pauses', "sudo": 'exec "$@"', "tee": "cat >/dev/null", "chmod": ":", "rm": ":"}
        for name, text in tools.items():
            path = pathlib.Path(d, name)
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        r = subprocess.run(["bash", SCRIPT, "bench"], capture_output=True, text=True, check=False,
                           env={**os.environ, "PATH": f"{d}:{os.environ['PATH']}", "TMPDIR": d})
        lines = [pathlib.Path(d, n).read_text().splitlines() if pathlib.Path(d, n).exists() else [] for n in ("calls", "pauses")]
        return r.returncode, r.stderr, *lines


def main():
    code, errors, calls, pauses = run(0)
    assert (code, len(calls), pauses) == (0, 2, []) and "update" in calls[0] and "redis-server" in calls[1], (code, errors, calls)
    code, errors, calls, pauses = run(2)
    assert (code, len(calls), pauses) == (0, 4, ["5", "15"]), (code, errors, calls, pauses)
    code, errors, calls, pauses = run(100)
    assert code == 1 and len(calls) == 4 and pauses == ["5", "15", "30"] and "apt-get failed (full log: " in errors, (code, errors, calls)
    code, errors, calls, pauses = run(100, installed=True)
    assert (code, errors, calls) == (0, "", []), (code, errors, calls)


main()
