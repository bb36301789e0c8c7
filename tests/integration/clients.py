# SPDX-License-Identifier: Apache-2.0
"""The real SDKs, fetched once per build from PyPI and npm (sdk/requirements.txt, sdk/package.json). A registry that cannot be
reached is a skip that says so, and a failure where CI=true."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import sluice

HERE = pathlib.Path(__file__).parent / "sdk"
CACHE = pathlib.Path(os.environ.get("SLUICE_SDK_CACHE", sluice.BIN.parent / "sdk"))


def unavailable(text):
    print("SKIP", text)
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


# Between two tries: a registry drops a connection now and then, or is away for a moment. Who is not in CI may well be offline.
PAUSES = (2, 5, 15, 30) if os.environ.get("CI") == "true" else (1, 2)
FETCH_S = 600  # for all of them


def tried(command):
    """Runs a command that asks a registry until it works; "" or what is wrong in the end."""
    end = time.monotonic() + FETCH_S
    for pause in (0, *PAUSES):
        time.sleep(pause)
        try:
            r = subprocess.run(command, capture_output=True, text=True, cwd=CACHE, timeout=max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"not done within {FETCH_S} s"
        if r.returncode == 0:
            return ""
    return r.stderr[-600:]


def fetched(what, manifest, *commands):
    """Runs the commands once per content of the manifest; skips (fails under CI) when one does not work."""
    marker = CACHE / f"{manifest.name}-{hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]}.done"
    if marker.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    for command in commands:
        why = tried(command)
        if why:
            unavailable(f"{what}: cannot be fetched ({' '.join(map(str, command))}): {why}")
    marker.touch()


def python():
    """An interpreter that has the Python SDKs."""
    venv = CACHE / "venv"
    fetched("the Python SDKs", HERE / "requirements.txt", ["/usr/bin/python3", "-m", "venv", venv],
            [venv / "bin/pip", "install", "-q", "--retries", "8", "--timeout", "30", "-r", HERE / "requirements.txt"])
    return venv / "bin/python"


def node():
    """A directory that has the Node SDKs and the scripts that use them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        unavailable("no node and npm on this machine")
    home = CACHE / "node"
    home.mkdir(parents=True, exist_ok=True)
    for f in [HERE / "package.json", *HERE.glob("*.mjs")]:
        shutil.copy(f, home)
    fetched("the Node SDKs", HERE / "package.json",
            ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries", "5", "--fetch-retry-mintimeout", "2000",
             "--fetch-timeout", "60000", "--prefix", home])
    return home
