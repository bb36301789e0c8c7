#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a change of the admin API takes until it is in force on every proxy of this machine.

One Redis, one control plane (or more), some proxies, a mock. While sluice-bench sends requests at a fixed rate through
all proxies, a virtual key is disabled and enabled again 100 times a second, each time with ?wait=5s, which answers when
every live proxy has said that all its workers serve from that state. The time shown is from the first byte of the
request to the last of the answer: the commit in Redis, the delta, the workers, the acknowledgement, HTTP both ways.
The same without ?wait= shows what of it is the commit. After every 20th change the key is tried on each proxy at
once: 401 when it was disabled, 200 when it was enabled, or the run is void. So is it when one request of the load fails.

    tests/bench/propagation.py --bin build/release/bin [--changes 1000] [--rate 100] [--load 5000] [--proxies 3]
"""
import argparse
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default="build/release/bin")
    p.add_argument("--changes", type=int, default=1000)
    p.add_argument("--rate", type=float, default=100)
    p.add_argument("--load", type=int, default=5000, help="requests a second over all proxies together")
    p.add_argument("--proxies", type=int, default=3)
    p.add_argument("--controls", type=int, default=1)
    return p.parse_args()


class Admin:
    """One kept connection."""

    def __init__(self, control):
        self.control = control
        self.c = http.client.HTTPConnection("127.0.0.1", control.admin_port, timeout=10)

    def post(self, path):
        self.c.request("POST", f"/admin/v1{path}", headers={"authorization": f"Bearer {self.control.token}"})
        r = self.c.getresponse()
        return r.status, json.loads(r.read())


def change_all(o, cluster, key, wait):
    """Times in ms of `changes` changes at `rate` a second."""
    admin, times, late = Admin(cluster.controls[0]), [], 0
    start = time.monotonic()
    for i in range(o.changes):
        due = start + i / o.rate
        while time.monotonic() < due:
            time.sleep(max(0, due - time.monotonic() - 0.0002))
        late += time.monotonic() - due > 0.005
        began = time.monotonic()
        status, body = admin.post(f"/keys/{key['id']}/{'enable' if i % 2 else 'disable'}{'?wait=5s' if wait else ''}")
        times.append((time.monotonic() - began) * 1000)
        assert status == 200, (status, body)
        if wait:
            assert body["applied"]["applied"] == o.proxies, body
            if i % 20 in (0, 19):
                for p in cluster.proxies:
                    got = p.models(key["key"])
                    assert got == (200 if i % 2 else 401), f"{p.name}: {got} after change {i}"
    return sorted(times), late


def quantile(times, q):
    return times[min(len(times) - 1, int(len(times) * q))]


def load(o, bin, cluster, seconds):
    out = []
    for p in cluster.proxies:
        out.append(subprocess.Popen([str(bin / "sluice-bench"), "--target", f"127.0.0.1:{p.port}", "--path", "/ai/chat/completions",
                                     "--model", "openai/gpt-4o-mini", "--connections", "16", "--rate", str(o.load // o.proxies),
                                     "--warmup", "500ms", "--duration", f"{seconds:.0f}s", "--pid", str(p.process.pid)],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return out


def main():
    o = options()
    bin = pathlib.Path(o.bin).resolve()
    os.environ["SLUICE_BIN"] = str(bin)
    sys.path.insert(0, str(HERE.parent / "integration"))
    import sluice
    with tempfile.TemporaryDirectory(prefix="sluice-propagation") as d:
        mock = sluice.Mock(d)
        cluster = sluice.Cluster(d, mock, controls=o.controls, proxies=o.proxies)
        try:
            key = cluster.controls[0].admin("POST", "/keys?wait=5s", {"name": "propagation"}).json()
            seconds = 2 * o.changes / o.rate + 8
            loads = load(o, bin, cluster, seconds)
            sluice.wait_for(lambda: len(mock.log(limit=10)) > 0, 10, "the load to run")
            time.sleep(1)  # the generator's own warm-up
            commit, _ = change_all(o, cluster, key, False)
            force, late = change_all(o, cluster, key, True)
            results = [json.loads(l.communicate(timeout=60)[0]) for l in loads]
        finally:
            cluster.stop()
            mock.stop()
    bad = sum(sum(r["errors"].values()) for r in results)
    print(json.dumps({"changes": o.changes, "rate": o.rate, "load": sum(r["rps"] for r in results), "failed_requests": bad,
                      "in_force_ms": {"p50": round(quantile(force, .5), 2), "p99": round(quantile(force, .99), 2), "max": round(force[-1], 2)},
                      "commit_ms": {"p50": round(quantile(commit, .5), 2), "p99": round(quantile(commit, .99), 2)},
                      "late": late, "proxies": o.proxies, "controls": o.controls}, indent=1))
    if bad:
        sys.exit("requests failed: the run is void")


if __name__ == "__main__":
    main()
