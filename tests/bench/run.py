#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark suite: the same load through nothing (direct), nginx and Sluice, interleaved.

    make bench                                  everything, about half an hour
    tests/bench/run.py --quick                  two minutes, rough
    tests/bench/run.py --only 'json-*,mixed-1000' --targets direct,nginx

Layout of the machine: the proxy under test alone on one core, mock and load generator on another, Redis and
control plane wherever the system puts them outside the proxy's core. Each round runs every target once, so
that a noisy minute hits all of them; medians over the rounds are reported, and ratios of those. See
docs/benchmarks.md for how to read them. Python's standard library only.
"""
import argparse
import fnmatch
import http.client
import json
import os
import pathlib
import platform
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
TARGETS = ("direct", "nginx", "sluice", "sluice-bare")
KEY = "sk-bench-0123456789"


class Skip(Exception):
    """Why a target cannot take part."""


# --- scenarios ------------------------------------------------------------------------------------


class Scenario:
    """One load. `load`: arguments of sluice-bench; `shows`: which columns make sense."""

    def __init__(self, name, what, load, shows, targets=TARGETS, seconds=3, quick=False, fds=0):
        self.name, self.what, self.load, self.shows = name, what, load, shows
        self.targets, self.seconds, self.quick, self.fds = targets, seconds, quick, fds


def scenarios():
    out = []
    for c in (1, 32, 256):
        out.append(Scenario(f"json-c{c}", f"closed loop, {c} connections, 1 KB body",
                            ["--connections", c], "closed", quick=c == 32))
    for rate in (1000, 5000):
        out.append(Scenario(f"open-{rate}", f"open loop, {rate} requests/s, 64 connections",
                            ["--connections", 64, "--rate", rate], "open", seconds=5, quick=rate == 1000))
    for label, size in (("200b", 200), ("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)):
        out.append(Scenario(f"body-{label}", f"closed loop, 32 connections, {label} body",
                            ["--connections", 32, "--body-size", size], "closed", quick=label == "100k"))
    out.append(Scenario("stream-c32", "closed loop, 32 connections, whole streams of 40 events",
                        ["--connections", 32, "--stream"], "closed", quick=True))
    out.append(Scenario("streams-1000", "1,000 open streams, 20 events/s each",
                        ["--connections", 0, "--streams", 1000, "--stream-model", "stamp+pace-50ms+tokens-100000000"],
                        "chunks", seconds=5, fds=2200))
    out.append(Scenario("streams-9000", "9,000 open streams, 1 event/s each",
                        ["--connections", 0, "--streams", 9000, "--stream-model", "stamp+pace-1s+tokens-100000000"],
                        "chunks", seconds=5, fds=18200))
    out.append(Scenario("streams-200", "200 open streams, 20 events/s each",
                        ["--connections", 0, "--streams", 200, "--stream-model", "stamp+pace-50ms+tokens-100000000"],
                        "chunks", quick=True, fds=600))
    for n, fds in ((1000, 2400), (9000, 18400)):
        out.append(Scenario(f"mixed-{n}", f"closed loop, 64 connections, beside {n} open streams (1 event/s)",
                            ["--connections", 64, "--streams", n, "--stream-model", "stamp+pace-1s+tokens-100000000"],
                            "closed", fds=fds))
    return out


# --- processes ------------------------------------------------------------------------------------


def pinned(core, args):
    args = [str(a) for a in args]
    return ["taskset", "-c", str(core), *args] if core is not None else args


def wait_for(fact, seconds, what):
    end = time.monotonic() + seconds
    while True:
        try:
            value = fact()
            if value:
                return value
        except (OSError, ValueError, http.client.HTTPException):
            pass
        if time.monotonic() > end:
            raise Skip(f"waited {seconds} s in vain for {what}")
        time.sleep(0.002)


def stop(process):
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port():
    """None that the kernel may give to an outgoing connection before nginx listens there."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10000, low)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def request(port, method, path, body=None, headers=None, timeout=10):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


class Mock:
    def __init__(self, o, directory):
        ready = directory / "mock.ready"
        self.process = subprocess.Popen(
            pinned(o.load_core, [o.bin / "sluice-mock", "--port", "0", "--log-keep", "0", "--ready-file", ready]))
        self.port = wait_for(lambda: json.loads(ready.read_text()), 10, "the mock")["ports"][0]

    def stop(self):
        stop(self.process)


class Direct:
    """The generator talks to the mock: what everything else is compared to."""
    name = "direct"

    def __init__(self, o, mock, directory):
        self.port, self.path, self.headers, self.model, self.pids = mock.port, "/v1/chat/completions", [], "", []
        self.startup_ms = None

    def stop(self):
        pass


NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.error.log error;
worker_rlimit_nofile {files};
events {{ worker_connections 65536; multi_accept on; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_max_body_size 64m; client_body_buffer_size 4m;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream mock {{ server 127.0.0.1:{mock}; keepalive 16384; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {key}";
      proxy_buffering off; proxy_read_timeout 1h; proxy_send_timeout 1h;
    }}
  }}
}}
"""


class Nginx:
    name = "nginx"

    def __init__(self, o, mock, directory):
        binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise Skip("nginx is not installed (apt-get install nginx-light)")
        self.port = free_port()
        directory = directory / "nginx"
        directory.mkdir()
        conf = directory / "nginx.conf"
        conf.write_text(NGINX.format(dir=directory, mock=mock.port, port=self.port, key=KEY,
                                    files=resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        start = time.monotonic()
        self.process = subprocess.Popen(pinned(o.proxy_core, [binary, "-p", directory, "-e", directory / "early.log", "-c", conf]))
        wait_for(lambda: request(self.port, "GET", "/v1/models/a")[0] == 200, 10, "nginx")
        self.startup_ms = (time.monotonic() - start) * 1000
        self.path, self.headers, self.model = "/v1/chat/completions", [], ""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pids = [int(p) for p in children] or [self.process.pid]

    def stop(self):
        stop(self.process)


# Authentication by virtual key, a limit that is counted but never reached, metrics: what a team would run.
SLUICE_FULL = """
auth: {mode: required}
logging: {access: false}
routers:
  bench:
    load-balance: {chat: {strategy: latency, providers: [openai]}}
    rate-limit: {per-api-key: {capacity: 1000000000, refill-frequency: 1m}}
"""
SLUICE_BARE = """
auth: {mode: "off"}
logging: {access: false}
routers:
  bench:
    load-balance: {chat: {strategy: latency, providers: [openai]}}
"""


def start_sluice(o, config, mock, directory):
    """Starts `sluice up` on a fresh data directory. Returns (process, ready file's content, data directory)."""
    data, ready, conf = directory / "data", directory / "ready", directory / "config.yaml"
    conf.write_text(config)
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("SLUICE__")}
    env["OPENAI_API_KEY"] = KEY
    env["SLUICE__PROVIDERS__OPENAI__BASE_URL"] = f"http://127.0.0.1:{mock.port}/v1/"
    log = open(directory / "sluice.log", "ab")
    process = subprocess.Popen(
        pinned(o.load_core, [o.bin / "sluice", "up", "-c", conf, "--data-dir", data, "--port", "0", "--admin-port", "0",
                             "--ops-port", "0", "--workers", "1", "--ready-file", ready, *o.up_args]),
        env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def look():
        if process.poll() is not None:
            raise Skip(f"sluice up ended with {process.returncode}: {(directory / 'sluice.log').read_text()[-600:]}")
        return json.loads(ready.read_text())
    try:
        return process, wait_for(look, 30, "sluice up"), data
    except Skip:
        stop(process)
        raise


class Sluice:
    name, config, wants_key = "sluice", SLUICE_FULL, True

    def __init__(self, o, mock, directory):
        if not (o.bin / "sluice").exists():
            raise Skip(f"no sluice in {o.bin}")
        directory = directory / self.name
        directory.mkdir()
        start = time.monotonic()
        self.process, info, self.data = start_sluice(o, self.config, mock, directory)
        try:
            self.set_up(o, info)
        except BaseException:
            stop(self.process)
            raise
        self.startup_ms = (self.ready - start) * 1000

    def set_up(self, o, info):
        self.port, self.admin_port = info["port"], info["admin_port"]
        self.path, self.model, self.headers = "/router/bench/chat/completions", "openai/", []
        self.pids = [int((self.data / "run/proxy.pid").read_text())]
        wait_for(lambda: request(self.port, "GET", "/healthz")[0] == 200, 10, "the proxy")
        self.ready = time.monotonic()
        if o.proxy_core is not None:
            subprocess.run(["taskset", "-a", "-c", "-p", str(o.proxy_core), str(self.pids[0])],
                           check=True, stdout=subprocess.DEVNULL)
        if self.wants_key:
            self.headers = [f"authorization: Bearer {self.new_key()}"]
        wait_for(lambda: self.call(self.headers) == 200, 10, f"a first answer of {self.name}")

    def admin(self, method, path, body=None):
        token = (self.data / "admin-token").read_text().strip()
        status, answer = request(self.admin_port, method, "/admin/v1" + path, json.dumps(body),
                                 {"authorization": f"Bearer {token}", "content-type": "application/json"})
        if status not in (200, 201):
            raise Skip(f"admin API: {method} {path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)

    def new_key(self):
        return self.admin("POST", "/keys?wait=5s", {"name": "bench"})["key"]

    def call(self, headers):
        h = dict(x.split(": ", 1) for x in headers)
        h["content-type"] = "application/json"
        return request(self.port, "POST", self.path, '{"model":"openai/gpt","messages":[{"role":"user","content":"hi"}]}', h)[0]

    def propagation_ms(self, n):
        """From the admin API's answer to the first request that the new key gets through."""
        out = []
        for _ in range(n):
            key = self.admin("POST", "/keys", {"name": "propagation"})["key"]
            start = time.monotonic()
            wait_for(lambda: self.call([f"authorization: Bearer {key}"]) == 200, 10, "a new key in force")
            out.append((time.monotonic() - start) * 1000)
        return out

    def stop(self):
        stop(self.process)


class SluiceBare(Sluice):
    name, config, wants_key = "sluice-bare", SLUICE_BARE, False


MAKERS = {c.name: c for c in (Direct, Nginx, Sluice, SluiceBare)}


# --- running --------------------------------------------------------------------------------------


def run_load(o, target, scenario):
    args, models = [], {"--stream-model"}
    previous = None
    for a in scenario.load:
        args.append(target.model + a if previous in models else a)
        previous = a
    if "--stream" in scenario.load:
        args += ["--model", target.model + "tokens-40"]
    else:
        args += ["--model", target.model + "gpt"]
    for h in target.headers:
        args += ["--header", h]
    if target.pids:
        args += ["--pid", ",".join(str(p) for p in target.pids)]
    seconds = o.seconds or (1 if o.quick else scenario.seconds)
    r = subprocess.run(pinned(o.load_core, [o.bin / "sluice-bench", "--target", f"127.0.0.1:{target.port}", "--path", target.path,
                                            "--unique", "--duration", f"{seconds}s", *args]),
                       capture_output=True, text=True, timeout=seconds + 120, check=False)
    if r.returncode != 0:
        raise Skip(r.stderr.strip() or f"sluice-bench ended with {r.returncode}")
    return json.loads(r.stdout)


def rest(o):
    """Connections of the last run close; the next one starts from quiet."""
    time.sleep(0.3 if o.quick else 1.0)


def measure(o, targets, scenario, rounds, notes):
    runs = {}
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if scenario.fds > limit:
        notes.append(f"{scenario.name}: needs {scenario.fds} open files, the limit is {limit}; left out.")
        return runs
    for i in range(rounds):
        for t in targets:
            if t.name not in scenario.targets:
                continue
            try:
                result = run_load(o, t, scenario)
            except Skip as e:
                notes.append(f"{scenario.name}, {t.name}: {e}")
                continue
            runs.setdefault(t.name, []).append(result)
            bad = {k: v for k, v in result["errors"].items() if v}
            if bad:
                notes.append(f"{scenario.name}, {t.name}, round {i + 1}: errors {bad}")
            print(f"  {scenario.name:14} {t.name:12} {brief(scenario, result)}", file=sys.stderr, flush=True)
            rest(o)
    return runs


def brief(scenario, r):
    cpu = r["processes"][0] if r["processes"] else {}
    if scenario.shows == "chunks":
        return f"{r['chunks_per_s']:9.0f} chunks/s  p50 {r['chunk_us']['p50']:6d} us  {cpu.get('us_per_chunk', 0):6.1f} us CPU"
    return f"{r['rps']:9.0f} req/s  p50 {r['latency_us']['p50']:6d} us  {cpu.get('us_per_request', 0):6.1f} us CPU"


def summarise(scenario, runs, idle_mb):
    """Medians over the rounds for each target. idle_mb: resident memory of each right after its start."""
    out = {}
    for name, rs in runs.items():
        def med(get, rs=rs):
            return statistics.median(get(r) for r in rs)

        row = {"rounds": len(rs), "rps": med(lambda r: r["rps"]), "chunks_per_s": med(lambda r: r["chunks_per_s"])}
        for key in ("latency_us", "first_byte_us", "chunk_us"):
            row[key] = {q: med(lambda r, key=key, q=q: r[key][q]) for q in ("p50", "p99", "p999")}
        if rs[0]["processes"]:
            def total(r, field):
                return sum(p[field] for p in r["processes"])

            row["cpu_us_per_request"] = med(lambda r: total(r, "us_per_request"))
            row["cpu_us_per_chunk"] = med(lambda r: total(r, "us_per_chunk"))
            row["cpu_share"] = med(lambda r: (total(r, "user_us") + total(r, "system_us")) / r["seconds"] / 1e6)
            row["rss_loaded_kb"] = med(lambda r: total(r, "rss_after_kb"))
            if scenario.shows == "chunks":
                # Against the start: allocators keep what earlier loads needed, so this is an upper bound.
                row["rss_kb_per_stream"] = (row["rss_loaded_kb"] - idle_mb[name] * 1000 / 1.024) / rs[0]["streams"]
        out[name] = row
    base, nginx = out.get("direct"), out.get("nginx")
    for name, row in out.items():
        if base and name != "direct":
            for key in ("latency_us", "chunk_us"):
                row["added_" + key] = {q: row[key][q] - base[key][q] for q in ("p50", "p99", "p999")}
        if nginx and name not in ("direct", "nginx"):
            row["x_nginx"] = {k: row[k] / nginx[k] for k in ("rps", "cpu_us_per_request", "cpu_us_per_chunk") if nginx.get(k)}
            if row["cpu_us_per_request"] and nginx.get("cpu_us_per_request"):
                # Requests per second of CPU: not blurred by who had to wait for the generator.
                row["x_nginx"]["per_cpu_second"] = nginx["cpu_us_per_request"] / row["cpu_us_per_request"]
    return out


# --- report ---------------------------------------------------------------------------------------


def number(v, digits=0):
    return "" if v is None else f"{v:,.{digits}f}"


def ratio(row, key):
    v = row.get("x_nginx", {}).get(key)
    return "" if v is None else f"{v:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def table_of(shows, results):
    rows = []
    for s, summary in results:
        if s.shows != shows:
            continue
        for name in TARGETS:
            row = summary.get(name)
            if row is None:
                continue
            added = row.get("added_chunk_us" if shows == "chunks" else "added_latency_us", {})
            q = row["chunk_us" if shows == "chunks" else "latency_us"]
            times = [f"{number(q[p])}" + (f" (+{number(max(0, added[p]))})" if added else "") for p in ("p50", "p99", "p999")]
            if shows == "chunks":
                rows.append([s.what, name, number(row["chunks_per_s"]), *times, number(row.get("cpu_us_per_chunk"), 1),
                             ratio(row, "cpu_us_per_chunk"), number(row.get("rss_kb_per_stream"), 1)])
            else:
                rows.append([s.what, name, number(row["rps"]), ratio(row, "rps"), *times, number(row.get("cpu_us_per_request"), 1),
                             ratio(row, "per_cpu_second"), number(row.get("rss_loaded_kb", 0) / 1024, 1) if "rss_loaded_kb" in row else ""])
    if not rows:
        return None
    last, shown = None, []
    for r in rows:  # the scenario's words once
        shown.append(["" if r[0] == last else r[0], *r[1:]])
        last = r[0]
    if shows == "chunks":
        return table(["scenario", "target", "events/s", "P50 us (added)", "P99", "P99.9", "CPU us/event", "x nginx", "KB/stream"], shown)
    return table(["scenario", "target", "req/s", "x nginx", "P50 us (added)", "P99", "P99.9", "CPU us/req", "req/CPU s x nginx", "RSS MB"], shown)


def machine():
    model = ""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "date": time.strftime("%Y-%m-%d"),
            "commit": commit.stdout.strip()}


def markdown(report, results):
    m = report["machine"]
    out = [f"{m['date']}, commit {m['commit']}, {m['cores']} cores of {m['cpu'] or 'an unknown CPU'}, Linux {m['kernel']}; "
           f"{report['rounds']} interleaved round(s), medians.", ""]
    for shows, title in (("closed", "Closed loop"), ("open", "Open loop (latency counts from when the request was due)"),
                         ("chunks", "Open streams")):
        text = table_of(shows, results)
        if text:
            out += [f"### {title}", "", text, ""]
    rows = [[k, *[number(v.get(c), 1) for c in ("startup_ms", "rss_idle_mb", "propagation_p50_ms", "propagation_p99_ms")]]
            for k, v in report["startup"].items()]
    if rows:
        out += ["### Start, memory, propagation", "",
                table(["target", "start to first answer ms", "RSS idle MB", "new key in force P50 ms", "P99 ms"], rows), ""]
    if report["translation"]:
        out += ["### Translation (CPU time of a request and its answer, each of about that size; and of one event of a stream)", "",
                translation_table(report), ""]
    if report["notes"]:
        out += ["Notes:", ""] + [f"- {n}" for n in report["notes"]] + [""]
    return "\n".join(out)


def update_docs(text):
    path = ROOT / "docs/benchmarks.md"
    page = path.read_text()
    head, _, rest_ = page.partition(BEGIN)
    _, _, tail = rest_.partition(END)
    path.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")


def rss_mb(pids):
    total = 0
    for pid in pids:
        total += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return total / 1e6


def options():
    p = argparse.ArgumentParser(description="direct, nginx and Sluice under the same loads, interleaved")
    p.add_argument("--quick", action="store_true", help="one short round of a few scenarios")
    p.add_argument("--only", default="", help="scenarios, comma-separated patterns")
    p.add_argument("--targets", default=",".join(TARGETS))
    p.add_argument("--rounds", type=int, help="default 3, quick 1")
    p.add_argument("--seconds", type=float, help="length of every run")
    p.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    p.add_argument("--proxy-core", type=int, default=0)
    p.add_argument("--load-core", type=int, default=1)
    p.add_argument("--up-args", nargs="*", default=[], help="more arguments for sluice up")
    p.add_argument("--json", type=pathlib.Path, help="write the figures there (default build/bench.json)")
    p.add_argument("--update-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    p.add_argument("--list", action="store_true")
    return p.parse_args()


def start_targets(o, mock, directory, report):
    targets = []
    for name in o.targets.split(","):
        if name not in MAKERS:
            sys.exit(f"run.py: no target {name}; there are {', '.join(TARGETS)}")
        try:
            t = MAKERS[name](o, mock, directory)
        except Skip as e:
            report["notes"].append(f"{name} left out: {e}")
            print(f"run.py: {name} left out: {e}", file=sys.stderr)
            continue
        targets.append(t)
        if t.pids:
            report["startup"][name] = {"startup_ms": t.startup_ms, "rss_idle_mb": rss_mb(t.pids)}
    return targets


def choose(o):
    patterns = [p for p in o.only.split(",") if p]
    chosen = [s for s in scenarios() if (any(fnmatch.fnmatch(s.name, p) for p in patterns) if patterns else (s.quick or not o.quick))]
    if not patterns and not o.quick:
        chosen = [s for s in chosen if s.name != "streams-200"]
    if not chosen:
        sys.exit(f"run.py: nothing matches {o.only}")
    return chosen


def measure_propagation(targets, report, quick):
    for t in targets:
        if t.name == "sluice":
            try:
                ms = sorted(t.propagation_ms(5 if quick else 50))
            except Skip as e:
                report["notes"].append(f"propagation: {e}")
                continue
            report["startup"][t.name].update(propagation_p50_ms=statistics.median(ms),
                                             propagation_p99_ms=ms[min(len(ms) - 1, int(len(ms) * 0.99))])


def measure_translation(o, report):
    """CPU time of translating, by bench_translate: {pair: {size or "event": microseconds}}."""
    seconds = "0.05" if o.quick else "0.5"
    pin = [] if o.proxy_core is None else ["taskset", "-c", str(o.proxy_core)]
    r = subprocess.run([*pin, str(o.bin / "bench_translate"), seconds], capture_output=True, text=True, check=True)
    for line in r.stdout.splitlines():
        pair, what, us = line.split()
        report["translation"].setdefault(pair, {})[what] = float(us)


def translation_table(report):
    sizes = ("300", "10000", "100000", "1000000", "event")
    rows = [[pair.replace("->", " to ").replace("=", " passed to "), *[number(v.get(k), 2) for k in sizes]]
            for pair, v in report["translation"].items()]
    return table(["client to provider", "1 KB us", "10 KB", "100 KB", "1 MB", "an event us"], rows)


def check_cores(o, report):
    if shutil.which("taskset") is None:
        report["notes"].append("taskset is not installed (util-linux): nothing was pinned.")
    elif (os.cpu_count() or 1) < 2:
        report["notes"].append("one core only: proxy, mock and generator share it.")
    else:
        return
    o.proxy_core = o.load_core = None


def main():
    o = options()
    chosen = choose(o)
    if o.list:
        for s in scenarios():
            print(f"{s.name:14} {s.what}{' (quick)' if s.quick else ''}")
        return 0
    for need in ("sluice-mock", "sluice-bench", "bench_translate"):
        if not (o.bin / need).exists():
            sys.exit(f"run.py: no {need} in {o.bin}: run make first, or say --bin")
    rounds = o.rounds or (1 if o.quick else 3)
    report = {"machine": machine(), "rounds": rounds, "startup": {}, "scenarios": {}, "translation": {}, "notes": []}
    check_cores(o, report)
    results, targets, mock = [], [], None
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        try:
            mock = Mock(o, pathlib.Path(name))
            targets = start_targets(o, mock, pathlib.Path(name), report)
            idle_mb = {k: v["rss_idle_mb"] for k, v in report["startup"].items()}
            measure_propagation(targets, report, o.quick)
            for s in chosen:
                runs = measure(o, targets, s, rounds, report["notes"])
                results.append((s, summarise(s, runs, idle_mb)))
                report["scenarios"][s.name] = {"what": s.what, "summary": results[-1][1], "runs": runs}
        finally:
            for t in targets:
                t.stop()
            if mock is not None:
                mock.stop()
    if not o.only:
        measure_translation(o, report)
    text = markdown(report, results)
    path = o.json or ROOT / "build/bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))
    print(text)
    print(f"run.py: all figures in {path}", file=sys.stderr)
    if o.update_docs:
        update_docs(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
