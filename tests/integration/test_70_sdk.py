# SPDX-License-Identifier: Apache-2.0
"""The real OpenAI SDKs on every kind of path; what they and others do on every provider is in test_71_clients.py."""
import json
import subprocess

import pytest

import clients
import sluice

HERE = clients.HERE


@pytest.fixture(scope="module")
def python():
    return clients.python()


@pytest.fixture(scope="module")
def node():
    return clients.node()


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), sluice.PLAIN, mock.env())
    yield s
    s.stop()


def run(args, cwd=None):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120 * sluice.PATIENCE, cwd=cwd)
    assert r.returncode == 0, r.stderr[-3000:]
    return json.loads(r.stdout)


def test_registries_are_asked_again(tmp_path, monkeypatch):
    """A fetch that fails at first is tried again; one that always fails says what it said."""
    monkeypatch.setattr(clients, "CACHE", tmp_path)
    monkeypatch.setattr(clients, "PAUSES", (0, 0, 0))
    assert clients.tried(["sh", "-c", "echo x >> tries; [ $(wc -l < tries) -gt 3 ]"]) == ""
    assert clients.tried(["sh", "-c", "echo no such registry >&2; exit 1"]) == "no such registry\n"
    monkeypatch.setattr(clients, "FETCH_S", 0)
    assert "not done" in clients.tried(["sleep", "60"])


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
