# SPDX-License-Identifier: Apache-2.0
"""The real programs as objects: Mock, Stack (`sluice up`), and the daemons one by one.

Everything listens on 127.0.0.1 on ports that nobody else takes, lives in a directory of its own and is stopped by
pid. Nothing here sleeps to synchronise: `wait_for` polls a fact until it holds.
"""
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

BIN = pathlib.Path(os.environ.get("SLUICE_BIN", "build/release/bin")).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Sanitizers make everything slower; limits of waiting scale with them, expectations do not.
SLOW = float(os.environ.get("SLUICE_TEST_SLOW", "1"))
# And so does a machine that others use: what is waited for may take longer than where nothing else runs. Only a failure takes
# that long; what has to be quick is measured and compared by the test itself.
PATIENCE = max(SLOW, 4)
PROVIDERS = ("openai", "anthropic", "gemini")

# The file of the README and of the first issue, to the letter.
WALKTHROUGH = """\
routers:
  production:
    load-balance:
      chat:
        strategy: latency
        providers:
          - openai
          - anthropic
          - gemini
    cache:
      directive: "max-age=3600"
    rate-limit:
      per-api-key:
        capacity: 1000
        refill-frequency: 1m
    helicone:
      api-key: "your-helicone-key"
"""
# One router for faults: nothing cached, nothing limited.
PLAIN = """\
routers:
  production:
    load-balance:
      chat: {strategy: latency, providers: [openai, anthropic, gemini]}
  one:
    load-balance:
      chat: {strategy: latency, providers: [openai]}
  two:
    load-balance:
      chat: {strategy: priority, providers: [openai, anthropic]}
"""


def wait_for(fact, timeout=10.0, what="the expected state", step=0.005):
    """Polls `fact()` until it is true; returns its value. Errors of connections count as not yet."""
    begin = time.monotonic()
    end = begin + timeout * PATIENCE
    last = None
    while True:
        try:
            value = fact()
            if value:
                return value
        except (OSError, http.client.HTTPException, AssertionError, LookupError, StopIteration, ValueError) as e:
            last = e
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"waited {timeout * PATIENCE:.0f} s in vain for {what}" + (f" (last: {last!r})" if last else ""))
        # Whoever has waited for long can wait a little more, and leaves the processor to what it waits for.
        time.sleep(step if now - begin < 1 else max(step, 0.03))


def within(limit, attempt, tries=8):
    """For the figures that are promised. `attempt` does it and returns the seconds that it took, or None when the machine spoilt it; what
    has to be right it asserts each time. A machine that stops us now and then makes it slow once or twice; what is slow by itself is
    slow every time. Only then more than one try is made."""
    took = []
    for _ in range(tries):
        took.append(attempt())
        if took[-1] is not None and took[-1] < limit:
            return took
    raise AssertionError(f"never within {limit:.2f} s: {took}")


def is_late(r):
    """Refused for the time it would have taken: on a busy machine Redis, or a control plane itself, may be too slow for the 0.9 s in
    which a change is answered. A control plane that cannot read what there is says something else."""
    return r.status == 503 and r.code == "store_unavailable" and "not loaded" not in r.json()["error"]["message"]


def change(control, method, path, body=None, headers=None):
    """A change that has to succeed, and to be in force everywhere where the path says `wait`. What is late is asked for again under
    the same Idempotency-Key, as the manual says; the answer is then about the same change."""
    headers = {"idempotency-key": os.urandom(8).hex(), **(headers or {})}
    end = time.monotonic() + 20 * PATIENCE
    r = control.admin(method, path, body, headers)
    while (is_late(r) or r.status == 202) and time.monotonic() < end:
        time.sleep(0.1)
        r = control.admin(method, path, body, headers)
    assert r.status in (200, 201), r
    return r


def contents(*dirs):
    """Every file below, (path, bytes), while programs write there: what is renamed or removed under our hands is looked for again."""
    seen, again = set(), True
    while again:
        again = False
        for path in [p for d in dirs for p in pathlib.Path(d).rglob("*") if p.is_file() and p not in seen]:
            try:
                yield path, path.read_bytes()
                seen.add(path)
            except FileNotFoundError:
                again = True


class Ports:
    """Ports for programs that are told where to listen, and that are started again there. Not what the kernel would pick: those it
    gives to outgoing connections as well, and then a program that is restarted finds its port taken, once in hundreds of times.
    Test programs that run at once share them out by names of abstract sockets, which end with the process."""

    SIZE = 32

    def __init__(self):
        self.claims, self.left = [], []

    def claim(self):
        """A block that is ours until we end."""
        low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        blocks = list(range(10000, low - self.SIZE, self.SIZE))
        random.shuffle(blocks)
        for first in blocks:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                s.bind(f"\0sluice-test-ports-{first}")
            except OSError:
                s.close()
                continue
            self.claims.append(s)
            return list(range(first, first + self.SIZE))
        raise RuntimeError("no ports below those of outgoing connections")

    @staticmethod
    def is_free(port):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def take(self, n):
        """The first of `n` in a row."""
        while True:
            if len(self.left) < n:
                self.left = self.claim()
            ports, self.left = self.left[:n], self.left[n:]
            if all(map(self.is_free, ports)):
                return ports[0]


ports = Ports()


def free_port():
    return ports.take(1)


def freeze(pid):
    """SIGSTOP; returns when it has stopped. The system tells one thread, and until that one comes to run the others go on."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(f.read_text().rpartition(")")[2].split()[0] == "T" for f in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")),
             10, "every thread to stop", 0.0005)


class Process:
    """A child with its output in a file. `stop` asserts that it ended well and that no sanitizer complained."""

    def __init__(self, name, args, dir, env=None, cwd=None):
        self.name, self.dir = name, pathlib.Path(dir)
        self.log = self.dir / f"{name}.log"
        self.out = open(self.log, "ab")
        full = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("SLUICE__")}
        full.update(env or {})
        self.p = subprocess.Popen([str(a) for a in args], stdout=self.out, stderr=self.out, stdin=subprocess.DEVNULL,
                                  env=full, cwd=cwd or self.dir)

    @property
    def pid(self):
        return self.p.pid

    def text(self):
        return self.log.read_text(errors="replace")

    def alive(self):
        return self.p.poll() is None

    def ready(self, path, timeout=20):
        def look():
            if not self.alive():
                raise RuntimeError(f"{self.name} ended with {self.p.returncode}:\n{self.text()[-4000:]}")
            return path.exists() and json.loads(path.read_text())
        return wait_for(look, timeout, f"{self.name} to be ready")

    def signal(self, sig):
        if sig == signal.SIGSTOP:
            freeze(self.p.pid)
        else:
            self.p.send_signal(sig)

    def kill(self):
        if self.alive():
            self.p.kill()
        self.p.wait()
        self.out.close()

    def stop(self, expect=0, timeout=20):
        if self.alive():
            self.p.send_signal(signal.SIGTERM)
        try:
            code = self.p.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise AssertionError(f"{self.name} did not stop within {timeout * PATIENCE:.0f} s:\n{self.text()[-4000:]}") from None
        finally:
            self.out.close()
        text = self.text()
        for sign in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:"):
            assert sign not in text, f"{self.name}:\n{text[text.index(sign):][:6000]}"
        if expect is not None:
            assert code == expect, f"{self.name} ended with {code}:\n{text[-4000:]}"
        return code


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]

    def events(self):
        """Data of the server-sent events."""
        out = []
        for block in self.body.decode().split("\n\n"):
            data = [line[5:].lstrip() for line in block.split("\n") if line.startswith("data:")]
            if data:
                out.append("\n".join(data))
        return out

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:600]!r}>"


def request(port, method, path, body=None, headers=None, timeout=30):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * max(SLOW, 2))
    h = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    if body is not None:
        h.setdefault("content-type", "application/json")
    try:
        try:
            c.request(method, path, body=body, headers=h)
        except BrokenPipeError:
            pass  # refused while we were still sending: the answer is there to be read
        r = c.getresponse()
        return Response(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    finally:
        c.close()


def chat(model="openai/gpt-4o-mini", text="Hello", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def patiently(ask, method, headers):
    """Repeats a change that was answered 503, as a client should (docs/operations.md): on a machine that is busy enough Redis itself is
    too slow for it now and then. Whether it was made is not known then: all repeats go under one Idempotency-Key."""
    if method != "GET" and not any(k.lower() == "idempotency-key" for k in headers):
        headers = {**headers, "idempotency-key": f"patient-{uuid.uuid4()}"}
    for _ in range(20):
        r = ask(headers)
        if r.status != 503 or r.code != "store_unavailable":
            break
        time.sleep(0.1)  # as Retry-After says, only shorter
    return r


class Mock:
    """One sluice-mock with `n` ports, each a provider of its own."""

    def __init__(self, dir, n=3, args=()):
        ready = pathlib.Path(dir) / "mock.ready"
        ready.unlink(missing_ok=True)
        ports = sum((["--port", "0"] for _ in range(n)), [])
        self.process = Process("mock", [BIN / "sluice-mock", *ports, "--ready-file", ready, *args], dir)
        self.ports = self.process.ready(ready)["ports"]

    def log(self, **filters):
        query = "&".join(f"{k}={v}" for k, v in filters.items())
        return request(self.ports[0], "GET", f"/__mock/log?{query}").json()["attempts"]

    def last(self):
        """The last that a client asked for. (Control planes probe providers without keys, by GET, whenever they like.)"""
        return [a for a in self.log() if a["method"] == "POST"][-1]

    def wait_log(self, count, **filters):
        """Attempts that match, when there are `count` of them."""
        return wait_for(lambda: (lambda l: l if len(l) >= count else None)(self.log(**filters)), 10, f"{count} attempts {filters}")

    def scenario(self, text):
        r = request(self.ports[0], "POST", "/__mock/scenario", text.encode())
        assert r.status == 200, r

    def reset(self):
        assert request(self.ports[0], "POST", "/__mock/reset").status == 200

    def mode(self, i, mode):
        """`down`, `up` or a behaviour for everything on port i; asked at a port that is up."""
        ask = next(p for k, p in enumerate(self.ports) if k != i) if len(self.ports) > 1 else self.ports[i]
        r = request(ask, "POST", "/__mock/port", {"port": self.ports[i], "mode": mode})
        assert r.status == 200, r

    def env(self, names=PROVIDERS, path="/v1/"):
        """Points the walk-through's providers at the mock."""
        env = {}
        for name, port in zip(names, self.ports):
            env[f"SLUICE__PROVIDERS__{name.upper()}__BASE_URL"] = f"http://127.0.0.1:{port}{path}"
            env[f"{name.upper()}_API_KEY"] = f"sk-test-{name}-0123456789abcdef"
        return env

    def stop(self):
        self.process.stop()


class Stack:
    """`sluice up` in a directory of its own."""

    def __init__(self, dir, config=None, env=None, args=(), name="up", data=None):
        self.dir = pathlib.Path(dir)
        self.dir.mkdir(exist_ok=True)
        self.data = pathlib.Path(data or self.dir / "data")
        self.args = list(args)
        self.env = dict(env or {})
        self.config = None
        self.name = name
        if config is not None:
            self.config = self.dir / "ai-gateway-config.yaml"
            self.config.write_text(config)
        self.start()

    def start(self):
        ready = self.dir / f"{self.name}.ready"
        ready.unlink(missing_ok=True)
        args = [BIN / "sluice", "up", "--data-dir", self.data, "--port", "0", "--admin-port", "0", "--ops-port", "0",
                "--ready-file", ready, *self.args]
        if self.config is not None:
            args += ["-c", self.config]
        self.process = Process(self.name, args, self.dir, self.env)
        info = self.process.ready(ready, 40)
        self.port, self.admin_port, self.ops_port = info["port"], info["admin_port"], info["ops_port"]
        self.token = (self.data / "admin-token").read_text().strip()

    def post(self, path, body, headers=None, **more):
        return request(self.port, "POST", path, body, headers, **more)

    def get(self, path, headers=None, **more):
        return request(self.port, "GET", path, None, headers, **more)

    def admin(self, method, path, body=None, headers=None, token=None, once=False):
        """once: without an Idempotency-Key that nobody asked for, and hence without a repeat (with one, a change that changes nothing
        is one all the same)."""
        h = {"authorization": f"Bearer {token or self.token}", **(headers or {})}
        ask = lambda h: request(self.admin_port, method, f"/admin/v1{path}", body, h)
        return ask(h) if once else patiently(ask, method, h)

    def metrics(self):
        return request(self.ops_port, "GET", "/metrics").body.decode()

    def metric(self, name):
        """Sum over the series of a family (exact name before '{' or ' ')."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name)] in "{ " and not line.startswith("#"):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def child_pid(self, which):
        return int((self.data / "run" / f"{which}.pid").read_text())

    def cli(self, *args, env=None, check=True):
        full = {**os.environ, "SLUICE_ADMIN_URL": f"http://127.0.0.1:{self.admin_port}", "SLUICE_ADMIN_TOKEN": self.token, **(env or {})}
        r = subprocess.run([str(BIN / "sluice"), *args], capture_output=True, text=True, env=full, timeout=30 * PATIENCE)
        assert not check or r.returncode == 0, f"{args}: {r.returncode}\n{r.stdout}\n{r.stderr}"
        return r

    def stop(self):
        self.process.stop()


class Redis:
    """A private Redis on a unix socket, append-only in its own directory. It never waits for the disk: what it has written survives
    its being killed all the same, and a disk that others keep busy would hold it up for longer than a change may take."""

    def __init__(self, dir, name="redis", args=(), env=None):
        self.dir, self.name, self.args, self.env = pathlib.Path(dir), name, list(args), env
        self.data = self.dir / name
        self.data.mkdir(exist_ok=True)
        # Paths of unix sockets are short.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="sluice-r"))
        self.socket = self.sockets / "s"
        self.url = f"unix:{self.socket}"
        self.start()

    def start(self):
        self.process = Process(self.name, ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.data,
                                           "--appendonly", "yes", "--appendfsync", "no", "--save", "",
                                           *self.args], self.dir, self.env)
        wait_for(lambda: self("PING") == "PONG", 10, "Redis")

    def __call__(self, *words):
        """One command, the answer as text (lists joined by newlines)."""
        r = subprocess.run(["redis-cli", "-s", str(self.socket), *[str(w) for w in words]], capture_output=True,
                           text=True, timeout=20, errors="replace")
        return r.stdout.rstrip("\n") if r.returncode == 0 else f"ERR {r.stdout}{r.stderr}"

    def kill(self):
        self.process.kill()

    def wipe(self):
        """Everything it holds on disk, while it is down."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def keep(self, to):
        """A copy of the files as they are now: what a backup would be."""
        self("BGREWRITEAOF")
        wait_for(lambda: "aof_rewrite_in_progress:0" in self("INFO", "persistence") and
                 "aof_rewrite_scheduled:0" in self("INFO", "persistence"), 10, "the rewrite")
        shutil.copytree(self.data, to)

    def restore(self, kept):
        shutil.rmtree(self.data)
        shutil.copytree(kept, self.data)

    def stop(self):
        self.process.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)


class Control:
    """One sluice-control."""

    def __init__(self, dir, name, redis, keys, config=None, env=None, args=("--init",)):
        self.dir, self.name, self.redis, self.keys = pathlib.Path(dir), name, redis, pathlib.Path(keys)
        self.data = self.dir / name
        self.env, self.args, self.config = env, list(args), config
        self.port, self.admin_port = free_triple(), free_port()  # the same after a restart
        self.token = (self.keys / "admin-token").read_text().strip()
        self.start()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, wait=True):
        self.ready_file = self.dir / f"{self.name}.ready"
        self.ready_file.unlink(missing_ok=True)
        args = [BIN / "sluice-control", "--data-dir", self.data, "--redis", self.redis.url, "--listen", self.endpoint,
                "--admin-port", self.admin_port, "--ready-file", self.ready_file,
                "--cluster-secret-file", self.keys / "cluster-secret", "--signing-key-file", self.keys / "signing-key",
                "--master-key-file", self.keys / "master-key", "--admin-token-file", self.keys / "admin-token", *self.args]
        if self.config is not None:
            args += ["-c", self.config]
        self.process = Process(self.name, args, self.dir, self.env)
        if wait:
            self.await_ready()

    def await_ready(self):
        assert self.process.ready(self.ready_file, 40)["admin_port"] == self.admin_port

    def admin(self, method, path, body=None, headers=None, timeout=30):
        h = {"authorization": f"Bearer {self.token}", **(headers or {})}
        return request(self.admin_port, method, f"/admin/v1{path}", body, h, timeout=timeout)

    def sure(self, method, path, body=None, headers=None):
        """For who is not interested in what becomes of a change when Redis is slow."""
        return patiently(lambda h: self.admin(method, path, body, h), method, headers or {})

    def status(self):
        return json.loads(request(self.admin_port, "GET", "/readyz", timeout=5).body)["store"]

    def stop(self, **more):
        self.process.stop(**more)


class Proxy:
    """One sluice-proxy."""

    def __init__(self, dir, name, endpoints, keys, args=("--workers", "1"), data=None, env=None, config=None, wait=True):
        self.dir, self.name, self.keys = pathlib.Path(dir), name, pathlib.Path(keys)
        self.data = pathlib.Path(data or self.dir / name)
        self.endpoints, self.args, self.env, self.config = list(endpoints), list(args), env, config
        self.data.mkdir(parents=True, exist_ok=True)
        self.port, self.ops_port = free_port(), free_port()
        self.start(wait)

    def start(self, wait=True):
        self.ready_file = self.dir / f"{self.name}.ready"
        self.ready_file.unlink(missing_ok=True)
        args = [BIN / "sluice-proxy", "--control", ",".join(self.endpoints), "--data-dir", self.data, "--port", self.port,
                "--ops-port", self.ops_port, "--ready-file", self.ready_file,
                "--cluster-secret-file", self.keys / "cluster-secret",
                "--control-public-key-file", self.keys / "control-public-key", *self.args]
        if self.config is not None:
            args += ["-c", self.config]
        self.process = Process(self.name, args, self.dir, self.env)
        if wait:
            self.await_ready()

    def await_ready(self, timeout=40):
        info = self.process.ready(self.ready_file, timeout)
        assert (info["port"], info["ops_port"]) == (self.port, self.ops_port), info

    def ready(self):
        return request(self.ops_port, "GET", "/readyz", timeout=5).status == 200

    def live(self):
        return request(self.ops_port, "GET", "/healthz", timeout=5).status == 200

    def metric(self, name):
        total = 0.0
        for line in request(self.ops_port, "GET", "/metrics").body.decode().splitlines():
            if line.startswith(name) and line[len(name)] in "{ ":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def models(self, key=None):
        """What costs no upstream: 200, or 401 for a key that is not (any more) known."""
        return request(self.port, "GET", "/v1/models", None, {"authorization": f"Bearer {key}"} if key else {}).status

    def chat(self, key=None, **more):
        return request(self.port, "POST", "/ai/chat/completions", chat(**more), {"authorization": f"Bearer {key}"} if key else {})

    def stop(self, **more):
        self.process.stop(**more)


def free_triple():
    """The first of three in a row: PUB, REP and PULL of one endpoint."""
    return ports.take(3)


class Cluster:
    """One Redis, several control planes, several proxies; each started and stopped on its own."""

    def __init__(self, dir, mock, controls=2, proxies=1, config=PLAIN, redis_args=(), redis_env=None, control_env=None):
        self.dir = pathlib.Path(dir)
        self.keys = self.dir / "keys"
        subprocess.run([str(BIN / "sluice"), "init", str(self.keys)], check=True, capture_output=True, timeout=30 * PATIENCE)
        self.config = self.dir / "ai-gateway-config.yaml"
        self.config.write_text(config)
        self.env = {**mock.env(), **(control_env or {})}
        self.redis = Redis(self.dir, args=redis_args, env=redis_env)
        self.controls, self.proxies = [], []
        try:
            for i in range(controls):
                self.controls.append(Control(self.dir, f"control{i}", self.redis, self.keys, self.config, self.env))
            for i in range(proxies):
                self.add_proxy(f"proxy{i}")
        except Exception:
            for one in (*self.controls, *self.proxies):
                one.process.kill()
            self.redis.stop()
            raise

    def add_proxy(self, name, **more):
        p = Proxy(self.dir, name, [c.endpoint for c in self.controls], self.keys, **more)
        self.proxies.append(p)
        return p

    @property
    def process(self):
        return self.controls[0].process

    def stop(self):
        """In the order of an orderly end; whoever a test has killed is left out."""
        errors = []
        for one in [*self.proxies, *self.controls]:
            if one.process.p.returncode is not None and one.process.p.returncode < 0:
                continue
            try:
                one.process.signal(signal.SIGCONT)
                one.stop()
            except AssertionError as e:
                errors.append(e)
        self.redis.process.signal(signal.SIGCONT)
        self.redis.stop()
        if errors:
            raise errors[0]
