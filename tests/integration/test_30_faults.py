# SPDX-License-Identifier: Apache-2.0
"""Everything the mock can do wrong: failover before the first content, honest errors otherwise."""
import json

import pytest

import sluice
from sluice import chat, request as ask, wait_for


TIMEOUTS = "dispatcher: {first-byte-timeout: 1s, idle-timeout: 1s, connection-timeout: 2s}\n"
# Only where a provider is silent: elsewhere one that does its best may take as long as a busy machine makes it take.
STALLS = ("silence", "half-head", "stall-first", "role-then-stall", "two-lengths", "short-body")


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    config = sluice.PLAIN + TIMEOUTS
    s = sluice.Stack(tmp_path_factory.mktemp("up"), config, mock.env())
    yield s
    s.stop()


@pytest.fixture
def fresh(mock, tmp_path, request):
    """A stack of its own: targets without a past."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    config = sluice.PLAIN + (TIMEOUTS if params.get("fault") in STALLS else "")
    s = sluice.Stack(tmp_path, config, mock.env())
    mock.reset()
    yield s
    for i in range(3):
        mock.mode(i, "up")
    s.stop()


MOVES_ON = ["status-500", "status-503", "status-529", "status-429", "status-429-retry-after-2", "reset", "silence", "half-head",
            "bad-status-line", "two-lengths", "status-401", "status-404", "status-408"]


@pytest.mark.parametrize("fault", MOVES_ON)
@pytest.mark.parametrize("stream", [False, True])
def test_fault_moves_on_to_the_next_target(fresh, mock, fault, stream):
    if stream and fault == "two-lengths":
        pytest.skip("a fault of plain answers only")
    mock.mode(0, fault)
    r = fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini", text=f"{fault} {stream}", stream=stream))
    assert r.status == 200, r
    assert r.headers["x-sluice-provider"] == "anthropic"
    assert r.headers["x-sluice-attempts"] == "2"
    assert f"{fault} {stream}" in r.body.decode() if not stream else "[DONE]" in r.events()


@pytest.mark.parametrize("fault", ["error-event", "stall-first", "role-then-stall", "cut-after-0", "html-200", "gzip"])
def test_stream_fault_before_content_moves_on(fresh, mock, fault):
    mock.mode(0, fault)
    r = fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini", text=fault, stream=True))
    assert r.status == 200 and r.headers["x-sluice-provider"] == "anthropic", r
    assert r.events()[-1] == "[DONE]"
    assert not any("error" in json.loads(e) for e in r.events()[:-1])


@pytest.mark.parametrize("fault", ["bad-json", "cut-after-10", "short-body", "html-200"])
def test_plain_fault_moves_on(fresh, mock, fault):
    mock.mode(0, fault)
    r = fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini", text=fault))
    assert r.status == 200 and r.headers["x-sluice-provider"] == "anthropic", r


@pytest.mark.parametrize("fault,status,code", [
    ("silence", 504, "upstream_timeout"), ("reset", 502, "upstream_failed"), ("bad-status-line", 502, "upstream_failed"),
    ("status-500", 500, None), ("status-400", 400, None), ("status-422", 422, None), ("status-404", 404, None)])
def test_last_target_failed(fresh, mock, fault, status, code):
    mock.mode(0, fault)
    r = fresh.post("/router/one/chat/completions", chat("openai/gpt-4o-mini"))
    assert r.status == status, r
    if code is not None:
        assert r.code == code
        assert "x-sluice-upstream-status" not in r.headers
    else:
        assert r.headers["x-sluice-upstream-status"] == str(status)


def test_an_answer_that_is_none_is_our_own_error(fresh, mock):
    """x-sluice-upstream-status is for errors of providers; a 200 with a page in it is not one."""
    mock.mode(0, "html-200")
    r = fresh.post("/router/one/chat/completions", chat("openai/gpt-4o-mini"))
    assert (r.status, r.code) == (502, "upstream_failed") and "x-sluice-upstream-status" not in r.headers, r


def test_provider_error_is_relayed_unchanged(fresh, mock):
    direct = ask(mock.ports[0], "POST", "/v1/chat/completions", chat("status-400"))
    r = fresh.post("/router/one/chat/completions", chat("openai/status-400"))
    assert r.status == 400 and r.json() == direct.json()


def test_raw_errors_are_told_from_ours(fresh, mock):
    """A 401 with x-sluice-upstream-status is about the provider's key, without it about the client's."""
    r = fresh.post("/openai/v1/chat/completions", chat("status-401"))
    assert r.status == 401 and r.headers["x-sluice-upstream-status"] == "401", r
    r = fresh.post("/openai/v1/chat/completions", chat(), {"authorization": "Bearer sk-sluice-abcd-" + "x" * 40})
    assert r.status == 401 and "x-sluice-upstream-status" not in r.headers, r
    assert "x-sluice-upstream-status" not in fresh.post("/openai/v1/chat/completions", chat("gpt")).headers


@pytest.mark.parametrize("fault", ["status-503", "status-429", "status-529"])
def test_a_provider_that_does_not_say_when_to_come_back(fresh, mock, fault):
    """Relayed as it came or mapped for another dialect: a 429 or 503 names a time."""
    mock.mode(0, fault)
    for path, body in (("chat/completions", chat()), ("messages", chat(max_tokens=8))):
        r = fresh.post(f"/router/one/{path}", body, {"x-sluice-no-fallback": "1"})
        assert r.status in (429, 503, 529) and int(r.headers["retry-after"]) >= 1 and int(r.headers["retry-after-ms"]) >= 1, r


def test_400_never_retries(fresh, mock):
    mock.mode(0, "status-400")
    assert fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini")).status == 400
    assert len(mock.log()) == 1


def test_429_cools_the_target_and_retry_after_is_honest(fresh, mock):
    mock.mode(0, "status-429-retry-after-30")
    first = fresh.post("/router/one/chat/completions", chat("openai/gpt-4o-mini"))
    assert first.status == 429
    before = len(mock.log())
    second = fresh.post("/router/one/chat/completions", chat("openai/gpt-4o-mini"))
    assert second.status == 429 and second.code == "rate_limit_exceeded", second
    assert 1 <= int(second.headers["retry-after"]) <= 30
    assert len(mock.log()) == before, "a target that is cooling down was asked"


def test_remaining_quota_steers_away(fresh, mock):
    mock.mode(0, "limit-headers-0-30s")
    assert fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini")).headers["x-sluice-provider"] == "openai"
    for i in range(5):
        r = fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini", text=str(i)))
        assert r.headers["x-sluice-provider"] == "anthropic", r


def test_ejected_after_failures(fresh, mock):
    mock.mode(0, "status-500")
    for i in range(8):
        assert fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini", text=str(i))).status == 200
    mock.reset()
    mock.mode(0, "status-500")
    assert fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini", text="after")).headers["x-sluice-attempts"] == "1"
    assert [a["port"] for a in mock.log()] == [mock.ports[1]]


def test_every_target_failed(fresh, mock):
    for i in range(3):
        mock.mode(i, "status-503")
    r = fresh.post("/router/production/chat/completions", chat("openai/gpt-4o-mini"))
    # Each target once, and before giving up one of them once more (docs/contract.md).
    assert r.status == 503 and r.json()["error"]["attempts"] == 4, r
    assert {a["port"] for a in mock.log()} == set(mock.ports)


def test_no_fallback_header(fresh, mock):
    mock.mode(0, "status-503")
    r = fresh.post("/router/two/chat/completions", chat("openai/gpt-4o-mini"), {"x-sluice-no-fallback": "true"})
    assert r.status == 503 and {a["port"] for a in mock.log()} == {mock.ports[0]}, r


def test_stale_pooled_connection_is_invisible(up, mock):
    mock.reset()
    for i in range(4):
        r = up.post("/router/one/chat/completions", chat("openai/reset-reused", text=str(i)))
        assert r.status == 200 and r.headers["x-sluice-attempts"] == "1", r


def test_total_deadline(up):
    """It is the client's 100 ms that are over, not the second for a first byte."""
    r = up.post("/router/one/chat/completions", chat("openai/delay-5s"), {"x-sluice-timeout-ms": "100"})
    assert r.status == 504 and "total" in r.json()["error"]["message"], r


def test_idle_stream_after_content(up):
    r = up.post("/router/one/chat/completions", chat("openai/stall-after-3", stream=True))
    assert json.loads(r.events()[-1])["error"]["code"] in ("upstream_timeout", "upstream_truncated"), r.events()[-1]
    assert "[DONE]" not in r.events()


def test_explain(up):
    r = up.post("/router/two/chat/completions", chat("openai/gpt-4o-mini"), {"x-sluice-explain": "1"})
    assert "openai" in r.headers["x-sluice-route"] and "anthropic" in r.headers["x-sluice-route"], r
    assert len(r.headers["x-sluice-route"]) <= 1024


def test_gzip_answer_is_relayed_untouched(up):
    r = up.post("/router/one/chat/completions", chat("openai/gzip"))
    assert r.status == 200 and r.headers["content-encoding"] == "gzip" and r.body[:2] == b"\x1f\x8b"


def test_headers_of_the_provider_that_must_not_pass(up):
    r = up.post("/router/one/chat/completions", chat("openai/limit-headers-5-1s"))
    assert "set-cookie" not in r.headers
    assert r.headers.get("x-ratelimit-remaining-requests") != "5"
