# SPDX-License-Identifier: Apache-2.0
"""Anthropic's clients on Anthropic's API: bytes and beta headers pass, only model and auth change; its errors come through as they
are; a fallback to another model goes without the reasoning that the first one signed, in every dialect."""
import http.client
import http.server
import json
import threading

import pytest

import sluice

ANSWER = {"id": "msg_1", "type": "message", "role": "assistant", "model": "x", "content": [{"type": "text", "text": "ok"}],
          "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}, "novel": {"a": 1.50}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded", "details": {"x": 1}}, "request_id": "req_9"}
THINKING = {"type": "thinking", "thinking": "t", "signature": "s"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
CONFIG = """\
providers:
  anthropic: {{base-url: "http://127.0.0.1:{0}/v1/"}}
  other: {{dialect: anthropic, base-url: "http://127.0.0.1:{0}/other/", keys: [{{value: sk-other}}]}}
  broken: {{dialect: anthropic, base-url: "http://127.0.0.1:{0}/broken/", keys: [{{value: sk-broken}}]}}
  openai: {{base-url: "http://127.0.0.1:{0}/oai/"}}
  nobody: {{dialect: openai, base-url: "http://127.0.0.1:{0}/oai/", keys: [{{value: sk-nobody}}]}}
models:
  claude-own: {{at: [{{provider: anthropic, id: claude-own-1}}], traits: {{system-anywhere: true}}}}
routers:
  all: {{load-balance: {{chat: {{strategy: priority, providers: [anthropic]}}}}}}
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.lines.append([(k.lower(), v) for k, v in self.headers.items()])
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        failed = self.path.startswith("/broken/")
        answer = OVERLOADED if failed else {"input_tokens": 14} if self.path.endswith("count_tokens") else ANSWER
        if self.path.startswith("/oai/responses"):
            answer = {"object": "response.input_tokens", "input_tokens": 11}
            failed = b"gpt-4o-mini" in body
        elif self.path.startswith("/oai/"):
            answer = {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}
        data = json.dumps(answer).encode()
        self.send_response(529 if failed else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def upstream():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.daemon_threads, s.seen, s.lines = True, [], []
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()


@pytest.fixture(scope="module")
def up(upstream, tmp_path_factory):
    env = {"ANTHROPIC_API_KEY": "sk-ant-TEST", "OPENAI_API_KEY": "sk-TEST"}
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG.format(upstream.server_address[1]), env)
    yield s
    s.stop()


def post(up, upstream, path, body, headers=None):
    upstream.seen.clear()
    return up.post(path, body, {"anthropic-version": "2023-06-01", **(headers or {})}), list(upstream.seen)


def post_lines(up, body, lines):
    """The status; header lines as they are, also twice the same name."""
    c = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30 * sluice.SLOW)
    c.putrequest("POST", "/v1/messages")
    for line in [*lines, "content-type: application/json", "content-length: %d" % len(body)]:
        c.putheader(*line.split(": "))
    c.endheaders(body)
    status = c.getresponse().status
    c.close()
    return status


def test_bytes_pass(up, upstream):
    body = b'{"model" : "anthropic/claude-sonnet-4-5",  "max_tokens":9,"novel":[1.50, {"x":"\\u00e9"}], "messages":[{"role":"user","content":"u"}]}'
    r, seen = post(up, upstream, "/v1/messages?beta=true", body, {"anthropic-version": "2026-10-21", "anthropic-beta": "a-1,b-2"})
    path, headers, sent = seen[0]
    assert path == "/v1/messages"
    assert sent == body.replace(b"anthropic/claude-sonnet-4-5", json.loads(sent)["model"].encode())
    assert (headers["x-api-key"], headers["anthropic-version"], headers["anthropic-beta"]) == ("sk-ant-TEST", "2026-10-21", "a-1,b-2")
    assert r.status == 200 and r.json() == ANSWER
    # Lists of beta names in several headers, selectors; what only concerns the client stays behind.
    assert post_lines(up, body, ("anthropic-version: 2026-10-21", "anthropic-beta: a-1", "anthropic-beta: b-2", "Anthropic-Workspace-Id: w",
                                 "x-stainless-lang: js", "anthropic-dangerous-direct-browser-access: true")) == 200
    headers = upstream.lines[-1]
    assert [v for k, v in headers if k == "anthropic-beta"] == ["a-1", "b-2"] and ("anthropic-workspace-id", "w") in headers
    assert not [k for k, _ in headers if "stainless" in k or "dangerous" in k]
    r, seen = post(up, upstream, "/v1/messages/count_tokens", {"model": "anthropic/claude-sonnet-4-5", "messages": [{"role": "user", "content": "u"}]})
    assert seen[0][0] == "/v1/messages/count_tokens" and r.json() == {"input_tokens": 14}


def test_beta_names_of_openai_clients(up, upstream):
    """Asked for by name they go to Anthropic; the version is the gateway's."""
    r, seen = post(up, upstream, "/v1/chat/completions", {"model": "anthropic/claude-sonnet-4-5", "messages": [{"role": "user", "content": "u"}]},
                   {"anthropic-beta": "a-1", "anthropic-version": "2026-10-21", "anthropic-workspace-id": "w"})
    headers = seen[0][1]
    assert r.status == 200 and headers["anthropic-beta"] == "a-1" and headers["anthropic-version"] == "2023-06-01", r
    assert "anthropic-workspace-id" not in headers


def test_openai_counts(up, upstream):
    """OpenAI counts in the words of its Responses API; where it does not, or nobody does, an estimate says that it is one."""
    body = {"messages": [{"role": "user", "content": "12345678é"}], "max_tokens": 5}
    r, seen = post(up, upstream, "/v1/messages/count_tokens", {"model": "openai/gpt-4o", **body})
    assert r.json() == {"input_tokens": 11} and "x-sluice-estimate" not in r.headers
    assert seen[0][0] == "/oai/responses/input_tokens" and json.loads(seen[0][2]) == {
        "model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "input_text", "text": "12345678é"}]}]}
    for model in ("openai/gpt-4o-mini", "nobody/gpt-4o-mini"):
        r, seen = post(up, upstream, "/v1/messages/count_tokens", {"model": model, **body})
        assert r.status == 200 and r.json() == {"input_tokens": 3} and r.headers["x-sluice-estimate"] == "1", r


def test_late_system_messages(up, upstream):
    """They go to `system`; where the model's traits say that it takes them, they stay."""
    history = [{"role": "user", "content": "u"}, {"role": "system", "content": "s"}]
    u, s = {"role": "user", "content": [{"type": "text", "text": "u"}]}, [{"type": "text", "text": "s"}]
    for model, messages, system in (("anthropic/claude-opus-4-8", [u], s), ("claude-own", [u, {"role": "system", "content": s}], None)):
        r, seen = post(up, upstream, "/v1/chat/completions", {"model": model, "messages": history})
        sent = json.loads(seen[0][2])
        assert r.status == 200 and sent["messages"] == messages and sent.get("system") == system, r


def ask(models, content):
    return {"models": models, "model": models[0], "max_tokens": 3000, "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 1024},
            "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": content},
                         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "content": "r"}]}]}


def test_its_errors_come_as_they_are(up, upstream):
    r, seen = post(up, upstream, "/v1/messages", {"model": "broken/claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "u"}]},
                   {"x-sluice-no-fallback": "true"})
    assert r.status == 529 and r.json()["error"]["type"] == "overloaded_error" and r.json()["error"]["message"] == "Overloaded", r
    assert r.headers["x-sluice-upstream-status"] == "529"
    r, seen = post(up, upstream, "/v1/chat/completions", {"model": "broken/claude-haiku-4-5", "messages": [{"role": "user", "content": "u"}]})
    assert r.status == 503 and r.json()["error"]["code"] == "overloaded"


def test_a_fallback_goes_without_signed_reasoning(up, upstream):
    call = {"type": "tool_use", "id": "i", "name": "f", "input": {}}
    r, seen = post(up, upstream, "/v1/messages", ask(["broken/claude-sonnet-4-5", "other/claude-haiku-4-5"], [THINKING, {"type": "text", "text": "x"}, call]))
    assert r.status == 200, r
    first, last = seen[0], seen[-1]
    assert first[0] == "/broken/messages" and THINKING in json.loads(first[2])["messages"][1]["content"]
    body = json.loads(last[2])
    assert last[0] == "/other/messages" and body["model"] == "claude-haiku-4-5" and "models" not in body
    assert body["messages"][1]["content"] == [{"type": "text", "text": "x"}, call] and body["thinking"] == {"type": "disabled"}


def test_a_fallback_crosses_dialects(up, upstream):
    r, seen = post(up, upstream, "/v1/messages", ask(["broken/claude-sonnet-4-5", "openai/gpt-4o"], [THINKING, {"type": "tool_use", "id": "i", "name": "f", "input": {}}]))
    assert r.status == 200 and r.json()["content"] == [{"type": "text", "text": "ok"}], r
    assert seen[-1][0] == "/oai/chat/completions"
    assert [m["role"] for m in json.loads(seen[-1][2])["messages"]] == ["user", "assistant", "tool"]
    # An OpenAI client's thinking_blocks go to the model that made them only.
    history = [{"role": "user", "content": "u"}, {"role": "assistant", "content": None, "thinking_blocks": [THINKING],
                "tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
               {"role": "tool", "tool_call_id": "i", "content": "r"}]
    r, seen = post(up, upstream, "/v1/chat/completions", {"models": ["broken/claude-sonnet-4-5", "other/claude-haiku-4-5"], "messages": history,
                                                          "reasoning_effort": "low", "max_tokens": 3000})
    assert r.status == 200, r
    assert json.loads(seen[0][2])["messages"][1]["content"][0] == THINKING
    last = json.loads(seen[-1][2])
    assert [b["type"] for b in last["messages"][1]["content"]] == ["tool_use"] and "thinking" not in last
