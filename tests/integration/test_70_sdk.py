# SPDX-License-Identifier: Apache-2.0
"""The real OpenAI SDKs, fetched from PyPI and npm. A registry that cannot be reached is a skip that says so, and a
failure where CI=true."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import sluice

HERE = pathlib.Path(__file__).parent / "sdk"
CACHE = sluice.BIN.parent / "sdk"


def fetched(what, marker, *commands):
    """Runs the commands once; skips (fails under CI) when one does not work."""
    if marker.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    for command in commands:
        r = subprocess.run(command, capture_output=True, text=True, cwd=CACHE, timeout=600)
        if r.returncode != 0:
            text = f"{what}: cannot be fetched ({' '.join(map(str, command))}): {r.stderr[-600:]}"
            print("SKIP", text)
            if os.environ.get("CI") == "true":
                pytest.fail(text)
            pytest.skip(text)
    marker.touch()


@pytest.fixture(scope="module")
def python():
    venv = CACHE / "venv"
    fetched("the Python SDK", CACHE / "python.done", ["/usr/bin/python3", "-m", "venv", venv],
            [venv / "bin/pip", "install", "-q", "openai"])
    return venv / "bin/python"


@pytest.fixture(scope="module")
def node():
    if shutil.which("node") is None or shutil.which("npm") is None:
        text = "no node and npm on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    fetched("the Node SDK", CACHE / "node.done", ["npm", "install", "--no-audit", "--no-fund", "--prefix", CACHE / "node", "openai"])
    for f in HERE.glob("*.mjs"):
        shutil.copy(f, CACHE / "node")
    return CACHE / "node"


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), sluice.PLAIN, mock.env())
    yield s
    s.stop()


def run(args, cwd=None):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, cwd=cwd)
    assert r.returncode == 0, r.stderr[-3000:]
    return json.loads(r.stdout)


@pytest.mark.parametrize("base", ["/router/one", "/router/one/v1", "/v1", "/ai"])
def test_python(up, python, base):
    out = run([python, HERE / "openai_client.py", f"http://127.0.0.1:{up.port}{base}", "openai/gpt-4o-mini"])
    assert "Hello from the Python SDK" in out["plain"] and "Hello from the Python SDK" in out["stream"]
    assert out["usage"] > 0 and out["embedding"] > 0 and out["tool"] == "get_weather"
    assert out["errors"] == {"openai/status-429-retry-after-1": 429, "openai/status-400": 400, "no-such/model": 404}
    assert out["cut"] != "no error"


@pytest.mark.parametrize("base", ["/router/one", "/router/one/v1", "/v1"])
def test_node(up, node, base):
    out = run(["node", "openai_client.mjs", f"http://127.0.0.1:{up.port}{base}", "openai/gpt-4o-mini"], cwd=node)
    assert "Hello from the Node SDK" in out["plain"] and "Hello from the Node SDK" in out["stream"]
    assert out["embedding"] > 0 and out["errors"] == {"openai/status-400": 400, "no-such/model": 404}
    assert out["cut"] != "no error"
