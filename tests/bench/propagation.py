#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a change takes until it is in force on every proxy of this machine, and what it costs them.

In force. One Redis, one control plane (or more), some proxies, a mock. While sluice-bench sends requests at a fixed rate through
all proxies, a virtual key is disabled and enabled again 100 times a second, each time with ?wait=5s, which answers when
every live proxy has said that all its workers serve from that state. The time shown is from the first byte of the
request to the last of the answer: the commit in Redis, the delta, the workers, the acknowledgement, HTTP both ways.
The same without ?wait= shows what of it is the commit. After every 20th change the key is tried on each proxy at
once: 401 when it was disabled, 200 when it was enabled, or the run is void.

Whole. Then the same again, while the configuration file is changed some 20 times a second: a router's target from `left` to `right` or back,
and at the same time a header of both providers from an even number to an odd one or back. Requests to that router go through all
proxies; each that reaches a provider says by its port and its header from which state it was served. Even at the right or odd at
the left is a half-applied configuration, and the run is void. So is it when one request of any load fails.

Scale (--scale, or --keys and --routers). So many virtual keys and routers; then resident memory of each proxy, and the
longest turn of a worker's loop in each second (sluice_loop_lag_seconds): undisturbed, under changes, and while whole snapshots
are taken in. For these a proxy's connection to the control plane is broken under a change, so that it has a gap to mend.
A turn is long as well when the system lets somebody else run: compare with `undisturbed`. What the changes themselves
cost a worker (`taken`) is the time that it ran to take each over (sluice_config_taken_seconds); it waits for nobody there.

    tests/bench/propagation.py --bin build/release/bin [--changes 1000] [--rate 100] [--load 5000] [--proxies 3] [--scale]
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROUTER = """\
  r{i}:
    load-balance:
      chat: {{strategy: latency, providers: [openai, anthropic, gemini]}}
"""


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default="build/release/bin")
    p.add_argument("--changes", type=int, default=1000)
    p.add_argument("--rate", type=float, default=100)
    p.add_argument("--load", type=int, default=5000, help="requests a second over all proxies together")
    p.add_argument("--flips", type=float, default=20, help="changes of the configuration file a second; 0: none")
    p.add_argument("--flip-load", type=int, default=300, help="of the load: requests a second to the router that changes")
    p.add_argument("--proxies", type=int, default=3)
    p.add_argument("--controls", type=int, default=1)
    p.add_argument("--scale", action="store_true", help="100,000 keys and 5,000 routers")
    p.add_argument("--keys", type=int, default=0)
    p.add_argument("--routers", type=int, default=0)
    p.add_argument("--snapshots", type=int, default=5, help="whole snapshots taken in by each proxy, with --keys")
    o = p.parse_args()
    if o.scale:
        o.keys, o.routers = o.keys or 100000, o.routers or 5000
    return o


class Admin:
    """One kept connection."""

    def __init__(self, control):
        self.control = control
        self.c = http.client.HTTPConnection("127.0.0.1", control.admin_port, timeout=10)

    def post(self, path, body=None):
        headers = {"authorization": f"Bearer {self.control.token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        self.c.request("POST", f"/admin/v1{path}", json.dumps(body) if body is not None else None, headers)
        r = self.c.getresponse()
        return r.status, json.loads(r.read())


def change_all(o, cluster, key, wait):
    """Times in ms of `changes` changes at `rate` a second, and how many began more than 5 ms late."""
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


def load(bin, cluster, rate, seconds, path, model, connections):
    """At this rate over all proxies together; one generator each."""
    out = []
    for p in cluster.proxies:
        out.append(subprocess.Popen([str(bin / "sluice-bench"), "--target", f"127.0.0.1:{p.port}", "--path", path, "--model", model,
                                     "--connections", str(connections), "--rate", str(max(1, rate // len(cluster.proxies))),
                                     "--warmup", "500ms", "--duration", f"{seconds:.0f}s", "--pid", str(p.process.pid)],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return out


def results_of(loads, seconds):
    out = []
    for l in loads:
        text, trouble = l.communicate(timeout=seconds + 60)
        assert l.returncode == 0, trouble
        out.append(json.loads(text))
    return out


class Flips:
    """The file is changed over and over; `control` is told by SIGHUP and says in its log when it is in force there."""

    def __init__(self, sluice, rate, ports):
        self.sluice, self.rate, self.ports, self.n = sluice, rate, ports, 0
        self.done, self.thread, self.trouble = threading.Event(), None, None

    def config(self):
        side = ("left", "right")[self.n % 2]
        providers = "".join(f"  {name}:\n    base-url: http://127.0.0.1:{port}/v1/\n    headers: {{x-generation: \"{self.n}\"}}\n"
                            for name, port in zip(("left", "right"), self.ports))
        return f"{self.sluice.PLAIN}  flip:\n    load-balance:\n      chat: {{strategy: priority, providers: [{side}/tokens-1]}}\nproviders:\n{providers}"

    def begin(self, control):
        self.thread = threading.Thread(target=self.run, args=(control,))
        self.thread.start()

    def run(self, control):
        at = control.process.log.stat().st_size
        new = control.config.with_suffix(".new")
        try:
            with open(control.process.log, "rb") as log:
                log.seek(at)
                while not self.done.is_set():
                    due = time.monotonic() + 1 / self.rate
                    self.n += 1
                    new.write_text(self.config())
                    new.rename(control.config)
                    control.process.signal(signal.SIGHUP)
                    seen = b""
                    end = time.monotonic() + 10
                    while b"config.applied" not in seen:
                        assert b"config.refused" not in seen and time.monotonic() < end, seen
                        seen += log.read()
                        time.sleep(0.001)
                    self.done.wait(max(0, due - time.monotonic()))
        except AssertionError as e:
            self.trouble = e

    def end(self):
        self.done.set()
        self.thread.join()
        assert self.trouble is None, self.trouble

    def judge(self, file):
        """Attempts looked at, and those of a half-applied state."""
        looked, mixed, generations = 0, [], set()
        for line in file.read_text().splitlines():
            a = json.loads(line)
            if a["method"] != "POST":
                continue  # the control plane's probes
            generation = {k.lower(): v for k, v in dict(a["headers"]).items()}["x-generation"]
            looked += 1
            generations.add(generation)
            if a["port"] != self.ports[int(generation) % 2]:
                mixed.append(a)
        return looked, len(generations), mixed


def in_force(o, bin, sluice, dir):
    mock = sluice.Mock(dir)
    (dir / "sides").mkdir()
    sides = sluice.Mock(dir / "sides", 2, ["--log", dir / "sides.log", "--log-keep", "0", "--body-keep", "0"])
    flips = Flips(sluice, o.flips, sides.ports)
    cluster = sluice.Cluster(dir, mock, controls=o.controls, proxies=o.proxies, config=flips.config() if o.flips else sluice.PLAIN)
    try:
        key = cluster.controls[0].admin("POST", "/keys?wait=5s", {"name": "propagation"}).json()
        seconds = (3 if o.flips else 2) * o.changes / o.rate + 8
        loads = load(bin, cluster, o.load - o.flip_load * bool(o.flips), seconds, "/ai/chat/completions", "openai/gpt-4o-mini", 16)
        if o.flips:
            loads += load(bin, cluster, o.flip_load, seconds, "/router/flip/chat/completions", "openai/gpt-4o-mini", 4)
        sluice.wait_for(lambda: len(mock.log(limit=10)) > 0, 10, "the load to run")
        time.sleep(1)  # the generator's own warm-up
        commit, _ = change_all(o, cluster, key, False)
        force, late = change_all(o, cluster, key, True)
        if o.flips:
            flips.begin(cluster.controls[0])
            beside, _ = change_all(o, cluster, key, True)
            flips.end()
        results = results_of(loads, seconds)
    finally:
        flips.done.set()
        cluster.stop()
        mock.stop()
        sides.stop()
    bad = sum(sum(r["errors"].values()) for r in results)
    out = {"changes": o.changes, "rate": o.rate, "load": sum(r["rps"] for r in results), "failed_requests": bad,
           "in_force_ms": {"p50": round(quantile(force, .5), 2), "p99": round(quantile(force, .99), 2), "max": round(force[-1], 2)},
           "commit_ms": {"p50": round(quantile(commit, .5), 2), "p99": round(quantile(commit, .99), 2)},
           "late": late, "proxies": o.proxies, "controls": o.controls}
    mixed = []
    if o.flips:
        out["in_force_beside_files_ms"] = {"p50": round(quantile(beside, .5), 2), "p99": round(quantile(beside, .99), 2)}
        looked, generations, mixed = flips.judge(dir / "sides.log")
        out["files_applied"], out["states_seen"], out["requests_looked_at"], out["half_applied"] = flips.n, generations, looked, len(mixed)
    return out, bad, mixed


# --- scale ----------------------------------------------------------------------------------------


class Turns:
    """Longest turns of workers, each of a second, and what changes cost them, as the metrics' steps tell them."""

    def __init__(self, cluster, sluice):
        self.cluster, self.sluice, self.before = cluster, sluice, None
        self.before = self.read()

    def read(self):
        out = {"loop_lag": {}, "config_taken": {}}
        for p in self.cluster.proxies:
            for line in self.sluice.request(p.ops_port, "GET", "/metrics").body.decode().splitlines():
                for name, steps in out.items():
                    if line.startswith(f"sluice_{name}_seconds_bucket"):
                        le = float(line.split('le="')[1].split('"')[0].replace("+Inf", "inf"))
                        steps[le] = steps.get(le, 0) + float(line.rsplit(" ", 1)[1])
        return out

    def since(self):
        now = self.read()
        lag, taken = (self.steps(now[name], self.before[name]) for name in ("loop_lag", "config_taken"))
        self.before = now
        lag["worker_seconds"] = lag.pop("n")
        return {**lag, "taken": taken}

    def steps(self, now, before):
        last, out = 0.0, {"n": 0, "over_1_ms": 0, "over_5_ms": 0, "longest_up_to_ms": 0}
        for le in sorted(now):
            here = now[le] - before.get(le, 0) - last
            last += here
            out["n"] += int(here)
            out["over_1_ms"] += int(here) if le > 0.001 else 0
            out["over_5_ms"] += int(here) if le > 0.005 else 0
            if here > 0:
                out["longest_up_to_ms"] = le * 1000 if le != float("inf") else "over 100"
        return out


def make_keys(o, cluster):
    """Over eight connections: some thousands a second."""
    def some(i):
        admin = Admin(cluster.controls[0])
        for n in range(i, o.keys, 8):
            status, body = admin.post("/keys", {"name": f"key-{n}"})
            assert status == 201, body
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(some, range(8)))


def resident(cluster):
    return [int(pathlib.Path(f"/proc/{p.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6 for p in cluster.proxies]


def at_scale(o, bin, sluice, dir):
    from relay import Relay
    mock = sluice.Mock(dir)
    cluster = sluice.Cluster(dir, mock, controls=1, proxies=0, config=sluice.PLAIN + "".join(ROUTER.format(i=i) for i in range(o.routers)))
    relay = None
    try:
        admin = Admin(cluster.controls[0])
        began = time.monotonic()
        make_keys(o, cluster)
        made = time.monotonic() - began
        relay = Relay(cluster.controls[0].port)
        starts = []
        for i in range(o.proxies):
            began = time.monotonic()
            cluster.proxies.append(sluice.Proxy(dir, f"proxy{i}", [relay.endpoint], cluster.keys))
            starts.append(round((time.monotonic() - began) * 1000))
        key = cluster.controls[0].admin("POST", "/keys?wait=30s", {"name": "propagation"}).json()
        out = {"keys": o.keys, "routers": o.routers, "keys_made_per_s": round(o.keys / made), "start_ms": starts,
               "rss_mb": [round(m, 1) for m in resident(cluster)]}
        quiet = max(3, o.changes / o.rate)
        seconds = 3 * quiet + 4 * o.snapshots + 10
        loads = load(bin, cluster, min(o.load, 600), seconds, "/ai/chat/completions", "openai/gpt-4o-mini", 4)
        sluice.wait_for(lambda: len(mock.log(limit=10)) > 0, 10, "the load to run")
        time.sleep(1)
        turns = Turns(cluster, sluice)
        time.sleep(quiet)
        out["undisturbed"] = turns.since()
        force, _ = change_all(o, cluster, key, True)
        out["in_force_ms"] = {"p50": round(quantile(force, .5), 2), "p99": round(quantile(force, .99), 2)}
        out["under_changes"] = turns.since()
        took = []
        for _ in range(o.snapshots):
            relay.open = False
            relay.drop()
            assert admin.post(f"/keys/{key['id']}/disable")[0] == 200
            assert admin.post(f"/keys/{key['id']}/enable")[0] == 200
            seq = admin.post(f"/keys/{key['id']}/enable")[1]["seq"]
            relay.open = True
            began = time.monotonic()
            sluice.wait_for(lambda: all(p.metric("sluice_config_seq") >= seq for p in cluster.proxies), 30, "the snapshot")
            took.append(round((time.monotonic() - began) * 1000))
        time.sleep(1.2)  # the last second's turn is told
        out["under_snapshots"], out["snapshots_ms"] = turns.since(), took
        out["snapshots_taken"] = sum(p.process.text().count("link.synced") for p in cluster.proxies)
        out["rss_after_mb"] = [round(m, 1) for m in resident(cluster)]
        results = results_of(loads, seconds)
    finally:
        cluster.stop()
        mock.stop()
        if relay:
            relay.stop()
    bad = sum(sum(r["errors"].values()) for r in results)
    out["failed_requests"] = bad
    return out, bad


def main():
    o = options()
    bin = pathlib.Path(o.bin).resolve()
    os.environ["SLUICE_BIN"] = str(bin)
    sys.path.insert(0, str(HERE.parent / "integration"))
    import sluice
    with tempfile.TemporaryDirectory(prefix="sluice-propagation") as d:
        out, bad, mixed = in_force(o, bin, sluice, pathlib.Path(d))
        print(json.dumps(out, indent=1), flush=True)
    if o.keys:
        with tempfile.TemporaryDirectory(prefix="sluice-propagation") as d:
            out, more = at_scale(o, bin, sluice, pathlib.Path(d))
            bad += more
            print(json.dumps(out, indent=1))
    if mixed:
        sys.exit(f"half-applied configurations: the run is void: {mixed[:3]}")
    if bad:
        sys.exit("requests failed: the run is void")


if __name__ == "__main__":
    main()
