# SPDX-License-Identifier: Apache-2.0
"""Faults of providers behind a translation: what came in part ends as an error and never as a whole answer, what did not begin is a
status; a client that leaves takes the provider's stream with it; large arguments cost as much as they are long."""
import http.client
import json

import pytest

import sluice
from test_71_clients import CONFIG, PROVIDERS

VERSION = {"anthropic-version": "2023-06-01"}
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-3.5-flash", "ollama": "llama3.2"}
PAIRS = [(p, c) for p in MODELS for c in ("openai", "anthropic") if p != c]
# After content came: an error event, the provider's or sluice's own.
CUT = ["cut-after-5", "reset-after-5", "end-after-5", "error-event-after-5", "no-finish+no-done", "bad-json", "malformed-chunk+tokens-6"]
# Before: a status, and which (None: depends on what the provider said).
EARLY = {"error-event": None, "status-503": None, "html-200": 502, "cut-after-0": 502, "end-after-0": 502, "reset": 502}


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


def ask(client, model, stream=True, **more):
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x"}], **more}
    if client == "anthropic":
        body["max_tokens"] = 3000
    return "/v1/messages" if client == "anthropic" else "/v1/chat/completions", body, VERSION


def ended_well(client, body):
    return b"message_stop" in body if client == "anthropic" else b"[DONE]" in body


@pytest.mark.parametrize("provider,client", PAIRS)
def test_a_stream_that_breaks_is_an_error(up, provider, client):
    for words in CUT:
        r = up.post(*ask(client, f"{provider}/{MODELS[provider]}+{words}"))
        last = json.loads(r.events()[-1])
        assert r.status == 200 and b"Mock answer" in r.body and not ended_well(client, r.body), (words, r)
        assert last["error"]["message"] and last["error"]["type"], (words, last)
        if client == "anthropic":
            assert last["type"] == "error" and b"event: error\ndata: " in r.body, words


@pytest.mark.parametrize("provider,client", PAIRS)
def test_what_did_not_begin_is_a_status(up, provider, client):
    for words, status in EARLY.items():
        r = up.post(*ask(client, f"{provider}/{MODELS[provider]}+{words}"))
        assert r.status == status or status is None and r.status in (500, 503, 529), (words, r)
        assert r.json()["error"]["message"], words


@pytest.mark.parametrize("provider,client", PAIRS)
def test_an_answer_instead_of_a_stream_becomes_one(up, provider, client):
    r = up.post(*ask(client, f"{provider}/{MODELS[provider]}+no-stream"))
    assert r.status == 200 and ended_well(client, r.body) and b"Mock answer to: x" in r.body


@pytest.mark.parametrize("provider,client", PAIRS)
def test_a_client_that_leaves_ends_the_attempt(up, mock, provider, client):
    model = f"{MODELS[provider]}+pace-10ms+tokens-100000+leaves-{client}"
    c = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30 * sluice.SLOW)
    path, body, headers = ask(client, f"{provider}/{model}")
    c.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
    r = c.getresponse()
    assert r.read(300)
    r.close()
    c.close()
    sluice.wait_for(lambda: [a["end"] for a in mock.log() if a["model"] == model] == ["client_closed"], 10, "the provider's stream to end")


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])


@pytest.mark.parametrize("provider,client", PAIRS)
def test_large_arguments(up, provider, client):
    schema = {"type": "object", "properties": {"s": {"type": "string"}}}
    tools = [{"name": "f", "input_schema": schema}] if client == "anthropic" else [{"type": "function", "function": {"name": "f", "parameters": schema}}]

    def cost(size):
        before = cpu_ticks(up.child_pid("proxy"))
        r = up.post(*ask(client, f"{provider}/{MODELS[provider]}+piece-64+args-size-{size}k", tools=tools))
        ticks = cpu_ticks(up.child_pid("proxy")) - before
        assert r.status == 200 and ended_well(client, r.body) and len(r.body) > size * 1024
        return ticks
    # Five times as much; quadratic work would take 25 times as long, each time. 10 ms is what a tick is.
    sluice.within(15 * max(cost(400), 3), lambda: cost(2000), 3)


@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("mode", ["error-event", "cut-after-0", "reset", "status-529", "html-200", "bad-status-line"])
def test_before_content_another_dialect_takes_over(up, mock, client, mode):
    """The first target, spoken to in Anthropic's words, fails before it has said anything: the next is Gemini, and the client sees one answer."""
    for _ in range(40):  # retries are a fifth of the requests at most
        assert up.post(*ask("openai", "openai/gpt-4o", False)).status == 200
    mock.mode(1, mode)
    try:
        for stream in (True, False):
            path, body, headers = ask(client, "claude-sonnet-4-5", stream)
            r = up.post("/router/failover" + path, body, headers)
            assert r.status == 200 and b"Mock answer to: x" in r.body and b'"error"' not in r.body, r
            assert not stream or ended_well(client, r.body)
            assert mock.last()["port"] == mock.ports[2]
    finally:
        mock.mode(1, "up")


def test_a_model_without_end_is_none(up):
    """Its name would be part of the path at Gemini."""
    long = "gemini/" + "\u00e9" * 70000
    assert up.post(*ask("openai", long)).status == 400
    r = up.post(*ask("openai", f"openai/{MODELS['openai']}+status-503", models=[long, f"gemini/{MODELS['gemini']}"], stream=False))
    assert r.status == 200 and r.headers["x-sluice-provider"] == "gemini", r
