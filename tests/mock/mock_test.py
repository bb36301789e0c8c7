# SPDX-License-Identifier: Apache-2.0
"""The mock itself, over raw sockets and http.client: what other tests rely on must be true.

Run by ctest (label integration), or: SLUICE_MOCK=build/.../sluice-mock python3 -m pytest mock_test.py
"""
import base64
import gzip
import hashlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

MOCK = os.environ.get("SLUICE_MOCK") or os.path.join(os.environ.get("SLUICE_BIN", ""), "sluice-mock")
LIMIT = 60  # seconds after which anything counts as hung


class Mock:
    """A running sluice-mock with some ports."""

    def __init__(self, *args, ports=1):
        self.dir = tempfile.TemporaryDirectory()
        ready = os.path.join(self.dir.name, "ready")
        listen = ",".join(["127.0.0.1:0"] * ports)
        self.proc = subprocess.Popen(
            [MOCK, "--listen", listen, "--ready-file", ready, *args])
        end = time.monotonic() + LIMIT
        while not os.path.exists(ready):
            assert self.proc.poll() is None, "the mock ended at once"
            assert time.monotonic() < end, "the mock did not get ready"
            time.sleep(0.005)
        with open(ready, encoding="utf-8") as f:
            info = json.loads(f.readline())
        assert info["pid"] == self.proc.pid
        self.ports = info["ports"]
        self.port = self.ports[0]

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(LIMIT)
        self.dir.cleanup()
        return code

    def control(self, method, what, body=None, port=None):
        status, _, answer = request(port or self.port, method, "/__mock/" + what,
                                    body if isinstance(body, (str, type(None))) else json.dumps(body))
        return status, json.loads(answer)

    def log(self, query=""):
        return self.control("GET", "log" + query)[1]["attempts"]

    def wait(self, query):
        return self.control("GET", f"wait?timeout_ms={LIMIT * 1000}&" + query)[1]

    def reset(self):
        assert self.control("POST", "reset")[0] == 200


@pytest.fixture(scope="module")
def shared():
    m = Mock(ports=2)
    yield m
    assert m.stop() == 0


@pytest.fixture
def mock(shared):
    shared.reset()
    return shared


def request(port, method, path, body=None, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.headers, r.read()
    finally:
        c.close()


def chat_body(model="gpt", stream=False, text="Hello", **more):
    return json.dumps({"model": model, "stream": stream,
                       "messages": [{"role": "user", "content": text}], **more})


def chat(port, model="gpt", stream=False, text="Hello", headers=None, **more):
    return request(port, "POST", "/v1/chat/completions", chat_body(model, stream, text, **more),
                   headers)


def events(answer):
    """The data of each event of a stream."""
    parts = answer.decode().split("\n\n")
    assert parts[-1] == ""
    return [p[6:] for p in parts[:-1] if p.startswith("data: ")]


def text_of(answer):
    return "".join(c["delta"].get("content") or ""
                   for e in events(answer) if e != "[DONE]"
                   for c in json.loads(e)["choices"])


class Raw:
    """A socket on which one request was sent."""

    def __init__(self, port, model, stream=False, payload=None):
        body = chat_body(model, stream).encode()
        self.s = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        self.s.sendall(payload or (b"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\n"
                                   b"content-length: %d\r\n\r\n" % len(body)) + body)
        self.data = b""

    def until(self, what):
        while what not in self.data:
            part = self.s.recv(65536)
            assert part, f"closed before {what!r}: {self.data!r}"
            self.data += part
        return self.data

    def rest(self):
        """Everything to the end, and how it ended: closed or reset."""
        try:
            while True:
                part = self.s.recv(65536)
                if not part:
                    return self.data, "closed"
                self.data += part
        except ConnectionResetError:
            return self.data, "reset"
        finally:
            self.s.close()

    def quiet(self, seconds=0.1):
        """True: still open, and nothing more came."""
        self.s.settimeout(seconds)
        try:
            return self.s.recv(1) is None
        except TimeoutError:
            return True
        finally:
            self.s.settimeout(LIMIT)


# --- shapes ---------------------------------------------------------------------------------------


def test_plain_chat(mock):
    status, head, answer = chat(mock.port, "openai/gpt-4o-mini", text='say "hi" to é')
    a = json.loads(answer)
    assert status == 200 and head["content-type"] == "application/json"
    assert a["object"] == "chat.completion" and a["id"].startswith("chatcmpl-")
    assert a["model"] == "openai/gpt-4o-mini"
    assert a["choices"][0]["message"]["content"].startswith('Mock answer to: say "hi" to é')
    assert a["choices"][0]["finish_reason"] == "stop"
    u = a["usage"]
    assert u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"]
    assert u["completion_tokens"] == 40
    assert a["system_fingerprint"] == f"fp_mock_{mock.port}"
    assert head["x-request-id"].startswith("req_") and head["openai-version"] == "2020-10-01"
    assert head["x-ratelimit-remaining-requests"] == "9999"
    assert abs(a["created"] - time.time()) < LIMIT


def test_stream_says_the_same_as_the_plain_answer(mock):
    plain = json.loads(chat(mock.port)[2])["choices"][0]["message"]["content"]
    status, head, answer = chat(mock.port, stream=True)
    es = events(answer)
    assert status == 200 and head["content-type"] == "text/event-stream; charset=utf-8"
    assert text_of(answer) == plain
    assert es[-1] == "[DONE]"
    first, last = json.loads(es[0]), json.loads(es[-2])
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None,
                                  "finish_reason": "stop"}
    assert "usage" not in first
    assert len({(json.loads(e)["id"], json.loads(e)["created"]) for e in es[:-1]}) == 1


def test_usage_event(mock):
    es = events(chat(mock.port, "tokens-3", True, stream_options={"include_usage": True})[2])
    assert all(json.loads(e)["usage"] is None for e in es[:-2])
    last = json.loads(es[-2])
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 3
    es = events(chat(mock.port, "no-usage", True, stream_options={"include_usage": True})[2])
    assert all("usage" not in json.loads(e) for e in es[:-1])
    assert "usage" not in json.loads(chat(mock.port, "no-usage")[2])
    assert json.loads(chat(mock.port, "usage-1000-500")[2])["usage"]["total_tokens"] == 1500


def test_content_parts_and_last_user_message(mock):
    body = {"model": "gpt", "messages": [
        {"content": "first", "role": "user"}, {"role": "assistant", "content": "no"},
        {"content": [{"type": "text", "text": "second"}], "role": "user"},
        {"role": "assistant", "content": "third"}]}
    a = json.loads(request(mock.port, "POST", "/v1beta/openai/chat/completions",
                           json.dumps(body, indent=2))[2])
    assert a["choices"][0]["message"]["content"].startswith("Mock answer to: second")


def test_excerpt_never_breaks_a_character(mock):
    for text in ("é" * 60, "😀" * 40, '"' * 100, "\\" * 99, "a" + "\u2028" * 40):
        for ascii_only in (True, False):
            body = json.dumps({"model": "g", "messages": [{"role": "user", "content": text}]},
                              ensure_ascii=ascii_only)
            a = json.loads(request(mock.port, "POST", "/v1/chat/completions", body.encode())[2])
            got = a["choices"][0]["message"]["content"][len("Mock answer to: "):].split(" bravo")[0]
            assert got and text.startswith(got)


def test_tool_call(mock):
    m = json.loads(chat(mock.port, "tool-call")[2])["choices"][0]
    assert m["finish_reason"] == "tool_calls" and m["message"]["content"] is None
    call = m["message"]["tool_calls"][0]["function"]
    args = name = ""
    for e in events(chat(mock.port, "tool-call", True)[2])[:-1]:
        for t in json.loads(e)["choices"][0]["delta"].get("tool_calls", []):
            assert t["index"] == 0
            args += t["function"]["arguments"]
            name += t["function"].get("name", "")
    assert (name, args) == (call["name"], call["arguments"])
    assert json.loads(args) == {"city": "Rome"}


def test_legacy_completions(mock):
    body = {"model": "gpt", "prompt": "once", "max_tokens": 4}
    a = json.loads(request(mock.port, "POST", "/v1/completions", json.dumps(body))[2])
    assert a["object"] == "text_completion" and a["choices"][0]["finish_reason"] == "length"
    assert a["choices"][0]["text"].startswith("Mock answer to: once")
    es = events(request(mock.port, "POST", "/v1/completions",
                        json.dumps({**body, "stream": True}))[2])
    assert "".join(json.loads(e)["choices"][0]["text"] for e in es[:-1]) == a["choices"][0]["text"]


def test_embeddings_list_and_base64_agree(mock):
    def embed(**more):
        status, _, a = request(mock.port, "POST", "/v1/embeddings",
                               json.dumps({"model": "text-embedding-3-small", **more}))
        assert status == 200
        return json.loads(a)

    a = embed(input=["one", "two"], dimensions=5)
    assert [d["index"] for d in a["data"]] == [0, 1] and a["object"] == "list"
    b = embed(input=["one", "two"], dimensions=5, encoding_format="base64")
    for x, y in zip(a["data"], b["data"]):
        assert list(struct.unpack("<5f", base64.b64decode(y["embedding"]))) == x["embedding"]
    assert len(embed(input="one")["data"]) == 1
    assert len(embed(input=[1, 2, 3])["data"]) == 1
    assert len(embed(input=[[1, 2], [3]])["data"]) == 2


def test_models(mock):
    a = json.loads(request(mock.port, "GET", "/v1/models")[2])
    assert a["object"] == "list" and "gpt-4o-mini" in [m["id"] for m in a["data"]]
    status, _, one = request(mock.port, "GET", "/v1/models/gpt-4o-mini")
    assert status == 200 and json.loads(one)["object"] == "model"


def test_raw_paths_echo(mock):
    body = bytes(range(256)) * 100
    status, _, a = request(mock.port, "PATCH", "/v1/files/a%2Fb?x=%2F&y", body,
                           {"authorization": "Bearer sk-secret-12345678", "x-a": 'q"'})
    a = json.loads(a)
    assert status == 200 and a["method"] == "PATCH"
    assert (a["path"], a["query"]) == ("/v1/files/a%2Fb", "x=%2F&y")
    assert a["body_length"] == len(body)
    assert a["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert a["headers"]["x-a"] == 'q"'
    assert a["headers"]["authorization"] == "Bearer ...5678"


@pytest.mark.parametrize("method,body,status,word", [
    ("GET", None, 405, "method"),
    ("POST", "{", 400, "parse"),
    ("POST", "[]", 400, "parse"),
    ("POST", '{"model":"a","messages":[]} x', 400, "parse"),
    ("POST", '{"messages":[]}', 400, "model"),
    ("POST", '{"model":"gpt"}', 400, "messages"),
    ("POST", '{"model":"delay-soon","messages":[]}', 400, "delay-soon"),
])
def test_refusals_in_openai_shape(mock, method, body, status, word):
    got, _, a = request(mock.port, method, "/v1/chat/completions", body)
    e = json.loads(a)["error"]
    assert got == status and word in e["message"]
    assert set(e) == {"message", "type", "param", "code"}


# --- behaviours -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status,code", [(400, "invalid_value"), (401, "invalid_api_key"),
                                         (429, "rate_limit_exceeded"), (500, None),
                                         (503, "server_is_overloaded"), (529, "server_is_overloaded")])
def test_status(mock, status, code):
    got, head, a = chat(mock.port, f"openai/status-{status}")
    assert got == status and json.loads(a)["error"]["code"] == code
    assert head["retry-after"] is None
    got, head, _ = chat(mock.port, f"status-{status}-retry-after-2", True)
    assert (got, head["retry-after"], head["retry-after-ms"]) == (status, "2", "2000")


def test_limit_headers(mock):
    head = chat(mock.port, "limit-headers-0-1m30s")[1]
    assert head["x-ratelimit-remaining-requests"] == "0"
    assert head["x-ratelimit-reset-requests"] == "1m30s"


def test_unknown_model(mock):
    status, _, a = chat(mock.port, "unknown-model")
    assert status == 404 and json.loads(a)["error"]["code"] == "model_not_found"


def test_delays(mock):
    for model, stream in (("delay-120ms", False), ("delay-120ms", True), ("ttft-120ms", True),
                          ("pace-30ms+tokens-5", True)):
        start = time.monotonic()
        chat(mock.port, model, stream)
        assert 0.115 <= time.monotonic() - start < LIMIT
    start = time.monotonic()
    r = Raw(mock.port, "ttft-150ms", True)
    r.until(b"\r\n\r\n")
    assert b"data:" not in r.data or time.monotonic() - start >= 0.15
    r.until(b"[DONE]")
    assert chat(mock.port, "lognormal-5ms")[0] == 200


def test_sizes(mock):
    assert len(chat(mock.port, "size-100k")[2]) == 100 * 1024
    assert len(text_of(chat(mock.port, "size-100k+tokens-10", True)[2])) >= 100 * 1024
    assert len(chat(mock.port, "huge-body-20m")[2]) == 20 << 20
    json.loads(chat(mock.port, "size-3m")[2])
    es = events(chat(mock.port, "event-size-1m+tokens-2", True)[2])
    assert len(es[1]) > 1 << 20
    assert len(chat(mock.port, "head-size-10k")[1]["x-mock-padding"]) == 1000


def test_content_before_content(mock):
    es = [json.loads(e)["choices"][0]["delta"]
          for e in events(chat(mock.port, "empty-deltas-2+think-2+tokens-1", True)[2])[:-1]]
    assert es[1:3] == [{"content": ""}] * 2 and es[3:5] == [{"reasoning_content": " hmm"}] * 2
    assert "reasoning_content" in json.loads(chat(mock.port, "think-2")[2])["choices"][0]["message"]


def test_comments(mock):
    _, _, a = chat(mock.port, "keepalive-comments-20ms+ttft-500ms", True)  # five times as long as a quick machine needs
    assert a.split(b"data:")[0].count(b": keep-alive\n\n") >= 4
    r = Raw(mock.port, "keepalive-comments-10ms+role-then-stall", True)
    r.until(b"assistant")
    r.data = b""
    r.until(b": keep-alive\n\n")


def test_stamp_is_the_monotonic_clock(mock):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    es = events(chat(mock.port, "stamp+tokens-2", True)[2])
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert all(before <= json.loads(e)["x_mock_sent_us"] <= after for e in es[:-1])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model,ended,how", [
    ("reset", "reset", "reset"),
    ("reset-mid", "reset", "reset"),
    ("reset-after-3", "reset", "reset"),
    ("cut-after-3", "closed", "cut"),
    ("short-body", "closed", "cut"),
    ("close", "closed", "complete"),
    ("close-quietly", "closed", "complete"),
    ("until-close", "closed", "complete"),
])
def test_endings(mock, model, ended, how, stream):
    data, end = Raw(mock.port, model, stream).rest()
    assert end == ended
    assert (b"connection: close" in data) == (model in ("close", "until-close"))
    if model == "reset":
        assert data == b""
    elif how != "complete":
        assert b"HTTP/1.1 200" in data and b"[DONE]" not in data and b"\r\n0\r\n" not in data
    if model == "cut-after-3" and stream:
        assert data.count(b"data: ") == 4  # role and three
    assert mock.log("?ended=1")[-1]["end"] == how


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model,seen,unseen", [
    ("silence", b"", b"HTTP"),
    ("half-head", b"HTTP/1.1 200", b"\r\n\r\n"),
    ("stall-first", b"\r\n\r\n", b"Mock answer"),
    ("malformed-chunk", b"\r\nzz\r\n", b"[DONE]"),
    ("stall-after-4", b"\r\n\r\n", b"[DONE]"),
])
def test_stalls_until_the_client_leaves(mock, model, seen, unseen, stream):
    r = Raw(mock.port, model, stream)
    r.until(seen)
    assert r.quiet()
    assert unseen not in r.data
    assert mock.log()[-1]["end"] == "open"
    r.s.close()
    assert mock.wait("ended=1")["ok"]
    assert mock.log()[-1]["end"] == "client_closed"


def test_role_then_stall(mock):
    r = Raw(mock.port, "role-then-stall", True)
    r.until(b'"role":"assistant"')
    assert r.quiet() and r.data.count(b"data: ") == 1


def test_wrong_contents(mock):
    with pytest.raises(ValueError):
        json.loads(chat(mock.port, "bad-json")[2])
    bad = [e for e in events(chat(mock.port, "bad-json", True)[2]) if e.endswith("bro")]
    assert len(bad) == 1
    es = events(chat(mock.port, "error-event", True)[2])
    assert len(es) == 1 and json.loads(es[0])["error"]["type"] == "server_error"
    es = events(chat(mock.port, "error-event-after-2", True)[2])
    assert len(es) == 4 and "error" in json.loads(es[3])
    es = events(chat(mock.port, "no-done", True)[2])
    assert json.loads(es[-1])["choices"][0]["finish_reason"] == "stop"
    es = events(chat(mock.port, "no-finish", True)[2])
    assert es[-1] == "[DONE]" and json.loads(es[-2])["choices"][0]["finish_reason"] is None
    es = events(chat(mock.port, "end-after-2", True)[2])
    assert len(es) == 3
    assert chat(mock.port, "content-type-json", True)[1]["content-type"] == "application/json"
    assert chat(mock.port, "no-stream", True)[1]["content-type"] == "application/json"
    status, head, a = chat(mock.port, "html-200")
    assert status == 200 and head["content-type"].startswith("text/html") and b"<html>" in a
    assert chat(mock.port, "html-200+status-502")[0] == 502
    _, head, a = chat(mock.port, "gzip+size-200k")
    assert head["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(a))["choices"][0]["message"]["content"]) > 190000


def test_wrong_heads(mock):
    assert Raw(mock.port, "bad-status-line").until(b"\r\n\r\n").startswith(b"HTP/1.1 OK 200\r\n")
    assert Raw(mock.port, "two-lengths").until(b"\r\n\r\n").count(b"content-length: ") == 2
    assert Raw(mock.port, "interim").until(b"}\n").startswith(b"HTTP/1.1 103 ")
    assert Raw(mock.port, "split").until(b"}\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n0\r\n\r\n" in Raw(mock.port, "chunked").until(b"\r\n0\r\n\r\n")


def test_fail_first_counts_by_model(mock):
    assert [chat(mock.port, "fail-first-2")[0] for _ in range(4)] == [503, 503, 200, 200]
    assert [chat(p, "x/fail-first-1+status-429")[0] for p in mock.ports] == [429, 200]
    r = Raw(mock.port, "fail-first-1+reset").rest()
    assert r == (b"", "reset") and chat(mock.port, "fail-first-1+reset")[0] == 200
    mock.reset()
    assert chat(mock.port, "fail-first-2")[0] == 503


def test_flaky(mock):
    got = [chat(mock.port, "flaky-50")[0] for _ in range(60)]
    assert set(got) == {200, 503}
    assert {chat(mock.port, "flaky-100+status-500")[0] for _ in range(5)} == {500}


def test_reset_reused(mock):
    c = http.client.HTTPConnection("127.0.0.1", mock.port, timeout=LIMIT)
    for turn in range(2):
        c.request("POST", "/v1/chat/completions", chat_body("reset-reused"))
        if turn == 0:
            assert c.getresponse().read()
        else:
            with pytest.raises(ConnectionError):
                c.getresponse()
    assert [a["ordinal"] for a in mock.log()] == [1, 2]


def test_slow_read(mock):
    body = chat_body("slow-read-50k", text="x" * 30000)
    start = time.monotonic()
    assert request(mock.port, "POST", "/v1/chat/completions", body)[0] == 200
    assert time.monotonic() - start > 0.3


def test_slow_write(mock):
    start = time.monotonic()
    assert len(chat(mock.port, "slow-write-20k+size-8k")[2]) == 8192
    assert time.monotonic() - start > 0.3


def test_early_answer(mock):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\ncontent-length: 100000\r\n\r\n"
    r = Raw(mock.port, None, payload=head + b'{"model":"early+status-413","messages":[')
    data, _ = r.rest()
    assert data.startswith(b"HTTP/1.1 413 ")


def test_header_chooses_too(mock):
    assert chat(mock.port, "gpt", headers={"x-mock": "status-418"})[0] == 418
    assert request(mock.port, "GET", "/raw", None, {"x-mock": "status-503"})[0] == 503


# --- HTTP -----------------------------------------------------------------------------------------


def test_keep_alive_and_pipelining(mock):
    one = b"GET /v1/models/a HTTP/1.1\r\nhost: m\r\n\r\n"
    r = Raw(mock.port, None, payload=one * 3)
    r.until(b'"id":"a"')
    while r.data.count(b'"id":"a"') < 3:
        r.data += r.s.recv(65536)
    assert [a["ordinal"] for a in mock.log()] == [1, 2, 3]
    assert len({a["connection"] for a in mock.log()}) == 1


def test_chunked_request_bytewise(mock):
    body = chat_body("gpt", text="chunked").encode()
    wire = b"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked\r\n\r\n"
    for i in range(0, len(body), 7):
        wire += b"%x;ext=1\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
    wire += b"0\r\ntrailer: x\r\n\r\n"
    r = Raw(mock.port, None, payload=wire[:1])
    for i in range(1, len(wire)):
        r.s.sendall(wire[i:i + 1])
    r.until(b"Mock answer to: chunked")
    assert mock.log()[-1]["body"].encode() == body


def test_expect_continue(mock):
    body = chat_body().encode()
    r = Raw(mock.port, None, payload=b"POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\n"
            b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
    r.until(b"100 Continue\r\n\r\n")
    r.s.sendall(body)
    r.until(b"HTTP/1.1 200")


@pytest.mark.parametrize("wire", [
    b"nonsense\r\n\r\n",
    b"GET /x HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"GET /x HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    b"GET /x HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
])
def test_bad_framing_is_noticed(mock, wire):
    data, _ = Raw(mock.port, None, payload=wire).rest()
    assert data.startswith(b"HTTP/1.1 400 ")


def test_big_request(mock):
    text = "y" * (8 << 20)
    status, _, a = chat(mock.port, text=text)
    assert status == 200
    assert mock.log()[-1]["body_length"] == len(chat_body(text=text))


def test_many_streams_at_once(mock):
    rs = [Raw(mock.port, "tokens-20+pace-5ms", True) for _ in range(100)]
    for r in rs:
        r.until(b"data: [DONE]")
    assert {a["end"] for a in mock.log()} == {"complete"}
    assert all(a["events"] == 20 for a in mock.log())


# --- log, control ---------------------------------------------------------------------------------


def test_log_entry(mock):
    chat(mock.port, "openai/gpt", headers={"Authorization": "Bearer sk-test-abcdWXYZ",
                                           "x-api-key": "short"})
    a = mock.log()[-1]
    assert (a["method"], a["path"]) == ("POST", "/v1/chat/completions")
    assert a["model"] == "openai/gpt" and a["stream"] is False and a["status"] == 200
    assert a["headers"]["authorization"] == "Bearer ...WXYZ"
    assert a["headers"]["x-api-key"] == "..."
    assert json.loads(a["body"])["model"] == "openai/gpt"
    assert a["bytes"] > 800 and a["end"] == "complete" and a["port"] == mock.port


def test_log_filters(mock):
    chat(mock.ports[0], "a/one")
    chat(mock.ports[1], "b/two")
    assert [a["model"] for a in mock.log(f"?port={mock.ports[1]}")] == ["b/two"]
    assert [a["model"] for a in mock.log("?model=a%2Fone")] == ["a/one"]
    seq = mock.log()[0]["seq"]
    assert [a["model"] for a in mock.log(f"?since={seq}")] == ["b/two"]
    mock.reset()
    assert mock.log() == []


def test_wait(mock):
    t = threading.Thread(target=lambda: [chat(mock.port) for _ in range(3)])
    t.start()
    assert mock.wait("count=3&ended=1") == {"ok": True, "count": 3}
    t.join()
    assert mock.control("GET", "wait?count=99&timeout_ms=20")[1] == {"ok": False, "count": 3}
    r = Raw(mock.port, "silence")
    assert mock.wait("count=4")["ok"]
    assert mock.control("GET", "wait?idle=1&timeout_ms=20")[1]["ok"] is False
    r.s.close()
    assert mock.wait("idle=1")["ok"]


def test_client_closed_tells_how_far_it_came(mock):
    r = Raw(mock.port, "pace-10ms+tokens-1000", True)
    r.until(b" charlie")
    r.s.close()
    assert mock.wait("ended=1")["ok"]
    a = mock.log()[-1]
    assert a["end"] == "client_closed" and 3 <= a["events"] < 1000 and a["bytes"] > 500


def test_half_close_counts_as_leaving(mock):
    r = Raw(mock.port, "silence")
    r.s.shutdown(socket.SHUT_WR)
    assert mock.wait("ended=1")["ok"] and mock.log()[-1]["end"] == "client_closed"


def test_port_down_and_up(mock):
    a, b = mock.ports
    stream = Raw(a, "stall-after-2", True)
    stream.until(b"bravo")
    assert mock.control("POST", "port", {"mode": "down"}, port=a)[0] == 200
    assert stream.rest()[1] == "reset"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", a), timeout=LIMIT)
    assert chat(b)[0] == 200
    stats = mock.control("GET", "stats", port=b)[1]
    assert [p["down"] for p in stats["ports"]] == [True, False]
    assert mock.control("POST", "port", {"port": a, "mode": "up"}, port=b)[0] == 200
    assert chat(a)[0] == 200
    assert [x["end"] for x in mock.log()][0] == "port_down"


def test_port_mode(mock):
    a, b = mock.ports
    assert mock.control("POST", "port", {"port": a, "mode": "status-500"}, port=b)[0] == 200
    assert chat(a)[0] == 500 and chat(b)[0] == 200
    assert mock.control("POST", "port", {"port": a, "mode": "up"})[0] == 200
    assert chat(a)[0] == 200
    assert mock.control("POST", "port", {"port": a, "mode": "status-9"})[0] == 400
    assert mock.control("POST", "port", {"port": 1, "mode": "up"})[0] == 400


def test_scenario(mock):
    text = f"# by model\n{mock.port} gpt-4o* status-429\n* *-mini tokens-2\n"
    try:
        assert mock.control("POST", "scenario", text)[0] == 200
        assert chat(mock.port, "openai/gpt-4o-mini")[0] == 429
        a = json.loads(chat(mock.ports[1], "openai/gpt-4o-mini")[2])
        assert a["usage"]["completion_tokens"] == 2
        assert chat(mock.port, "tokens-1")[0] == 200  # its own words win
        status, e = mock.control("POST", "scenario", "x y z")
        assert status == 400 and "line 1" in e["error"]["message"]
        assert chat(mock.port, "openai/gpt-4o-mini")[0] == 429  # the old one stays
    finally:
        assert mock.control("POST", "scenario", "")[0] == 200


def test_stats(mock):
    chat(mock.port)
    s = mock.control("GET", "stats")[1]
    assert s["log"]["ended"]["complete"] == 1 and s["log"]["open"] == 0
    assert s["connections_open"] >= 1 and s["ports"][0]["requests"] == 1
    assert mock.control("GET", "nothing")[0] == 404


# --- the program ----------------------------------------------------------------------------------


def test_require_key():
    m = Mock("--require-key", "sk-good,sk-also")
    try:
        for head, status in (({}, 401), ({"authorization": "Bearer sk-bad"}, 401),
                             ({"authorization": "Bearer sk-good"}, 200),
                             ({"x-api-key": "sk-also"}, 200), ({"x-goog-api-key": "sk-good"}, 200)):
            got, _, a = chat(m.port, headers=head)
            assert got == status
            if got == 401:
                assert json.loads(a)["error"]["code"] == "invalid_api_key"
    finally:
        assert m.stop() == 0


def test_several_workers_share_everything():
    m = Mock("--workers", "3", ports=2)
    try:
        ts = [threading.Thread(target=lambda: [chat(m.port) for _ in range(20)]) for _ in range(8)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
        assert m.wait("count=160&ended=1")["ok"]
        assert sorted(a["seq"] for a in m.log()) == list(range(1, 161))
        rs = [Raw(m.port, "silence") for _ in range(12)]
        assert m.wait("count=172")["ok"]
        m.control("POST", "port", {"port": m.ports[0], "mode": "down"}, port=m.ports[1])
        assert {r.rest()[1] for r in rs} == {"reset"}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", m.port), timeout=LIMIT)
        m.control("POST", "port", {"port": m.ports[0], "mode": "up"}, port=m.ports[1])
        assert [chat(m.port)[0] for _ in range(12)] == [200] * 12
    finally:
        assert m.stop() == 0


def test_log_file(tmp_path):
    path = tmp_path / "log"
    m = Mock("--log", str(path), "--log-keep", "2")
    try:
        for i in range(4):
            chat(m.port, f"model-{i}")
        assert [a["model"] for a in m.log()] == ["model-2", "model-3"]
    finally:
        assert m.stop() == 0
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    assert [x["model"] for x in lines] == [f"model-{i}" for i in range(4)]


def test_scenario_file(tmp_path):
    path = tmp_path / "scenario"
    path.write_text("* claude-* status-529\n")
    m = Mock("--scenario", str(path))
    try:
        assert chat(m.port, "anthropic/claude-haiku-4-5")[0] == 529
    finally:
        assert m.stop() == 0


@pytest.mark.parametrize("args,code", [
    (["--help"], 0), (["--version"], 0), (["--nonsense"], 2), (["--port", "99999"], 2),
    (["--workers", "0"], 2), (["--listen", "nowhere:1"], 2), (["extra"], 2),
    (["--scenario", "/nonexistent"], 1),
])
def test_exit_codes(args, code):
    assert subprocess.run([MOCK, *args], capture_output=True, timeout=LIMIT,
                          check=False).returncode == code


def test_port_in_use_is_a_runtime_failure(mock):
    r = subprocess.run([MOCK, "--port", str(mock.port)], capture_output=True, timeout=LIMIT,
                       check=False)
    assert r.returncode == 1 and b"in use" in r.stderr
