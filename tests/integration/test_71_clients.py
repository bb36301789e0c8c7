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
             ("gemini", "gemini-3.5-flash", "gemini-embedding-001"), ("ollama", "llama3.2", "nomic-embed-text"),
             # One that the catalogue does not know, and that imitates OpenAI as most do.
             ("acme", "big-model+vendor", None)]
CLIENTS = ["cases_openai.py", "cases_openai.mjs", "cases_anthropic.py", "cases_anthropic.mjs", "cases_vercel.mjs", "cases_langchain.py"]
KIND = {"acme": "openai"}
PAIRS = [(c, p) for c in CLIENTS for p, _, _ in PROVIDERS if p != "acme" or "anthropic" in c or "langchain" in c]

CONFIG = """\
providers:
  openai: {{base-url: "http://127.0.0.1:{0}/v1/"}}
  anthropic: {{base-url: "http://127.0.0.1:{1}/v1/"}}
  gemini: {{base-url: "http://127.0.0.1:{2}/v1beta/"}}
  ollama: {{dialect: ollama, base-url: "http://127.0.0.1:{3}/api/"}}
  acme: {{base-url: "http://127.0.0.1:{4}/v1/", key-variables: [ACME_API_KEY]}}
routers:
  all:
    load-balance:
      chat: {{strategy: priority, providers: [openai, anthropic, gemini, ollama]}}
  failover:
    load-balance:
      any: {{strategy: priority, providers: [anthropic, gemini, openai]}}
    model-mappings:
      claude-sonnet-4-5: [gemini/gemini-3.5-flash, openai/gpt-4o+strict]
"""


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = sluice.Mock(tmp_path_factory.mktemp("mock"), n=5)
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
        of = [{"name": n, "kind": KIND.get(n, n), "model": f"{n}/{m}", "embed": e and f"{n}/{e}"} for n, m, e in PROVIDERS if (client, n) in PAIRS]
        argument = json.dumps({"openai": f"http://127.0.0.1:{up.port}/v1", "anthropic": f"http://127.0.0.1:{up.port}", "providers": of})
        if client.endswith(".py"):
            command, cwd = [clients.python(), clients.HERE / client, argument], clients.HERE
        else:
            cwd = clients.node()
            command = ["node", client, argument]
        r = subprocess.run(command, capture_output=True, text=True, timeout=120 * sluice.PATIENCE, cwd=cwd)
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
    paths = {"openai": {"/v1/chat/completions", "/v1/embeddings", "/v1/responses/input_tokens"}, "acme": {"/v1/chat/completions"},
             "anthropic": {"/v1/messages", "/v1/messages/count_tokens"}, "ollama": {"/api/chat", "/api/embed"}}
    for port, (name, _, _) in zip(mock.ports, PROVIDERS):
        asked = [a for a in mock.log(port=port) if a["method"] == "POST"]  # GET: probes
        assert {a["shape"] for a in asked} == {KIND.get(name, name)}
        assert {a["path"] for a in asked} == paths.get(name) or name == "gemini" and all(a["path"].startswith("/v1beta/models/") for a in asked)
        # Of keys the log shows the last four characters: the client's ends with "-key", and stays here.
        assert not any(v.endswith("...-key") for a in asked for v in a["headers"].values())


# --- failover in the middle of a conversation -----------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture
def providers_up(mock):
    """Modes set by a test do not outlive it."""
    yield mock
    for i in range(5):
        mock.mode(i, "up")


def answered_by(mock):
    return {p: n for p, (n, _, _) in zip(mock.ports, PROVIDERS)}[mock.last()["port"]]


@pytest.mark.parametrize("streamed", [False, True])
def test_an_anthropic_conversation_goes_on_elsewhere(up, providers_up, streamed):
    """Thinking that Anthropic signed is left out when another provider takes over: each refuses what is not its own."""
    mock = providers_up
    body = {"model": "claude-sonnet-4-5", "max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024},
            "messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "get_weather", "input_schema": SCHEMA}]}
    first = up.post("/router/failover/v1/messages", body, VERSION)
    assert first.status == 200 and answered_by(mock) == "anthropic", first
    thinking, use = first.json()["content"]
    assert thinking["signature"] and use["input"] == {"city": "Zürich"}
    body["messages"] += [{"role": "assistant", "content": [thinking, use]}, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": use["id"], "content": "sunny"}]}]
    body["stream"] = streamed
    for down, name in ((None, "anthropic"), (1, "gemini"), (2, "openai")):
        if down is not None:
            mock.mode(down, "status-500")
        r = up.post("/router/failover/v1/messages", body, VERSION)
        text = "".join(json.loads(e)["delta"].get("text", "") for e in r.events() if "delta" in json.loads(e)) if streamed \
            else "".join(b.get("text", "") for b in r.json()["content"])
        assert r.status == 200 and text == "Tool results: sunny", r
        assert answered_by(mock) == name


def test_an_openai_conversation_goes_on_elsewhere(up, providers_up):
    mock = providers_up
    body = {"model": "claude-sonnet-4-5", "max_tokens": 3000, "reasoning_effort": "low", "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]}
    mock.mode(1, "status-500")
    first = up.post("/router/failover/v1/chat/completions", body)
    assert first.status == 200 and answered_by(mock) == "gemini", first
    m = first.json()["choices"][0]["message"]
    assert m["tool_calls"][0]["extra_content"]["google"]["thought_signature"] and m.pop("reasoning_content")
    body["messages"] += [m, {"role": "tool", "tool_call_id": m["tool_calls"][0]["id"], "content": "sunny"}]
    for down, name in ((None, "gemini"), (2, "openai")):
        if down is not None:
            mock.mode(down, "status-500")
        r = up.post("/router/failover/v1/chat/completions", body)
        assert r.status == 200 and r.json()["choices"][0]["message"]["content"] == "Tool results: sunny", r
        assert answered_by(mock) == name
