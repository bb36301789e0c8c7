# SPDX-License-Identifier: Apache-2.0
"""Hostile and broken clients: the documented error, never a 500, a hang or a crash."""
import json
import socket

import pytest

import sluice
from sluice import chat, wait_for

PATH = "/router/one/chat/completions"


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    config = sluice.PLAIN + "server: {max-body: 1MiB}\n"
    s = sluice.Stack(tmp_path_factory.mktemp("up"), config, mock.env())
    pid = s.child_pid("proxy")
    yield s
    assert s.child_pid("proxy") == pid, "the proxy died on the way"
    s.stop()


@pytest.mark.parametrize("body,code", [
    (b"", "invalid_json"), (b"{", "invalid_json"), (b"[]", "invalid_json"), (b"null", "invalid_json"), (b'{"model":}', "invalid_json"),
    (b'{"messages":[]}', "missing_field"), (b'{"model":5}', "missing_field"), (b'{"model":"a","model":"b"}', "invalid_json"),
    (b'{"model":"\xff\xfe"}', "invalid_json"), (b'{"model":"openai/gpt-4o-mini","x":' + b"[" * 70 + b"]" * 70 + b"}", "invalid_json"),
    (b'{"model":"openai/gpt-4o-mini"} trailing', "invalid_json"), (b'{"model":"openai/gpt-4o-mini","a":01}', "invalid_json"),
    (b'{"model":""}', "missing_field")])
def test_bodies(up, body, code):
    r = up.post(PATH, body)
    assert (r.status, r.code) == (400, code), r


def test_unknown_things(up):
    r = up.post("/router/nope/chat/completions", chat())
    assert (r.status, r.code) == (404, "router_not_found")
    for path in ("/nope", "/v1/nope", "/router/one/nope", "/router/", "/router/%00/chat/completions", "//", "/v1/chat/completions/x"):
        r = up.post(path, chat())
        assert (r.status, r.code) == (404, "unknown_route") or r.code == "router_not_found", (path, r)
    r = up.get(PATH)
    assert r.status == 405 and "POST" in r.headers["allow"]
    r = up.post(PATH, chat("openai-typo/no-such-model"))
    assert (r.status, r.code) == (404, "model_not_found"), r
    r = up.post(PATH, chat("gpt-4o-mni"))
    assert (r.status, r.code) == (404, "model_not_found") and "gpt-4o-mini" in r.json()["error"]["message"], r
    assert up.get("/v1/realtime").status == 501


def test_anthropic_clients_get_their_error_shape(up):
    r = up.post("/v1/messages", b"{}")
    assert r.status == 400 and r.json()["type"] == "error" and r.json()["error"]["type"], r
    assert r.json()["request_id"]


def test_too_large(up):
    big = chat(text="x" * (2 << 20))
    r = up.post(PATH, big)
    assert (r.status, r.code) == (413, "request_too_large"), r
    assert r.headers["x-request-id"] and r.headers["helicone-id"] == r.headers["x-request-id"]


def test_refusals_carry_an_id(up):
    """Also those of the HTTP layer, which never become a request."""
    for head in (b"Host: x\r\nHost: y\r\n", b"Host: x\r\nX-Big: " + b"y" * 12000 + b"\r\n"):
        got = raw(up.port, b"GET /v1/models HTTP/1.1\r\n" + head + b"\r\n")
        assert b"\r\nx-request-id: " in got and b"\r\nhelicone-id: " in got, got
    got = raw(up.port, b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 0\r\n\r\n")
    error = json.loads(got.split(b"\r\n\r\n", 1)[1])
    assert error["type"] == "error" and error["request_id"], got


def test_websocket_is_not_served(up):
    for path in ("/v1/realtime", "/openai/v1/realtime"):
        r = up.get(path, {"connection": "Upgrade", "upgrade": "websocket"})
        assert (r.status, r.code) == (501, "not_supported"), r


def test_every_503_of_ours_says_when_to_come_back(up):
    r = up.post(PATH, chat(provider={"only": ["nobody"]}))
    assert (r.status, r.code) == (503, "no_target_available"), r
    assert int(r.headers["retry-after"]) >= 1 and int(r.headers["retry-after-ms"]) >= 1
    assert "x-sluice-upstream-status" not in r.headers


def test_raw_errors_are_in_the_words_of_the_provider(up):
    """Its client reads them. Google has OpenAI's endpoints, too; this gateway reaches Gemini by them, so it has OpenAI's words."""
    bad = {"x-api-key": "sk-sluice-nobody-nothing"}
    r = up.post("/anthropic/v1/messages", {}, bad)
    assert r.status == 401 and r.json()["type"] == "error" and r.json()["error"]["type"] == "authentication_error", r
    assert r.json()["request_id"] == r.headers["request-id"] == r.headers["x-request-id"]
    assert up.post("/openai/v1/messages", {}, bad).code == "invalid_api_key"
    assert up.post("/gemini/v1beta/models/x:generateContent", {}, bad).code == "invalid_api_key"
    r = up.get("/anthropic/v1/models", {"upgrade": "websocket", "connection": "upgrade"})
    assert r.status == 501 and r.json()["error"]["type"], r


def test_compressed(up):
    r = up.post(PATH, b"\x1f\x8b\x08", {"content-encoding": "gzip"})
    assert (r.status, r.code) == (415, "unsupported_encoding"), r


def raw(port, data, shut=False):
    with socket.create_connection(("127.0.0.1", port), timeout=20 * sluice.SLOW) as s:
        s.sendall(data)
        if shut:
            s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                return got
            if not piece:
                return got
            got += piece


@pytest.mark.parametrize("head", [
    b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Host: again\r\nContent-Length: 0\r\n", b"X-A: a\x01b\r\nContent-Length: 0\r\n",
    b"Content-Length: -5\r\n", b"Content-Length: 5x\r\n", b"Content-Length: 99999999999999999999\r\n"])
def test_framing(up, head):
    got = raw(up.port, b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\n" + head + b"\r\nhello\r\n")
    assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")) or got == b"", got[:200]
    if got.startswith(b"HTTP/1.1 400") and b"json" in got.lower():
        assert b"bad_framing" in got and b"onnection: close" in got, got


def test_no_host(up):
    assert b"bad_framing" in raw(up.port, b"POST " + PATH.encode() + b" HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")


def test_head_too_large(up):
    got = raw(up.port, b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nX-Big: " + b"y" * 12000 + b"\r\nContent-Length: 2\r\n\r\n{}")
    assert got.startswith(b"HTTP/1.1 431"), got[:200]


def test_garbage(up):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        got = raw(up.port, data, shut=True)
        assert got == b"" or got.startswith(b"HTTP/1."), got[:100]


def test_half_sent_body_and_leave(up):
    body = json.dumps(chat()).encode()
    for cut in (0, 1, len(body) // 2, len(body) - 1):
        raw(up.port, b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:cut], shut=True)
    wait_for(lambda: up.metric("sluice_requests_in_flight") == 0, 10, "nothing in flight")
    assert up.post(PATH, chat()).status == 200


def test_body_in_pieces_and_chunked(up):
    body = json.dumps(chat(text="pieces")).encode()
    with socket.create_connection(("127.0.0.1", up.port), timeout=20) as s:
        s.sendall(b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 7):
            piece = body[i:i + 7]
            s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        got = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
    assert got.startswith(b"HTTP/1.1 200") and b"pieces" in got


def test_pipelined(up):
    body = json.dumps(chat(text="pipe")).encode()
    one = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    last = one.replace(b"Host: x", b"Host: x\r\nConnection: close")
    assert raw(up.port, one * 4 + last).count(b"HTTP/1.1 200") == 5
