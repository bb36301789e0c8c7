# SPDX-License-Identifier: Apache-2.0
"""Streams: as they come, never invented; who leaves is noticed; who is slow slows only itself."""
import json
import socket
import time

import pytest

import sluice
from sluice import chat, wait_for


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), sluice.PLAIN, mock.env())
    yield s
    s.stop()


class Stream:
    """A raw client, so that one can read slowly, half-close and leave."""

    def __init__(self, port, body, path="/router/one/chat/completions", rcvbuf=None):
        self.s = socket.socket()
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(30 * sluice.SLOW)
        self.s.connect(("127.0.0.1", port))
        data = json.dumps(body).encode()
        self.s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        self.got = bytearray()

    def until(self, mark):
        seen = 0  # what has been looked through; megabytes come in small pieces
        while self.got.find(mark, max(0, seen - len(mark))) < 0:
            seen = len(self.got)
            piece = self.s.recv(65536)
            assert piece, self.got[-500:]
            self.got += piece
        return self.got

    def rest(self):
        while True:
            piece = self.s.recv(65536)
            if not piece:
                return self.got
            self.got += piece

    def close(self):
        self.s.close()


def test_chunks_arrive_as_they_are_sent(up, mock):
    """The first content is at the client although the provider never comes to its end."""
    mock.reset()
    s = Stream(up.port, chat("openai/stall-after-3", stream=True))
    s.until(b'"content":"M')
    assert mock.log()[0]["end"] == "open" and b"[DONE]" not in s.got, s.got
    s.close()
    assert mock.wait_log(1, ended=1)[0]["end"] == "client_closed"
    # And one at a pace, to its end.
    s = Stream(up.port, chat("openai/pace-20ms+tokens-20", stream=True))
    assert s.until(b"[DONE]").count(b'"content":"') >= 20
    s.close()


@pytest.mark.parametrize("leave", ["close", "half-close"])
def test_client_gone_cancels_upstream(up, mock, leave):
    mock.reset()
    s = Stream(up.port, chat("openai/pace-50ms+tokens-1000", stream=True))
    s.until(b'"content":"')
    if leave == "close":
        s.close()
    else:
        s.s.shutdown(socket.SHUT_WR)
    log = mock.wait_log(1, ended=1)
    assert log[0]["end"] == "client_closed", log
    wait_for(lambda: up.metric("sluice_requests_in_flight") == 0, 5, "no request in flight")


def test_client_gone_before_the_head(up, mock):
    mock.reset()
    s = Stream(up.port, chat("openai/silence", stream=True))
    mock.wait_log(1)
    s.close()
    assert mock.wait_log(1, ended=1)[0]["end"] == "client_closed"


@pytest.mark.parametrize("model", ["cut-after-3", "reset-after-3", "error-event-after-3", "end-after-3+no-done"])
def test_truncation_is_said_and_no_done_invented(up, model):
    r = up.post("/router/one/chat/completions", chat(f"openai/{model}", stream=True))
    events = r.events()
    assert r.status == 200
    assert "[DONE]" not in events
    last = json.loads(events[-1])
    assert "error" in last, events[-1]
    if not model.startswith("error-event"):
        assert last["error"]["code"] == "upstream_truncated", last


@pytest.mark.parametrize("model", ["no-done", "keepalive-comments-10ms+ttft-100ms", "empty-deltas-5", "think-3", "tool-call", "split"])
def test_complete_streams_pass(up, model):
    r = up.post("/router/one/chat/completions", chat(f"openai/{model}", stream=True))
    assert r.status == 200
    events = [e for e in r.events() if e != "[DONE]"]
    assert not any("error" in json.loads(e) for e in events)
    assert ("[DONE]" in r.events()) == (model != "no-done")
    assert any(c.get("finish_reason") for e in events for c in json.loads(e)["choices"])


def test_slow_client_pauses_its_upstream_and_nobody_else(up, mock):
    """16 MB into a client that does not read: the mock is held back, memory stays, everything arrives."""
    mock.reset()
    pid = up.child_pid("proxy")
    rss = lambda: int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1])
    before = rss()
    s = Stream(up.port, chat("openai/tokens-4000+event-size-4k", stream=True), rcvbuf=16384)
    s.until(b'"content":"')
    stalled = lambda: mock.log()[0]["bytes"]
    wait_for(lambda: (lambda a: (time.sleep(0.1), stalled())[1] == a)(stalled()), 10, "the upstream to be held back")
    assert mock.log()[0]["end"] == "open" and mock.log()[0]["bytes"] < 15_000_000
    assert up.post("/router/one/chat/completions", chat("openai/gpt")).status == 200
    assert sluice.SLOW > 1 or rss() - before < 4096, (before, rss())  # sanitizers keep freed memory
    got = s.until(b"[DONE]")
    assert len(got) > 16_000_000 and got.count(b'"content":"') >= 4000
    s.close()


def test_head_after_hold(mock, tmp_path):
    """No content for longer than dispatcher.hold: the client gets the head, though there never is any content."""
    s = sluice.Stack(tmp_path, sluice.PLAIN + "dispatcher: {hold: 200ms}\n", mock.env())
    try:
        mock.reset()
        c = Stream(s.port, chat("openai/stall-first", stream=True))
        c.until(b"\r\n\r\n")
        assert c.got.startswith(b"HTTP/1.1 200") and b'"content"' not in c.got
        assert mock.log()[0]["end"] == "open"
        c.close()
        # And content that comes after it arrives.
        c = Stream(s.port, chat("openai/ttft-600ms", stream=True))
        assert b'"content"' in c.until(b"[DONE]")
        c.close()
    finally:
        s.stop()


def test_large_plain_answer_is_relayed(up):
    r = up.post("/router/one/chat/completions", chat("openai/size-3m"))
    assert r.status == 200 and len(r.body) == 3 * 1024 * 1024
    assert json.loads(r.body)["choices"]
