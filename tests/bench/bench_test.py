# SPDX-License-Identifier: Apache-2.0
"""The load generator counts what happened: checked against the mock, not against the clock."""
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time

import pytest

BIN = os.environ.get("SLUICE_BIN", "build/release/bin")
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def mock():
    with tempfile.TemporaryDirectory() as d:
        ready = os.path.join(d, "ready")
        p = subprocess.Popen([os.path.join(BIN, "sluice-mock"), "--port", "0", "--ready-file", ready])
        end = time.monotonic() + 60
        while not os.path.exists(ready):
            assert p.poll() is None and time.monotonic() < end
            time.sleep(0.005)
        with open(ready, encoding="utf-8") as f:
            info = json.load(f)
        yield info
        p.terminate()
        assert p.wait(60) == 0


def bench(port, *args, seconds="300ms"):
    r = subprocess.run([os.path.join(BIN, "sluice-bench"), "--target", f"127.0.0.1:{port}", "--warmup", "50ms",
                        "--duration", seconds, *args], capture_output=True, text=True, timeout=120, check=False)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def sometime(ask, *facts):
    """The first of some runs for which all facts hold: in so short a time a busy machine may let nothing happen at all."""
    for _ in range(8):
        r = ask()
        if all(fact(r) for fact in facts):
            return r
    raise AssertionError(r)


def errors(r):
    return {k: v for k, v in r["errors"].items() if v}


def test_closed_loop_latency_is_the_servers(mock):
    r = sometime(lambda: bench(mock["ports"][0], "--connections", "4", "--model", "delay-20ms"), lambda r: r["requests"] > 0)
    assert not errors(r)
    assert 20_000 <= r["latency_us"]["p50"] <= r["latency_us"]["p99"] <= r["latency_us"]["max"]
    assert r["requests"] <= 4 * (r["seconds"] / 0.020 + 1)


def test_open_loop_keeps_its_rate_and_charges_the_wait(mock):
    sometime(lambda: bench(mock["ports"][0], "--connections", "8", "--rate", "400", seconds="1s"),
             lambda r: not errors(r), lambda r: 250 < r["requests"] / r["seconds"] < 600)
    # One connection, 50 a second at 40 ms each: more is due than can be served, and the wait counts.
    sometime(lambda: bench(mock["ports"][0], "--connections", "1", "--rate", "50", "--model", "delay-40ms", seconds="1s"),
             lambda r: r["latency_us"]["max"] > 150_000)


def test_whole_streams(mock):
    r = sometime(lambda: bench(mock["ports"][0], "--stream", "--model", "tokens-3", "--connections", "2"), lambda r: r["requests"] > 0)
    assert not errors(r)
    assert r["body_bytes"] / r["requests"] > 1000


def test_open_streams_and_their_chunks(mock):
    def ask():
        began = time.monotonic()
        r = bench(mock["ports"][0], "--connections", "0", "--streams", "20", "--pid", str(mock["pid"]),
                  "--stream-model", "stamp+pace-10ms+tokens-100000", seconds="500ms")
        assert r["chunks"] <= 20 * ((time.monotonic() - began) / 0.010 + 1)
        return r
    r = sometime(ask, lambda r: r["chunks"] > 500)
    assert not errors(r) and r["streams_open"] == 20
    assert r["chunk_us"]["count"] >= r["chunks"] * 0.9
    assert r["processes"][0]["rss_after_kb"] > 1000


@pytest.mark.parametrize("model,which", [("status-429", "status"), ("reset", "io"), ("cut-after-10", "io"),
                                         ("bad-status-line", "io"), ("malformed-chunk", "io")])
def test_errors_are_not_requests(mock, model, which):
    r = sometime(lambda: bench(mock["ports"][0], "--model", model), errors)
    assert r["requests"] == 0 and set(errors(r)) == {which}


def test_closing_servers_are_reconnected(mock):
    for model in ("close", "until-close"):
        r = sometime(lambda: bench(mock["ports"][0], "--model", model), lambda r: r["requests"] > 3)
        assert not errors(r)


def asked(mock, method, path):
    c = http.client.HTTPConnection("127.0.0.1", mock["ports"][0], timeout=60)
    c.request(method, path)
    return c.getresponse().read().decode()


def test_body_size_and_serial(mock):
    def ask():
        asked(mock, "POST", "/__mock/reset")  # each run begins with the same prompt
        return bench(mock["ports"][0], "--body-size", "5000", "--unique", "--model", "body-test")
    sometime(ask, lambda r: r["requests"] > 0)
    attempts = json.loads(asked(mock, "GET", "/__mock/log?model=body-test"))["attempts"]
    assert {a["body_length"] for a in attempts} == {5000}
    assert len({a["body"] for a in attempts}) == len(attempts)


@pytest.mark.parametrize("args,code", [(["--help"], 0), (["--version"], 0), ([], 2), (["--target", "x"], 2),
                                       (["--target", "127.0.0.1:1", "--rate", "-1"], 2),
                                       (["--target", "127.0.0.1:1", "--pid", "99999999"], 1)])
def test_exit_codes(args, code):
    assert subprocess.run([os.path.join(BIN, "sluice-bench"), *args], capture_output=True, timeout=60,
                          check=False).returncode == code


def test_runner_end_to_end(tmp_path, mock):
    r = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--bin", BIN, "--only", "json-c32,streams-200",
                        "--seconds", "0.3", "--rounds", "1", "--targets", "direct,nginx", "--json", str(tmp_path / "r.json")],
                       capture_output=True, text=True, timeout=600, check=False)
    assert r.returncode == 0, r.stderr
    assert "| direct |" in r.stdout and "### Open streams" in r.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["scenarios"]["json-c32"]["summary"]["direct"]["rps"] > 0
