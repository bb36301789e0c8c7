# SPDX-License-Identifier: Apache-2.0
"""The README's walk-through: the very file, the very requests, the mock as three providers."""
import http.client
import json
import subprocess

import pytest

import sluice
from sluice import chat, request, wait_for


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), sluice.WALKTHROUGH, mock.env())
    yield s
    s.stop()


def test_chat_through_router(up):
    r = up.post("/router/production/chat/completions", chat(text="Hello from my self-hosted gateway!"))
    assert r.status == 200, r
    assert "Hello from my self-hosted gateway!" in r.json()["choices"][0]["message"]["content"]
    assert r.headers["x-sluice-provider"] in sluice.PROVIDERS
    assert r.headers["x-sluice-cache"] == "miss"
    assert r.headers["x-sluice-attempts"] == "1"
    assert r.headers["x-request-id"]
    assert int(r.headers["x-sluice-overhead-us"]) > 0
    assert r.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("path", ["/router/production/chat/completions", "/router/production/v1/chat/completions",
                                  "/v1/router/production/chat/completions", "/v1/ai/chat/completions", "/api/chat/completions",
                                  "/ai/chat/completions", "/ai/v1/chat/completions", "/v1/chat/completions",
                                  "/chat/completions", "/api/v1/chat/completions"])
def test_paths(up, path):
    r = up.post(path, chat(text=f"path {path}"))
    assert r.status == 200, r
    assert f"path {path}" in r.json()["choices"][0]["message"]["content"]


def test_second_time_is_a_hit(up, mock):
    body = chat(text="cache me")
    first = up.post("/router/production/chat/completions", body)
    before = len(mock.log())
    second = up.post("/router/production/chat/completions", body)
    assert (first.headers["x-sluice-cache"], second.headers["x-sluice-cache"]) == ("miss", "hit")
    assert first.body == second.body
    assert len(mock.log()) == before
    # Member order, white space and volatile fields make no difference; the text does.
    same = json.dumps({"messages": body["messages"], "user": "someone", "model": body["model"]}, indent=2).encode()
    assert up.post("/router/production/chat/completions", same).headers["x-sluice-cache"] == "hit"
    assert up.post("/router/production/chat/completions", chat(text="cache me not")).headers["x-sluice-cache"] == "miss"


def test_stream_and_its_replay(up, mock):
    body = chat(text="stream me", stream=True)
    first = up.post("/router/production/chat/completions", body)
    assert first.status == 200 and first.headers["content-type"].startswith("text/event-stream")
    events = first.events()
    assert events[-1] == "[DONE]"
    text = "".join(c["delta"].get("content") or "" for e in events[:-1] for c in json.loads(e)["choices"])
    assert "stream me" in text
    # The usage event that the gateway asks for is hidden from a client that did not.
    assert all(json.loads(e)["choices"] for e in events[:-1])
    before = len(mock.log())
    second = up.post("/router/production/chat/completions", body)
    assert second.headers["x-sluice-cache"] == "hit"
    assert second.headers["content-type"].startswith("text/event-stream")
    assert second.events() == events
    assert len(mock.log()) == before


def test_usage_event_when_asked(up):
    r = up.post("/ai/chat/completions", chat(text="usage", stream=True, stream_options={"include_usage": True}))
    events = [json.loads(e) for e in r.events()[:-1]]
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] > 0


def test_usage_event_when_asked_in_openrouters_words(up, mock):
    """usage: {include: true}; live and from the cache, hidden again from who does not ask."""
    body = chat(text="usage openrouter", stream=True)
    path = "/router/production/chat/completions"
    for _ in range(2):
        events = [json.loads(e) for e in up.post(path, {**body, "usage": {"include": True}}).events()[:-1]]
        assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] > 0
        assert all(json.loads(e)["choices"] for e in up.post(path, body).events()[:-1])
    assert '"usage"' not in mock.log()[-1]["body"]


def test_mapped_model_reaches_each_provider(up, mock):
    """The model is OpenAI's; the others get their equivalent, with their own keys. Who is asked when nobody says so is a matter of
    latencies, which a busy machine makes up: each is named once."""
    mock.reset()
    for name in sluice.PROVIDERS:
        r = up.post("/router/production/chat/completions", chat(text=f"spread {name}", provider={"only": [name]}))
        assert r.status == 200 and r.headers["x-sluice-provider"] == name, r
    assert [a["port"] for a in mock.log()] == mock.ports
    for a in mock.log():
        name = sluice.PROVIDERS[mock.ports.index(a["port"])]
        assert a["model"].startswith({"openai": "gpt-4o-mini", "anthropic": "claude", "gemini": "gemini"}[name]), a
        header = {"anthropic": "x-api-key"}.get(name, "authorization")
        assert a["headers"][header].endswith("cdef"), a


def test_raw_path_is_untouched(up, mock):
    r = up.get("/openai/v1/some%2Fthing/x?a=%2F&b=1")
    assert r.status == 200, r
    echo = r.json()
    assert (echo["method"], echo["path"], echo["query"]) == ("GET", "/v1/some%2Fthing/x", "a=%2F&b=1")
    r = up.post("/openai/v1/anything", b"\x00\x01raw\xff", {"content-type": "application/octet-stream", "x-my": "1"})
    assert r.json()["body_length"] == 6
    assert {k.lower(): v for k, v in r.json()["headers"].items()}["x-my"] == "1"


def test_raw_answer_has_each_header_once(up):
    """The provider's x-request-id is ours to replace; its own is in x-sluice-upstream-request-id."""
    c = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
    c.request("GET", "/openai/v1/models", headers={"x-request-id": "mine-1"})
    r = c.getresponse()
    r.read()
    names = [k.lower() for k, _ in r.getheaders()]
    assert r.getheader("x-request-id") == "mine-1" and len(names) == len(set(names)), names
    assert r.getheader("x-sluice-upstream-request-id").startswith("req_")
    # HEAD has the length that the provider named.
    c.request("HEAD", "/openai/v1/models")
    r = c.getresponse()
    assert r.status == 200 and r.read() == b"" and int(r.getheader("content-length")) > 0
    c.request("GET", "/healthz")  # and leaves the connection usable
    assert c.getresponse().status == 200
    c.close()


def test_headers_of_the_hop_end_here(up):
    """What `connection` names is for us (RFC 9110, 7.6.1); everything else goes on."""
    r = up.get("/openai/v1/x", {"connection": "close, X-Mine", "x-mine": "1", "x-other": "2", "te": "trailers", "traceparent": "00-a-b-01"})
    seen = {k.lower(): v for k, v in r.json()["headers"].items()}
    assert "x-mine" not in seen and "te" not in seen and seen["x-other"] == "2" and seen["traceparent"] == "00-a-b-01", seen


def test_access_lines(up):
    """JSON, one for each request; no prompt, no credential, no query."""
    up.post("/ai/chat/completions", chat(text="a secret prompt"), {"authorization": "Bearer a-strangers-key", "x-request-id": "line-1"})
    up.get("/gemini/v1beta/models?key=in-the-query", {"x-request-id": "line-2"})
    def lines():
        found = {}
        for line in up.process.text().splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                found[entry["id"]] = entry
        return found if {"line-1", "line-2"} <= found.keys() else None
    found = wait_for(lines, 10, "the lines")
    assert found["line-1"]["event"] == "access" and found["line-1"]["status"] == 200 and found["line-1"]["output_tokens"] > 0
    assert found["line-2"]["path"] == "/gemini/v1beta/models"
    for word in ("a secret prompt", "a-strangers-key", "in-the-query"):
        assert word not in up.process.text()


def test_absolute_form(up):
    """RFC 9112, 3.2.2: a server accepts it."""
    c = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
    for path in ("/v1/models", "/openai/v1/x?a=%2F"):
        c.request("GET", f"http://gateway.example:80{path}")
        r = c.getresponse()
        body = json.loads(r.read())
        assert r.status == 200, body
    assert (body["path"], body["query"]) == ("/v1/x", "a=%2F")
    c.close()


def test_models(up):
    r = up.get("/v1/models")
    assert r.status == 200
    models = {m["id"]: m for m in r.json()["data"]}
    assert "openai/gpt-4o-mini" in models
    assert models["openai/gpt-4o-mini"]["object"] == "model"
    one = up.get("/v1/models/openai/gpt-4o-mini")
    assert one.status == 200 and one.json()["id"] == "openai/gpt-4o-mini"
    assert up.get("/v1/models/openai%2Fgpt-4o-mini").status == 200
    # The same models for Anthropic's clients.
    anthropic = {"anthropic-version": "2023-06-01"}
    page = up.get("/v1/models?limit=3", anthropic).json()
    assert len(page["data"]) == 3 and page["has_more"] is True and page["last_id"] == page["data"][2]["id"]
    assert all(m["type"] == "model" and m["id"] in models for m in page["data"])
    after = up.get("/v1/models?limit=3&after_id=" + page["last_id"], anthropic).json()
    assert not {m["id"] for m in after["data"]} & {m["id"] for m in page["data"]}
    assert up.get("/v1/models/openai/gpt-4o-mini", anthropic).json()["type"] == "model"
    bad = up.get("/v1/models?limit=none", anthropic)
    assert bad.status == 400 and bad.json()["error"]["type"] == "invalid_request_error"
    missing = up.get("/v1/models/openai/no-such-model-at-all")
    assert missing.status == 404 and missing.code == "model_not_found"


def test_embeddings(up):
    r = up.post("/v1/embeddings", {"model": "openai/text-embedding-3-small", "input": "hello"})
    assert r.status == 200, r
    assert len(r.json()["data"][0]["embedding"]) > 0


def test_validate_router_config(up):
    good = up.post("/validate-router-config", {"load-balance": {"chat": {"strategy": "latency", "providers": ["openai"]}}})
    assert good.status == 200 and good.json()["valid"] is True, good
    bad = up.post("/validate-router-config", {"load-balance": {"chat": {"strategy": "latncy", "providers": ["openai"]}}})
    assert bad.status == 200 and bad.json()["valid"] is False and "latency" in bad.json()["error"], bad


def test_health_routes(up):
    for path in ("/health", "/healthz", "/readyz", "/health/liveliness", "/health/readiness"):
        assert up.get(path).status == 200, path
        assert up.get("/v1" + path).status == 200, path
    for path in ("/healthz", "/readyz"):
        assert request(up.ops_port, "GET", path).status == 200, path
    for path in ("/healthz", "/metrics", "/debug/requests"):
        r = request(up.ops_port, "POST", path, b"{}")
        assert r.status == 405 and r.headers["allow"] == "GET, HEAD", r


def test_helicone_block_is_said_to_have_no_effect(up):
    lines = [l for l in up.process.text().splitlines() if "helicone" in l.lower()]
    assert len(lines) == 1 and "no effect" in lines[0], lines


def test_provider_that_dies_is_left_and_found_again(up, mock):
    """No client notices; afterwards it takes part again."""
    mock.mode(0, "down")
    for i in range(30):
        # The first ten ask for it: by latency alone it may be nobody's choice.
        more = {"provider": {"order": ["openai"]}} if i < 10 else {}
        r = up.post("/router/production/chat/completions", chat(text=f"one is down {i}", **more))
        assert r.status == 200, r
        assert r.headers["x-sluice-provider"] != "openai"
    def view():
        r = up.admin("GET", "/health/targets")
        return any(t["provider"] == "openai" and t["state"] != "ok" for t in r.json()["data"])
    wait_for(view, 10, "the target shown as ejected")
    mock.mode(0, "up")


def test_metrics(up):
    text = up.metrics()
    for name in ("sluice_requests_total", "sluice_overhead_seconds_bucket", "gen_ai_", "sluice_cache_"):
        assert name in text, name


def test_histograms_are_in_seconds(up):
    """Bounds and sums have one unit: the mean of our own time lies between the bounds that hold the requests."""
    up.post("/ai/chat/completions", chat(text="a histogram"))
    rows = [l for l in up.metrics().splitlines() if l.startswith("sluice_overhead_seconds")]
    bounds = [(float(l.split('le="')[1].split('"')[0]), float(l.rsplit(" ", 1)[1])) for l in rows if "_bucket" in l]
    total = next(float(l.split()[1]) for l in rows if "_sum" in l)
    count = next(float(l.split()[1]) for l in rows if "_count" in l)
    assert [b for b, _ in bounds[:-1]] == sorted(b for b, _ in bounds[:-1]) and bounds[-2][0] == 0.1, bounds
    assert bounds[-1] == (float("inf"), count) and count > 0
    low = next(b for b, n in bounds if n > 0)
    assert bounds[0][0] == 1e-05 and total / count < 1, (total, count)
    assert bounds[0][1] < count, "every request in the first bucket: another unit than the bounds'"
    assert low <= 0.1


def test_printed_curl_works(tmp_path):
    """Without any key the mock answers, and the printed line works as printed."""
    s = sluice.Stack(tmp_path)
    try:
        lines = s.process.text().splitlines()
        at = next(i for i, l in enumerate(lines) if l.strip().startswith("curl "))
        command = lines[at].strip().rstrip("\\") + lines[at + 1].strip()
        assert "mock/gpt" in command and "/v1/chat/completions" in command
        r = subprocess.run(["bash", "-c", command + " -sS"], capture_output=True, text=True, timeout=30 * sluice.PATIENCE)
        assert r.returncode == 0 and json.loads(r.stdout)["choices"], r
    finally:
        s.stop()


def test_second_start_keeps_the_state(tmp_path, mock):
    s = sluice.Stack(tmp_path, sluice.WALKTHROUGH, mock.env())
    key = s.admin("POST", "/keys?wait=5s", {"name": "kept"}).json()
    s.stop()
    s.start()
    try:
        r = s.post("/ai/chat/completions", chat(), {"authorization": f"Bearer {key['key']}"})
        assert r.status == 200, r
        assert [k["id"] for k in s.admin("GET", "/keys").json()["data"]] == [key["id"]]
    finally:
        s.stop()
