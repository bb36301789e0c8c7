# SPDX-License-Identifier: Apache-2.0
"""Usage is counted exactly once, whoever is killed with -9 while requests run: the proxy, the control plane, Redis.

The mock's log is the truth: it has a line for every attempt that reached a provider. A model's name says how many tokens each
of its answers costs, so sums of tokens can be compared too."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest

import sluice
from sluice import SLOW, chat, wait_for

PLAIN, STREAM, FAILS = "openai/usage-11-7", "openai/usage-5-3+tokens-4", "openai/status-500"
TOKENS = {PLAIN: (11, 7), STREAM: (5, 3)}


@pytest.fixture
def mock(tmp_path):
    m = sluice.Mock(tmp_path, args=["--log-keep", "300000", "--body-keep", "0"])
    yield m
    m.stop()


@pytest.fixture
def up(mock, tmp_path):
    s = sluice.Stack(tmp_path, sluice.WALKTHROUGH, mock.env())
    yield s
    s.stop()


class Load:
    """Clients with connections that are kept; what they see of a killed proxy is not their affair: they go on."""

    def __init__(self, port, n=6, bodies=None):
        self.port, self.stopped, self.answered = port, threading.Event(), 0
        self.bodies = bodies or [(chat(PLAIN), {"x-sluice-tags": "red,blue"}), (chat(STREAM, stream=True), {"x-sluice-tags": "red"})]
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, i):
        c = None
        while not self.stopped.is_set():
            body, headers = self.bodies[i % len(self.bodies)]
            try:
                if c is None:
                    c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOW)
                c.request("POST", "/ai/chat/completions", json.dumps(body), {"content-type": "application/json", **headers})
                c.getresponse().read()
                self.answered += 1
                i += 1
            except (OSError, http.client.HTTPException):
                c = None
                time.sleep(0.01)

    def until(self, n, timeout=60):
        target = self.answered + n
        wait_for(lambda: self.answered >= target, timeout, f"{n} more answers")

    def stop(self):
        self.stopped.set()
        for t in self.threads:
            t.join()


def kill(up, which):
    pid = up.child_pid(which)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: up.child_pid(which) != pid, 20, f"{which} to be started again")


def usage(up, group="total", **more):
    query = "&".join([f"group_by={group}", *(f"{k}={v}" for k, v in more.items())])

    def ask():
        r = up.admin("GET", f"/usage?{query}")
        return r if r.status == 200 else None
    return wait_for(ask, 20, "the control plane to answer").json()["data"]


def total(up, **more):
    out = {}
    for row in usage(up, **more):
        for k, v in row.items():
            if isinstance(v, (int, float)):
                out[k] = out.get(k, 0) + v
    return out


def settled(up, mock, timeout=40):
    """The sums, when nothing is on its way any more."""
    assert sluice.request(mock.ports[0], "GET", "/__mock/wait?idle=1&timeout_ms=20000").json()["ok"]
    n = len(mock.log())
    wait_for(lambda: total(up).get("attempts", 0) >= n, timeout, f"{n} attempts to be counted")
    wait_for(lambda: up.metric("sluice_usage_pending") == 0, timeout, "the proxy to have nothing to report")
    return total(up)


def check(up, mock):
    sums, log = settled(up, mock), mock.log()
    assert sums["attempts"] == len(log), (sums, len(log))
    # What was interrupted has estimates; everything else costs what the mock said.
    interrupted = sums.get("interrupted", 0)
    assert sums["requests"] == len(log)
    want = [0, 0]
    for a in log:
        for k in (0, 1):
            want[k] += TOKENS["openai/" + a["model"]][k]
    whole = {row["model"]: row for row in []}
    for row in usage(up, "model"):
        one = whole.setdefault(row["model"], {"requests": 0, "interrupted": 0, "input_tokens": 0, "output_tokens": 0})
        for k in one:
            one[k] += row[k]
    for model, (_, output) in TOKENS.items():
        row = whole[model.split("/", 1)[1]]
        assert row["output_tokens"] == (row["requests"] - row["interrupted"]) * output, (model, row)
        assert row["requests"] == sum(1 for a in log if "openai/" + a["model"] == model), (model, row)
    if interrupted == 0:
        assert (sums["input_tokens"], sums["output_tokens"]) == tuple(want)
    return sums


def test_nobody_is_killed(up, mock):
    load = Load(up.port)
    load.until(300)
    load.stop()
    sums = check(up, mock)
    assert sums["interrupted"] == 0 and sums["errors"] == 0


def test_proxy_killed(up, mock):
    load = Load(up.port, bodies=[(chat(PLAIN), {}), (chat(STREAM, stream=True), {}), (chat(PLAIN), {}), (chat(STREAM, stream=True), {})])
    for _ in range(3):
        load.until(200)
        kill(up, "proxy")
    load.until(200)
    load.stop()
    check(up, mock)


def test_proxy_killed_in_the_middle_of_streams(up, mock):
    """What was under way is reported, once, as interrupted."""
    slow = "openai/usage-5-3+tokens-1000+pace-50ms"
    load = Load(up.port, n=4, bodies=[(chat(slow, stream=True), {"x-sluice-tags": "slow"})])
    mock.wait_log(4)
    load.stopped.set()  # what is cut off is not asked again
    kill(up, "proxy")
    mock_seen = wait_for(lambda: (lambda l: l if len(l) >= 4 and all(a["end"] != "open" for a in l) else None)(mock.log()), 20, "ends")
    load.stop()
    sums = settled(up, mock)
    assert sums["attempts"] == len(mock.log()) and sums["interrupted"] >= 4, (sums, len(mock_seen))
    some = up.admin("GET", "/requests?interrupted=true&tag=slow").json()["data"]
    assert len(some) == sums["interrupted"]
    for r in some:
        assert r["estimated"] and r["input_tokens"] > 0 and r["outcome"] == "interrupted" and r["provider"] == "openai"
        assert r["model"] == slow.split("/", 1)[1] and r["stream"] and r["attempts"] == 1


def test_control_killed(up, mock):
    load = Load(up.port)
    for _ in range(2):
        load.until(200)
        kill(up, "control")
    load.until(200)
    load.stop()
    sums = check(up, mock)
    assert sums["interrupted"] == 0


def test_redis_killed(up, mock):
    """Append-only, everysec: what it forgets is sent again, also when no request comes any more."""
    load = Load(up.port)
    for _ in range(2):
        load.until(300)
        kill(up, "redis")
    load.until(300)
    load.stop()
    kill(up, "redis")
    sums = check(up, mock)
    time.sleep(3)  # whatever came twice would have come by now
    assert total(up) == sums and sums["interrupted"] == 0


def test_redis_forgets_its_tail(up, mock):
    """A machine crash with everysec: Redis comes back as it was seconds ago. No request comes any more, and still it is mended."""
    load = Load(up.port)
    load.until(200)
    files = next(up.data.rglob("appendonlydir"))
    shutil.copytree(files, up.dir / "older")
    load.until(300)
    load.stop()
    sums = settled(up, mock)
    up.process.signal(signal.SIGSTOP)  # so that Redis is not started again before its files are the older ones
    try:
        pid = up.child_pid("redis")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", 10, "Redis to be dead")
        shutil.rmtree(files)
        shutil.copytree(up.dir / "older", files)
    finally:
        up.process.signal(signal.SIGCONT)
    wait_for(lambda: up.child_pid("redis") != pid, 20, "redis to be started again")
    wait_for(lambda: total(up) == sums, 20, "the lost tail to be counted again")
    time.sleep(3)
    assert total(up) == sums
    check(up, mock)


def test_all_killed(up, mock):
    load = Load(up.port)
    load.until(300)
    for which in ("redis", "proxy", "control"):
        os.kill(up.child_pid(which), signal.SIGKILL)
    load.until(300)
    load.stop()
    check(up, mock)


def test_whole_machine_room_restarted(up, mock):
    """SIGTERM to everything with reports that nobody took; the next start delivers them."""
    load = Load(up.port)
    load.until(100)
    sluice.freeze(up.child_pid("control"))
    load.until(200)
    load.stop()
    os.kill(up.child_pid("control"), signal.SIGKILL)
    up.stop()
    up.start()
    sums = check(up, mock)
    assert sums["interrupted"] == 0


def test_failed_and_cancelled(up, mock):
    """Accounted as they were: every attempt of a failed request, what a client saw of a stream it left."""
    r = up.post("/ai/chat/completions", chat(FAILS), {"x-request-id": "failed-1"})
    assert r.status == 500
    failed = wait_for(lambda: (lambda r: r if r.status == 200 else None)(up.admin("GET", "/requests/failed-1")), 10, "the request").json()
    assert failed["status"] == 500 and failed["attempts"] == len(mock.log()) and failed["output_tokens"] == 0, failed
    assert failed["outcome"] != "" and not failed["interrupted"]
    c = http.client.HTTPConnection("127.0.0.1", up.port, timeout=20)
    c.request("POST", "/ai/chat/completions", json.dumps(chat("openai/tokens-1000+pace-20ms", stream=True)),
              {"content-type": "application/json", "x-request-id": "left-1"})
    a = c.getresponse()
    for _ in range(12):
        a.readline()
    a.close()
    c.close()
    left = wait_for(lambda: (lambda r: r if r.status == 200 else None)(up.admin("GET", "/requests/left-1")), 10, "the request").json()
    assert left["outcome"] == "client_gone" and left["estimated"] and 0 < left["output_tokens"] < 1000, left
    assert up.admin("GET", "/requests/never-1").status == 404
    assert [x["id"] for x in up.admin("GET", "/requests?status=5xx").json()["data"]] == ["failed-1"]
    assert [x["id"] for x in up.admin("GET", "/requests?outcome=client_gone").json()["data"]] == ["left-1"]


def test_groups_and_filters(up, mock):
    load = Load(up.port)
    load.until(60)
    load.stop()
    sums = check(up, mock)
    for bucket in ("hour", "day"):
        rows = usage(up, "model,tag", bucket=bucket)
        by = {}
        for r in rows:
            by[r["model"], r["tag"]] = by.get((r["model"], r["tag"]), 0) + r["requests"]
        plain, stream = PLAIN.split("/", 1)[1], STREAM.split("/", 1)[1]
        assert set(by) == {(plain, "red"), (plain, "blue"), (stream, "red")}
        assert by[plain, "red"] == by[plain, "blue"] and by[plain, "red"] + by[stream, "red"] == sums["requests"]
        assert sum(r["requests"] for r in usage(up, "provider,router", bucket=bucket)) == sums["requests"]
        assert sum(r["requests"] for r in usage(up, "total", bucket=bucket, model=plain)) == by[plain, "red"]
        assert usage(up, "total", bucket=bucket, model="nothing") == []
    for bad in ("group_by=key,key", "group_by=key,", "group_by=colour", "group_by=total,key"):
        assert up.admin("GET", f"/usage?{bad}").status == 422, bad
    page = up.admin("GET", "/requests?limit=7").json()
    assert len(page["data"]) == 7
    ids = [r["id"] for r in page["data"]]
    second = up.admin("GET", f"/requests?limit=7&cursor={page['next_cursor']}").json()
    assert len(second["data"]) == 7 and not set(ids) & {r["id"] for r in second["data"]}
    assert up.admin("GET", f"/requests/{ids[0]}").json() == page["data"][0]
    for bad in ("status=9xx", "status=abc", "from=yesterday", "interrupted=perhaps", "cursor=%2B", "limit=0"):
        assert up.admin("GET", f"/requests?{bad}").status == 422, bad


def test_recent_requests_that_cannot_be_read_are_passed_over(up, mock):
    """What an older or newer version, or somebody by hand, left in the stream."""
    load = Load(up.port)
    load.until(20)
    load.stop()
    settled(up, mock)
    good = up.admin("GET", "/requests?limit=5").json()["data"]
    assert len(good) == 5
    socket = json.loads(next(up.data.rglob("redis.json")).read_text())["socket"]
    for field, value in (("j", '{"id":"old"}'), ("r", ""), ("r", "\xff\xff\xff\xff"), ("r", "nonsense"), ("r", '{"id":"old"}')):
        subprocess.run(["redis-cli", "-s", socket, "XADD", "{sluice}:requests", "*", field, value], check=True, capture_output=True)
    assert up.admin("GET", "/requests?limit=5").json()["data"] == good
    assert up.admin("GET", "/requests/old").status == 404
