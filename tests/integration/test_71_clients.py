# SPDX-License-Identifier: Apache-2.0
"""Real clients, unmodified, on every kind of provider: plain answers, streams, tool loops, parallel calls, thinking, structured
output, errors, embeddings, counts. sluice-mock is the provider; it refuses what the real one would refuse, so a wrong translation fails.

sdk/cases_*.py and .mjs hold the cases; each program runs all of them for all providers and says which failed and why."""
import concurrent.futures
import json
import subprocess

import pytest

import clients
import sluice

# name of the provider, a model of it, a model that embeds, the mock's shape
PROVIDERS = [("openai", "gpt-4o+strict", "text-embedding-3-small"), ("anthropic", "claude-sonnet-4-5", None),
             ("gemini", "gemini-3.5-flash", "gemini-embedding-001"), ("ollama", "llama3.2", "nomic-embed-text")]
CLIENTS = ["cases_openai.py", "cases_openai.mjs", "cases_anthropic.py", "cases_anthropic.mjs", "cases_vercel.mjs", "cases_langchain.py"]
# Pairs that are tested so far.
PAIRS = [(c, p) for c in CLIENTS for p in ("openai",)]

CONFIG = """\
providers:
  openai: {{base-url: "http://127.0.0.1:{0}/v1/"}}
  anthropic: {{base-url: "http://127.0.0.1:{1}/v1/"}}
  gemini: {{base-url: "http://127.0.0.1:{2}/v1beta/"}}
  ollama: {{base-url: "http://127.0.0.1:{3}/v1/"}}
routers:
  all:
    load-balance:
      chat: {{strategy: priority, providers: [openai, anthropic, gemini, ollama]}}
"""


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = sluice.Mock(tmp_path_factory.mktemp("mock"), n=4)
    yield m
    m.stop()


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    env = {f"{name.upper()}_API_KEY": f"sk-test-{name}-0123456789abcdef" for name, _, _ in PROVIDERS}
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG.format(*mock.ports), env)
    yield s
    s.stop()


@pytest.fixture(scope="module")
def results(up):
    """What each program printed, as soon as it is done; two run at a time."""
    def run(client):
        of = [{"name": n, "model": f"{n}/{m}", "embed": e and f"{n}/{e}"} for n, m, e in PROVIDERS if (client, n) in PAIRS]
        argument = json.dumps({"openai": f"http://127.0.0.1:{up.port}/v1", "anthropic": f"http://127.0.0.1:{up.port}", "providers": of})
        if client.endswith(".py"):
            command, cwd = [clients.python(), clients.HERE / client, argument], clients.HERE
        else:
            cwd = clients.node()
            command = ["node", client, argument]
        r = subprocess.run(command, capture_output=True, text=True, timeout=120 * sluice.SLOW, cwd=cwd)
        assert r.returncode == 0, r.stderr[-3000:]
        return json.loads(r.stdout)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        clients.python()
        clients.node()
        yield {c: pool.submit(run, c) for c in CLIENTS if c in dict(PAIRS)}


@pytest.mark.parametrize("client,provider", PAIRS)
def test_client(results, client, provider):
    cases = results[client].result()[provider]
    failed = {name for name, why in cases.items() if why is not None}
    assert len(cases) > 5
    assert not failed, "\n\n".join(f"{n}: {cases[n]}" for n in sorted(failed))


def test_every_provider_was_asked_in_its_own_words(results, mock):
    for f in results.values():
        f.result()
    for port, (name, _, _) in zip(mock.ports, PROVIDERS):
        if name not in {p for _, p in PAIRS}:
            continue
        assert {a["shape"] for a in mock.log(port=port)} == {name}
        # Of keys the log shows the last four characters: the client's ends with "-key", and stays here.
        assert not any(v.endswith("...-key") for a in mock.log(port=port) for v in a["headers"].values())
