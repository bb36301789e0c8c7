# SPDX-License-Identifier: Apache-2.0
"""A vendor of the user's own: a prompt that is too long for a model goes to one that takes more, to no other, and only
for that reason; what nobody knows of it is not assumed: it gets the client's bytes."""
import http.server
import json
import threading

import pytest

import sluice
from sluice import chat

ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
TOO_LONG = {"error": {"message": "This model's maximum context length is 1000 tokens.", "type": "invalid_request_error",
                      "param": "messages", "code": "context_length_exceeded"}}
GEMINI = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
QUOTA = {"error": {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED", "details": [
    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPer%sPerProject"}]},
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.1s"}]}}
OTHER = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}


class Handler(http.server.BaseHTTPRequestHandler):
    """Models named small*: the prompt is too long; bad: a 400; others answer."""
    protocol_version = "HTTP/1.1"
    asked, bodies, paths = [], [], []

    def log_message(self, *args):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(raw)
        self.paths.append(self.path)
        model = json.loads(raw).get("model", "gemini")
        self.asked.append(model)
        body = GEMINI if self.path.endswith(":generateContent") else TOO_LONG if model.startswith("small") else OTHER if model == "bad" else ANSWER
        data = json.dumps(body).encode()
        if model.startswith("later"):  # NVIDIA's slow functions: to be fetched from /status/ID
            data = b'{"requestId":"r1","status":"pending-evaluation"}' if model == "later" else b""
        if "/quota-" in self.path:
            data, body = json.dumps(QUOTA).replace("%s", self.path.split("/quota-")[1].split(":")[0]).encode(), None
        self.send_response(202 if model.startswith("later") else 429 if body is None else 200 if body in (ANSWER, GEMINI) else 400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


CONFIG = """\
providers:
  p: {{dialect: openai, base-url: "http://127.0.0.1:{port}/v1/", auth: {{header: authorization}}, keys: [{{value: k}}]}}
  openai: {{base-url: "http://127.0.0.1:{port}/v1/", keys: [{{value: k}}]}}
  c: {{dialect: openai, base-url: "http://127.0.0.1:{port}/v1/", keys: [{{value: k}}], paths: {{completions: ""}}}}
  g: {{dialect: gemini, base-url: "http://127.0.0.1:{port}/v1beta/", keys: [{{value: k}}]}}
models:
  small-model: {{context: 1000, at: [{{provider: p, id: small}}]}}
  small-too: {{context: 900, at: [{{provider: p, id: small-too}}]}}
  large-model: {{context: 200000, at: [{{provider: p, id: large}}]}}
  bad-model: {{context: 500, at: [{{provider: p, id: bad}}]}}
routers:
  grows: {{load-balance: {{chat: {{strategy: priority, models: [p/small, p/small-too, p/unknown, p/large]}}}}}}
  never: {{load-balance: {{chat: {{strategy: priority, models: [p/small, p/small-too, p/unknown]}}}}}}
  strict: {{load-balance: {{chat: {{strategy: priority, models: [g/m]}}}}}}
  lenient: {{load-balance: {{chat: {{strategy: priority, models: [g/m]}}}}, drop-unsupported: true, forward-unknown: true}}
  late: {{load-balance: {{chat: {{strategy: priority, models: [p/later, p/large]}}}}}}
  other: {{load-balance: {{chat: {{strategy: priority, models: [p/bad, p/large]}}}}}}
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG.format(port=server.server_address[1]))
    yield s
    s.stop()
    server.shutdown()


@pytest.mark.parametrize("router, status, asked", [("grows", 200, ["small", "large"]), ("never", 400, ["small"]), ("other", 400, ["bad"])])
def test_longer_contexts(up, router, status, asked):
    Handler.asked.clear()
    r = up.post(f"/router/{router}/v1/chat/completions", chat(f"p/{asked[0]}"))
    assert r.status == status, r
    assert Handler.asked == asked
    if router == "never":
        assert r.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_to_be_fetched_later(up, stream):
    Handler.asked.clear()
    r = up.post("/router/late/v1/chat/completions", chat("p/later", stream=stream))
    assert r.status == 200 and b"Hi" in r.body, r
    assert Handler.asked[-1] == "large"
    for model in "later", "later-empty":
        r = up.post("/ai/chat/completions", chat(f"p/{model}", stream=stream))
        assert r.status == 504 and r.json()["error"]["code"] == "upstream_timeout", r
        assert "deferred" in r.json()["error"]["message"], r


def test_bytes_pass(up):
    text = ('{ "model":"p/large","messages":[{"role":"developer","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]},'
            '{"role":"assistant","content":"a","reasoning_content":"r","extra_content":{"google":{"thought_signature":"s"}},"new":1.50}],'
            '"max_tokens":5, "temperature":0.70,"unknown":[1e3,18446744073709551617]}')
    Handler.bodies.clear()
    r = up.post("/ai/v1/chat/completions", text.encode())
    assert r.status == 200, r
    assert Handler.bodies == [text.replace("p/large", "large").encode()]
    assert "x-sluice-dropped-params" not in r.headers


def test_what_a_dialect_lacks(up):
    ask = chat("g/m", audio={"voice": "alloy", "format": "wav"}, new_member={"a": 1.50})
    Handler.bodies.clear()
    r = up.post("/router/strict/v1/chat/completions", ask)
    assert r.status == 400 and r.json()["error"]["code"] == "unsupported_parameter" and r.json()["error"]["param"] == "audio", r
    assert not Handler.bodies  # nothing was sent
    r = up.post("/router/lenient/v1/chat/completions", ask)
    assert r.status == 200 and r.headers["x-sluice-dropped-params"] == "audio", r
    assert json.loads(Handler.bodies[0])["new_member"] == {"a": 1.5}
    r = up.post("/router/strict/v1/chat/completions", chat("g/m", new_member=1))
    assert r.status == 200 and "new_member" not in json.loads(Handler.bodies[1]), r


def test_a_completion_of_old_goes_as_a_chat(up):
    """A vendor of OpenAI's dialect that only chats."""
    Handler.bodies.clear()
    Handler.paths.clear()
    r = up.post("/ai/v1/completions", {"model": "c/large", "prompt": "x", "max_tokens": 5, "logprobs": 1})
    assert r.status == 200 and r.headers["x-sluice-dropped-params"] == "logprobs", r
    assert r.json()["object"] == "text_completion" and r.json()["choices"][0] == {"text": "Hi", "index": 0, "logprobs": None, "finish_reason": "stop"}
    assert Handler.paths == ["/v1/chat/completions"]
    assert json.loads(Handler.bodies[0]) == {"model": "large", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    r = up.post("/ai/v1/completions", {"model": "c/large", "prompt": "x", "stream": True})
    assert [json.loads(e)["choices"][0]["text"] for e in r.events()[:-1]] == ["Hi", ""] and r.events()[-1] == "[DONE]", r
    assert Handler.paths.pop() == "/v1/chat/completions"
    # and a model of OpenAI's that does; of a vendor that nobody knows nothing is assumed
    for model, path in (("openai/gpt-4.1-mini", "chat/completions"), ("openai/gpt-3.5-turbo-instruct", "completions"), ("p/gpt-4.1", "completions")):
        r = up.post("/ai/v1/completions", {"model": model, "prompt": "x"})
        assert r.status == 200 and Handler.paths.pop() == "/v1/" + path, (model, r)
    r = up.post("/ai/v1/completions", {"model": "c/large", "prompt": ["x", "y"]})
    assert r.status == 400 and r.json()["error"]["code"] == "unsupported_parameter" and len(Handler.paths) == 1, r


@pytest.mark.parametrize("per, asked, should", [("Minute", 2, None), ("Day", 1, "false")])
def test_a_quota_of_a_day_is_not_asked_twice(up, per, asked, should):
    Handler.paths.clear()
    r = up.post("/ai/v1/chat/completions", chat(f"g/quota-{per}"))
    assert r.status == 429 and r.headers["retry-after"] == "1" and r.headers.get("x-should-retry") == should, r
    assert len(Handler.paths) == asked
