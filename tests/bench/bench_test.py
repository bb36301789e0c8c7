# SPDX-License-Identifier: Apache-2.0
"""The load generator counts what happened: checked against the mock, not against the clock."""
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
        end = time.monotonic() + 10
        while not os.path.exists(ready):
            assert p.poll() is None and time.monotonic() < end
            time.sleep(0.005)
        with open(ready, encoding="utf-8") as f:
            info = json.load(f)
        yield info
        p.terminate()
        assert p.wait(10) == 0


def bench(port, *args, seconds="300ms"):
    r = subprocess.run([os.path.join(BIN, "sluice-bench"), "--target", f"127.0.0.1:{port}", "--warmup", "50ms",
                        "--duration", seconds, *args], capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def errors(r):
    return {k: v for k, v in r["errors"].items() if v}


def test_closed_loop_latency_is_the_servers(mock):
    r = bench(mock["ports"][0], "--connections", "4", "--model", "delay-20ms")
    assert not errors(r) and r["requests"] > 0
    assert 20_000 <= r["latency_us"]["p50"] <= r["latency_us"]["p99"] <= r["latency_us"]["max"]
    assert r["requests"] <= 4 * 300 / 20 + 4


def test_open_loop_keeps_its_rate_and_charges_the_wait(mock):
    r = bench(mock["ports"][0], "--connections", "8", "--rate", "400", seconds="1s")
    assert not errors(r) and 250 < r["requests"] < 600
    # One connection, 50 a second at 40 ms each: more is due than can be served, and the wait counts.
    r = bench(mock["ports"][0], "--connections", "1", "--rate", "50", "--model", "delay-40ms", seconds="1s")
    assert r["latency_us"]["max"] > 150_000


def test_whole_streams(mock):
    r = bench(mock["ports"][0], "--stream", "--model", "tokens-3", "--connections", "2")
    assert not errors(r) and r["requests"] > 0
    assert r["body_bytes"] / r["requests"] > 1000


def test_open_streams_and_their_chunks(mock):
    r = bench(mock["ports"][0], "--connections", "0", "--streams", "20", "--pid", str(mock["pid"]),
              "--stream-model", "stamp+pace-10ms+tokens-100000", seconds="500ms")
    assert not errors(r) and r["streams_open"] == 20
    assert 500 < r["chunks"] <= 20 * 52
    assert r["chunk_us"]["count"] >= r["chunks"] * 0.9
    assert r["processes"][0]["rss_after_kb"] > 1000


@pytest.mark.parametrize("model,which", [("status-429", "status"), ("reset", "io"), ("cut-after-10", "io"),
                                         ("bad-status-line", "io"), ("malformed-chunk", "io")])
def test_errors_are_not_requests(mock, model, which):
    r = bench(mock["ports"][0], "--model", model)
    assert r["requests"] == 0 and set(errors(r)) == {which}


def test_closing_servers_are_reconnected(mock):
    for model in ("close", "until-close"):
        r = bench(mock["ports"][0], "--model", model)
        assert r["requests"] > 3 and not errors(r)


def test_body_size_and_serial(mock):
    r = bench(mock["ports"][0], "--body-size", "5000", "--unique", "--model", "body-test")
    assert r["requests"] > 0
    out = subprocess.run([sys.executable, "-c", "import sys,http.client as h;c=h.HTTPConnection('127.0.0.1',int(sys.argv[1]));"
                          "c.request('GET','/__mock/log?model=body-test');print(c.getresponse().read().decode())",
                          str(mock["ports"][0])], capture_output=True, text=True, check=True).stdout
    attempts = json.loads(out)["attempts"]
    assert {a["body_length"] for a in attempts} == {5000}
    assert len({a["body"] for a in attempts}) == len(attempts)


@pytest.mark.parametrize("args,code", [(["--help"], 0), (["--version"], 0), ([], 2), (["--target", "x"], 2),
                                       (["--target", "127.0.0.1:1", "--rate", "-1"], 2),
                                       (["--target", "127.0.0.1:1", "--pid", "99999999"], 1)])
def test_exit_codes(args, code):
    assert subprocess.run([os.path.join(BIN, "sluice-bench"), *args], capture_output=True, timeout=10,
                          check=False).returncode == code


def test_runner_end_to_end(tmp_path, mock):
    r = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--bin", BIN, "--only", "json-c32,streams-200",
                        "--seconds", "0.3", "--rounds", "1", "--targets", "direct,nginx", "--json", str(tmp_path / "r.json")],
                       capture_output=True, text=True, timeout=120, check=False)
    assert r.returncode == 0, r.stderr
    assert "| direct |" in r.stdout and "### Open streams" in r.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["scenarios"]["json-c32"]["summary"]["direct"]["rps"] > 0
