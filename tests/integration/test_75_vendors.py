# SPDX-License-Identifier: Apache-2.0
"""Vendors of OpenAI's dialect by the catalogue's quirks: what they are sent by clients of either kind, what clients are told
of it, and that a body nobody wants otherwise passes byte for byte."""
import http.server
import json
import threading

import pytest

from sluice import Mock, Stack

NAMES = ["openai", "mistral", "deepseek", "zai", "cerebras", "perplexity", "groq", "openrouter", "cloudflare", "fireworks", "xai"]
KEY = "vendor-key-0123456789"
MODELS = """\
models:
  flexible: {at: [{provider: thinker, id: tier-flex, price: {input: 100, output: 1000}}]}
  prior: {at: [{provider: thinker, id: tier-priority, price: {input: 100, output: 1000}}]}
  standard: {at: [{provider: thinker, id: tier-default, price: {input: 100, output: 1000}}]}
routers:
  passes-over: {load-balance: {chat: {strategy: priority, models: [openai/gpt-5-pro, groq/usage-5-5]}}}
"""
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}, "strict": True}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = Mock(tmp_path_factory.mktemp("mock"), 1)
    yield m
    m.stop()


class Thinker(http.server.BaseHTTPRequestHandler):
    """A server whose reasoning parser is off."""
    protocol_version = "HTTP/1.1"
    seen, betas = [], []

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append(body)
        self.betas.append(self.headers.get("openai-beta"))
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
        if body["model"].startswith("tier-"):
            head["service_tier"] = body["model"][5:]
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        if body.get("stream"):
            chunks = [{"choices": [{"index": 0, "delta": {"content": t}, "finish_reason": None}]} for t in ("<thi", "nk>why", "</think>\n", "so")]
            chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
            data = "".join("data: %s\n\n" % json.dumps({**head, **c}) for c in chunks) + "data: [DONE]\n\n"
        else:
            opened = "" if body["model"] == "opened" else "<think>" # by the template, in the prompt
            message = {"role": "assistant", "content": opened + "why</think>\n\nso"}
            if body["model"] == "odd":
                message = {"role": "assistant", "content": [{"type": "text", "text": "so"}], "reasoning": "why"}
            finish = "eos" if body["model"] == "odd" else "stop"
            data = json.dumps({**head, "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage, "own": 1})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())


@pytest.fixture(scope="module")
def thinker():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Thinker)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def up(tmp_path_factory, mock, thinker):
    config = "providers:\n  thinker: {base-url: 'http://127.0.0.1:%d/v1/', quirks: {split-think: true, price-flex: 0.5}}\n" % thinker + \
             "  normal: {base-url: 'http://127.0.0.1:%d/v1/', quirks: {normalize: true}}\n" % thinker + \
             "  as-it-is: {base-url: 'http://127.0.0.1:%d/v1/'}\n" % thinker + "".join("  %s: {base-url: 'http://127.0.0.1:%d/v1/', keys: [{value: %s}]}\n" % (n, mock.ports[0], KEY)
                                      for n in NAMES) + MODELS
    s = Stack(tmp_path_factory.mktemp("up"), config)
    yield s
    s.stop()


def sent(mock):
    return json.loads(mock.last()["body"])


def dropped(r):
    return sorted(x for x in r.headers.get("x-sluice-dropped-params", "").split(",") if x)


# provider, what the client says beyond model and messages, what the vendor is sent beyond them, what is dropped
CHATS = [
    ("openai", {"seed": 1, "user": "u", "x": {"y": 1}}, {"seed": 1, "user": "u", "x": {"y": 1}}, []),
    ("mistral", {"seed": 1, "user": "u", "max_completion_tokens": 9, "tools": [TOOL]},
     {"random_seed": 1, "max_tokens": 9, "tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]},
     ["user"]),
    ("deepseek", {"reasoning_effort": "low", "logit_bias": {}},
     {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, ["logit_bias"]),
    ("zai", {"temperature": 2, "top_p": 1, "stop": ["a", "b"], "user": "user-1", "reasoning_effort": "none"},
     {"temperature": 1, "top_p": 0.99, "stop": ["a"], "user_id": "user-1", "thinking": {"type": "disabled"}}, ["stop"]),
    ("zai", {"temperature": 0, "user": "u"}, {"do_sample": False}, ["user"]),
    ("cerebras", {"max_tokens": 5, "response_format": SCHEMA, "store": False},
     {"max_completion_tokens": 5,
      "response_format": {"type": "json_schema", "json_schema": {**SCHEMA["json_schema"], "strict": True}}}, ["store"]),
    ("groq", {"max_completion_tokens": 5, "logprobs": True, "n": 1}, {"max_completion_tokens": 5}, ["logprobs"]),
    ("openrouter", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}, []),
]


@pytest.mark.parametrize("provider,more,want,gone", CHATS, ids=["%s-%d" % (c[0], i) for i, c in enumerate(CHATS)])
def test_chat(up, mock, provider, more, want, gone):
    r = up.post("/v1/chat/completions", {"model": f"{provider}/usage-5-5", "messages": HI, **more})
    assert r.status == 200 and dropped(r) == gone, r
    assert sent(mock) == {"model": "usage-5-5", "messages": HI, **want}


def test_messages(up, mock):
    calls = [{"id": f"toolu_01Abc-{i}", "type": "function", "function": {"name": "now", "arguments": "{}"}} for i in (8, 9)]
    results = [{"role": "tool", "tool_call_id": c["id"], "content": "1"} for c in calls]
    r = up.post("/v1/chat/completions", {"model": "mistral/usage-5-5", "messages": [
        {"role": "developer", "content": "Brief."}, *HI, {"role": "assistant", "content": "", "tool_calls": calls}, *results]})
    assert r.status == 200, r
    m = sent(mock)["messages"]
    ids = [c["id"] for c in m[2]["tool_calls"]]
    assert m[0]["role"] == "system" and len(set(ids)) == 2 and all(len(i) == 9 and i.isalnum() for i in ids), m
    assert [x["tool_call_id"] for x in m[3:]] == ids
    r = up.post("/v1/chat/completions", {"model": "perplexity/usage-5-5", "messages": [*HI, *HI, {"role": "assistant", "content": "a"}]})
    assert r.status == 200, r
    assert [x["role"] for x in sent(mock)["messages"]] == ["user", "assistant", "user"]
    r = up.post("/v1/chat/completions", {"model": "cloudflare/usage-5-5", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})
    assert r.status == 200 and sent(mock)["messages"] == [{"role": "user", "content": "a\nb"}], r
    r = up.post("/v1/chat/completions", {"model": "cerebras/usage-5-5", "messages": [
        *HI, {"role": "assistant", "content": "a", "reasoning_content": "r"}, *HI]})
    assert r.status == 200 and sent(mock)["messages"][1] == {"role": "assistant", "content": "a", "reasoning": "r"}, r


def test_refused(up, mock):
    before = len(mock.log())
    for provider, more, param in (("groq", {"n": 2}, "n"), ("perplexity", {"tools": [TOOL]}, "tools"),
                                  ("cerebras", {"messages": [{"role": "user", "content": [
                                      {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]}, "messages")):
        r = up.post("/v1/chat/completions", {"model": f"{provider}/usage-5-5", "messages": HI, **more})
        assert r.status == 400 and r.json()["error"]["code"] == "unsupported_parameter", r
        assert r.json()["error"]["param"] == param, r
    assert len(mock.log()) == before, "something was sent"


def test_anthropic_client(up, mock):
    r = up.post("/ai/v1/messages", {"model": "mistral/usage-5-5", "max_tokens": 9, "messages": HI, "metadata": {"user_id": "u"},
                                    "stop_sequences": ["x"], "thinking": {"type": "enabled", "budget_tokens": 2000}})
    assert r.status == 200 and r.json()["type"] == "message" and dropped(r) == ["metadata.user_id"], r
    assert sent(mock) == {"model": "usage-5-5", "messages": HI, "max_tokens": 9, "stop": ["x"], "reasoning_effort": "high"}
    history = [*HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                                                      {"type": "tool_use", "id": "t1", "name": "now", "input": {}}]},
               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]}]
    r = up.post("/ai/v1/messages", {"model": "deepseek/usage-5-5", "max_tokens": 9, "messages": history})
    assert r.status == 200 and sent(mock)["messages"][1]["reasoning_content"] == "t", r


def test_untouched(up, mock):
    """White space, the order of members and escapes are the client's where no quirk has a say."""
    body = b'{ "x" : [1.50, "\\u00e9"],"messages":[{"content":"Hi","role":"user"}], "model":"groq/usage-5-5" , "top_p":0.50}'
    r = up.post("/v1/chat/completions", body)
    assert r.status == 200, r
    assert mock.last()["body"] == body.decode().replace("groq/usage-5-5", "usage-5-5")


def test_split_think(up):
    """Thoughts in the text are told apart for clients of either kind; what the vendor knows and we do not still gets there."""
    body = {"model": "thinker/m", "messages": HI, "min_p": 0.1}
    r = up.post("/v1/chat/completions", body, {"openai-beta": "x=1"})
    assert r.status == 200, r
    assert Thinker.betas[-1] == "x=1"  # as between equal dialects, which these are
    m = r.json()["choices"][0]["message"]
    assert (m["reasoning_content"], m["content"]) == ("why", "so") and r.json()["usage"]["total_tokens"] == 7, r
    assert Thinker.seen[-1] == {"model": "m", "messages": HI, "min_p": 0.1}
    m = up.post("/v1/chat/completions", {**body, "model": "thinker/opened"}).json()["choices"][0]["message"]
    assert (m["reasoning_content"], m["content"]) == ("why", "so"), m
    for options in ({}, {"stream_options": {"include_usage": True}}):
        r = up.post("/v1/chat/completions", {**body, "stream": True, **options})
        chunks = [json.loads(d) for d in r.body.decode().replace("data: ", "").split("\n\n") if d.startswith("{")]
        deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
        assert "".join(d.get("reasoning_content", "") for d in deltas) == "why", r
        assert "".join(d.get("content", "") for d in deltas) == "so" and r.body.endswith(b"data: [DONE]\n\n"), r
        assert [c["usage"]["total_tokens"] for c in chunks if c.get("usage")] == ([7] if options else []), r
    r = up.post("/ai/v1/messages", {"model": "thinker/m", "max_tokens": 9, "messages": HI})
    assert [b["type"] for b in r.json()["content"]] == ["thinking", "text"], r


@pytest.mark.parametrize("model,cost", [("standard", 0.0043), ("flexible", 0.00215), ("prior", None)])
def test_tiers_of_service(up, model, cost):
    """3 tokens in, 4 out: by the tier that the answer names; one without a rate is unpriced."""
    for more in ({}, {"stream": True}):
        r = up.post("/v1/chat/completions", {"model": model, "messages": HI, "usage": {"include": True}, **more})
        assert r.status == 200, r
        usage = [json.loads(e)["usage"] for e in r.events() if '"usage":{' in e][0] if more else r.json()["usage"]
        assert usage["cost"] == cost, usage


def test_headers_that_a_vendor_takes(up, mock):
    headers = {"x-title": "App", "http-referer": "https://app.example", "x-grok-conv-id": "c-1"}
    for provider, want in (("openrouter", {"x-title", "http-referer"}), ("xai", {"x-grok-conv-id"}), ("groq", set())):
        r = up.post("/v1/chat/completions", {"model": f"{provider}/usage-5-5", "messages": HI}, headers)
        assert r.status == 200, r
        got = mock.last()["headers"]
        assert {h for h in headers if h in got} == want, (provider, got)


def test_a_stream_is_put_together(up, mock):
    """Fireworks wants long answers to be streamed: the client that did not ask for it gets one document."""
    r = up.post("/v1/chat/completions", {"model": "fireworks/usage-7-5", "messages": HI, "max_tokens": 9000})
    assert r.status == 200 and r.headers["content-type"] == "application/json", r
    seen = sent(mock)
    assert seen["stream"] is True and seen["max_tokens"] == 9000 and seen["stream_options"] == {"include_usage": True}, seen
    assert mock.last()["headers"]["accept"] == "text/event-stream"
    body = r.json()
    assert body["object"] == "chat.completion" and body["choices"][0]["finish_reason"] == "stop", body
    assert body["choices"][0]["message"]["content"].startswith("Mock answer to: Hi") and body["usage"]["prompt_tokens"] == 7, body
    r = up.post("/ai/v1/messages", {"model": "fireworks/usage-7-5", "messages": HI, "max_tokens": 9000})
    assert r.status == 200 and r.json()["content"][0]["text"].startswith("Mock answer to: Hi"), r
    assert sent(mock)["stream"] is True
    r = up.post("/v1/chat/completions", {"model": "fireworks/usage-7-5", "messages": HI, "max_tokens": 9000, "tools": [TOOL]})
    call = r.json()["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["name"] == "now" and r.json()["choices"][0]["finish_reason"] == "tool_calls", r
    r = up.post("/v1/chat/completions", {"model": "fireworks/usage-7-5", "messages": HI, "max_tokens": 9})
    assert r.status == 200 and "stream" not in sent(mock), r
    r = up.post("/v1/chat/completions", {"model": "fireworks/tokens-9+cut-after-2", "messages": HI, "max_tokens": 9000})
    assert r.status == 502 and r.json()["error"]["code"] == "upstream_failed", r


def test_models_of_another_endpoint(up, mock):
    before = len(mock.log())
    r = up.post("/v1/chat/completions", {"model": "openai/gpt-5-pro", "messages": HI})
    assert (r.status, r.json()["error"]["param"]) == (400, "model") and "/v1/responses" in r.json()["error"]["message"], r
    assert len(mock.log()) == before, "something was sent"
    r = up.post("/router/passes-over/chat/completions", {"model": "openai/gpt-5-pro", "messages": HI})
    assert r.status == 200 and r.headers["x-sluice-provider"] == "groq", r


def test_answers_in_openais_form(up):
    ask = {"messages": HI}
    r = up.post("/v1/chat/completions", {**ask, "model": "as-it-is/odd"}).json()
    assert r["own"] == 1 and r["choices"][0]["finish_reason"] == "eos" and r["choices"][0]["message"]["reasoning"] == "why", r
    r = up.post("/v1/chat/completions", {**ask, "model": "normal/odd"}).json()
    assert "own" not in r and r["choices"][0]["finish_reason"] == "stop", r
    assert r["choices"][0]["message"] == {"role": "assistant", "content": "so", "refusal": None, "reasoning_content": "why"}, r
