# SPDX-License-Identifier: Apache-2.0
"""Secrets are planted everywhere a user may put one, everything that can go wrong is made to, and then they are looked for:
in logs at debug level, answers and errors, metrics, command lines and environments, core dumps, Redis (dump and append-only
file), the proxies' data directories and on the wire. Only their owners may have them.
"""
import base64
import http.client
import os
import pathlib
import re
import resource
import signal
import subprocess

import pytest

import sluice
from middleman import Middleman
from sluice import BIN, SLOW, Control, Proxy, Redis, Stack, chat, request, wait_for

M = "PLANTED"  # every secret text has it in it, so that a new one is found without a list
API, FILE, ENV, ROTATED = (f"sk-{M}-{w}-6fJq2Lx9" for w in ("api", "file", "env", "rotated"))
HELICONE, TOKEN, REDIS, NEAR = (f"{M}-{w}-6fJq2Lx9" for w in ("helicone", "admin-token-0123456789", "redis-password", "near-miss"))

CONFIG = """\
logging: {{level: debug, access: true}}
providers:
  openai:
    keys: [{{env: WORK_KEY}}]
  anthropic:
    keys: [{{file: {file}}}]
routers:
  production:
    load-balance:
      chat: {{strategy: priority, providers: [openai, anthropic, gemini]}}
    helicone: {{api-key: "{helicone}"}}
  one:
    load-balance:
      chat: {{strategy: priority, providers: [openai]}}
"""
FAULTS = ("status-400", "status-401", "status-403", "status-429", "status-500", "status-529", "reset", "cut-after-3", "bad-json", "html-200",
          "error-event", "malformed-chunk", "bad-status-line", "two-lengths", "gzip", "short-body", "head-size-100k", "early+status-413")


def memory_that_dumps(pid):
    """What a core dump would hold: private, readable, not marked with MADV_DONTDUMP."""
    with open(f"/proc/{pid}/smaps") as f:
        text = f.read()
    blocks = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for block in blocks[1:]:
            span, rights = block.split(None, 2)[:2]
            begin, end = (int(x, 16) for x in span.split("-"))
            flags = re.search(r"^VmFlags: (.*)$", block, re.M)
            rss = int(re.search(r"^Rss: +(\d+)", block, re.M).group(1))
            if "r" not in rights or "[v" in block.split("\n")[0] or rss == 0 or (flags and " dd" in " " + flags.group(1)):
                continue
            for at in range(begin, end, 1 << 24):
                try:
                    mem.seek(at)
                    yield mem.read(min(1 << 24, end - at))
                except (OSError, ValueError, OverflowError):
                    pass


def of_process(pid, what):
    """A file of /proc. Of our hardened programs only root may read `environ`: then nobody else sees anything."""
    try:
        return pathlib.Path(f"/proc/{pid}/{what}").read_bytes()
    except PermissionError:
        assert os.geteuid() != 0 and what == "environ"
        return b"WORK_KEY="


class World:
    def __init__(self, dir, mock):
        self.dir, self.mock, self.answers = dir, mock, []
        self.keys = dir / "keys"
        subprocess.run([str(BIN / "sluice"), "init", str(self.keys)], check=True, capture_output=True, timeout=30 * SLOW)
        (self.keys / "admin-token").write_text(TOKEN + "\n")
        (dir / "anthropic.key").write_text(FILE + "\n")
        (dir / "anthropic.key").chmod(0o600)
        self.config = dir / "ai-gateway-config.yaml"
        self.config.write_text(CONFIG.format(file=dir / "anthropic.key", helicone=HELICONE))
        env = {k: v for k, v in mock.env().items() if not k.endswith("_API_KEY")}
        env.update(WORK_KEY=ENV, GEMINI_API_KEY=ENV + "-2")
        self.redis = Redis(dir)
        self.redis_port = sluice.free_port()
        self.redis("CONFIG", "SET", "port", self.redis_port)
        self.redis("CONFIG", "SET", "repl-diskless-sync-delay", "0")  # whoever asks for a dump has it at once
        self.redis("CONFIG", "SET", "requirepass", REDIS)
        unix = self.redis.url
        self.redis.url = f"redis://default:{REDIS}@127.0.0.1:{self.redis_port}"
        self.control = Control(dir, "control", self.redis, self.keys, self.config, env)
        self.redis.url = unix
        self.relay = Middleman(self.control.port)
        self.proxy = Proxy(dir, "proxy", [self.relay.endpoint], self.keys, env={**env, "WORK_KEY": ENV}, config=self.config)

    @property
    def process(self):
        return self.proxy.process

    def secrets(self):
        """Name -> bytes. The binary ones in each form in which they could be met."""
        out = {"marker": M.encode()}
        for name in ("cluster-secret", "signing-key", "master-key"):
            text = [line for line in (self.keys / name).read_text().split("\n") if line and not line.startswith(("#", "cluster="))][0]
            raw = base64.b64decode(text)
            out |= {f"{name} raw": raw, f"{name} hex": raw.hex().encode(), f"{name} base64": text.rstrip("=").encode()}
        for name, text in self.virtual.items():
            out[f"virtual key {name}"] = text.rsplit("-", 1)[1].encode()  # its id is public
        return out

    def look(self, where, data, allowed=()):
        found = {n: data[max(0, data.index(s) - 60):data.index(s) + 60] for n, s in self.secrets().items()
                 if s in data and n not in allowed}
        assert not found, f"{where}: {found}"

    def admin(self, method, path, body=None, headers=None):
        r = self.control.admin(method, path, body, headers)
        self.answers.append((f"{method} {path}", r))
        return r

    def change(self, path, body, headers=None):
        """One that succeeds. Its answer may hold a secret that is the asker's."""
        return sluice.change(self.control, "POST", path, body, headers)

    def ask(self, path, body, headers=None, method="POST"):
        try:
            r = request(self.proxy.port, method, path, body, headers, timeout=30)
            self.answers.append((f"{method} {path}", r))
            return r
        except (OSError, http.client.HTTPException):
            return None  # an answer that was cut

    def hangup(self, config, event, both=False):
        """SIGHUP to both with that file, until the control plane (and the proxy) says `event`."""
        self.config.write_text(config)
        said = lambda: [one.process.text().count(event) for one in (self.control, self.proxy)[:1 + both]]
        before = said()
        for one in (self.control, self.proxy):
            one.process.signal(signal.SIGHUP)
        wait_for(lambda: all(now > was for now, was in zip(said(), before)), 10, event)

    def stop(self):
        for one in (self.proxy, self.control):
            if one.process.p.returncode is None:
                one.stop(expect=None)
        self.relay.stop()
        self.redis.stop()


def everything_happens(world):
    """The traffic: what works, and every kind of failure with a secret at hand."""
    a, w = world.admin, world
    made = w.change("/provider-keys?wait=5s", {"provider": "openai", "name": "second", "value": API})
    w.answers += [("a provider's key", made), ("rotated", w.change(f"/provider-keys/{made.json()['id']}/rotate?wait=5s", {"value": ROTATED}))]
    key = w.change("/keys?wait=5s", {"name": "ci"}, {"idempotency-key": "once"})
    again = w.change(f"/keys/{key.json()['id']}/rotate?wait=5s", {"grace": "1h"})
    w.virtual = {"first": key.json()["key"], "second": again.json()["key"]}
    bearer = {"authorization": f"Bearer {w.virtual['second']}"}

    # What works, with each credential header, plain and streamed; raw paths too.
    for header, value in (("authorization", f"Bearer {w.virtual['second']}"), ("x-api-key", w.virtual["first"]),
                          ("api-key", w.virtual["first"]), ("x-goog-api-key", w.virtual["second"])):
        for stream in (False, True):
            assert w.ask("/router/production/chat/completions", chat(stream=stream), {header: value, "x-sluice-explain": "1"}).status == 200
    # The mock's echo of a raw path shows its headers: of keys their last four characters.
    w.ask("/openai/v1/anything?x=1", b"{}", bearer)
    w.ask("/v1/models", None, bearer, "GET")
    w.ask("/v1/key", None, bearer, "GET")
    # What does not, on the provider's side.
    for fault in FAULTS:
        for stream in (False, True):
            w.ask("/router/production/chat/completions", chat(f"openai/{fault}", stream=stream), {**bearer, "x-sluice-explain": "1"})
            w.ask("/router/one/chat/completions", chat(f"openai/{fault}", stream=stream), bearer)
    w.ask("/router/one/chat/completions", chat("openai/silence"), {**bearer, "x-sluice-timeout-ms": "300"})
    for mode in ("down", "up"):
        w.mock.mode(0, mode)
        w.ask("/router/one/chat/completions", chat(), bearer)
    # On the client's side: a wrong secret is a secret, too (somebody's key with a typing error).
    wrong = w.virtual["second"][:-4] + "XXXX"
    w.virtual["mistyped"] = wrong
    for headers in ({"authorization": f"Bearer {wrong}"}, {"x-api-key": wrong}, {"authorization": f"Bearer sk-sluice-{NEAR}"},
                    {"authorization": f"Basic {NEAR}"}, {"authorization": NEAR}):
        w.ask("/v1/chat/completions", chat(), headers)
        w.ask("/v1/models", None, headers, "GET")
    for body in (b"{", b"", b'{"model": 5}', b"[]", b"\xff\xfe", b'{"model":"nope/nope","messages":[]}'):
        w.ask("/v1/chat/completions", body, bearer)
    w.ask("/router/none/chat/completions", chat(), bearer)
    w.ask("/nowhere", b"x", bearer, "PUT")
    # On the admin's.
    id = made.json()["id"]
    for method, path, body in (
            ("POST", "/provider-keys", {"provider": "openai", "value": f"two words {NEAR}"}),
            ("POST", "/provider-keys", {"provider": "openai", "value": NEAR * 500}),
            ("POST", "/provider-keys", {"provider": "opena", "name": "x", "value": NEAR}),
            ("POST", "/provider-keys", {"provider": "openai", "valeu": NEAR}),
            ("POST", "/provider-keys", {"provider": "openai", "value": [NEAR]}),
            ("POST", "/provider-keys", b'{"provider": "openai", "value": "' + NEAR.encode()),
            ("POST", f"/provider-keys/{id}/rotate", {"value": {"x": NEAR}}),
            ("PATCH", f"/provider-keys/{id}", {"value": NEAR}),
            ("PATCH", f"/provider-keys/{id}", {"weight": NEAR}),
            ("POST", "/provider-keys/none/rotate", {"value": NEAR}),
            ("POST", f"/provider-keys/{id}/test", None),
            ("GET", "/provider-keys", None), ("GET", f"/provider-keys/{id}", None), ("GET", "/keys", None),
            ("GET", "/config", None), ("GET", "/proxies", None), ("GET", "/audit", None), ("GET", "/requests", None),
            ("GET", "/health/targets", None), ("GET", "/usage?group_by=key", None), ("GET", "/providers", None), ("GET", "/routers", None)):
        w.admin(method, path, body)
    for headers in ({"authorization": f"Bearer {TOKEN}x"}, {"authorization": f"Basic {NEAR}"}, {}):
        w.answers.append(("wrong token", request(w.control.admin_port, "GET", "/admin/v1/keys", None, headers)))
    # Broken configuration files with secrets near the mistake.
    good = w.config.read_text()
    for bad in (good.replace("env: WORK_KEY", f"valeu: {NEAR}"), good.replace("env: WORK_KEY", f"value: [{NEAR}]"),
                good.replace("env: WORK_KEY", f"env: [{NEAR}]"), good + f"\nredis: {{url: 'redis://u:{NEAR}@h:x'}}\n",
                good + f"\n{NEAR}: {{\n", good.replace("{file:", f"{{value: {NEAR}, file:"),
                good.replace(f'api-key: "{HELICONE}"', f"api-kye: {NEAR}")):
        (w.dir / "bad.yaml").write_text(bad)
        for program in ("sluice-control", "sluice-proxy"):
            with open(w.dir / "check.log", "ab") as out:
                code = subprocess.run([str(BIN / program), "--check-config", str(w.dir / "bad.yaml")], stdout=out, stderr=out,
                                      env={**os.environ, "WORK_KEY": ENV}, timeout=30 * SLOW).returncode
            assert code == 1 or program == "sluice-proxy" or "redis://" in bad, bad
        if "redis://" in bad:  # found out at the start
            with open(w.dir / "check.log", "ab") as out:
                code = subprocess.run([str(BIN / "sluice-control"), "-c", str(w.dir / "bad.yaml"), "--data-dir", str(w.dir / "none")], stdout=out,
                                      stderr=out, env={**os.environ, "WORK_KEY": ENV}, timeout=30 * SLOW).returncode
            assert code == 2, bad
    w.hangup(bad, "config.refused")
    # And secrets in keys files that cannot be read.
    for name in ("cluster-secret", "master-key", "signing-key"):
        path = w.keys / name
        was = path.read_bytes()
        path.write_bytes(NEAR.encode() + b"\n" + was)
        w.hangup(good, "keys.refused", both=name == "cluster-secret")
        path.write_bytes(was)
    w.hangup(good, "keys.loaded", both=True)
    wait_for(lambda: getattr(w.ask("/router/one/chat/completions", chat(), bearer), "status", None) == 200, 20, "the provider to be back")
    # Redis gone and back, the control plane gone and back.
    w.redis.process.signal(signal.SIGSTOP)
    w.admin("POST", "/provider-keys", {"provider": "openai", "name": "third", "value": NEAR})
    w.redis.process.signal(signal.SIGCONT)
    wait_for(lambda: w.control.status() == "current", 20)


@pytest.fixture(scope="module")
def world(tmp_path_factory, mock):
    w = World(tmp_path_factory.mktemp("secrets"), mock)
    try:
        everything_happens(w)
        yield w
    finally:
        w.stop()


def test_answers(world):
    assert len(world.answers) > 100
    for name, r in world.answers:
        world.look(name, r.body + repr(r.headers).encode())


def test_logs(world):
    text = {p.name: p.read_bytes() for p in sorted(world.dir.glob("*.log"))}
    for name, data in text.items():
        world.look(name, data)
    # They have said what they had to say.
    for name, what in (("proxy.log", b" DEBUG "), ("proxy.log", b"keys.refused"), ("control.log", b"keys.refused"),
                       ("control.log", b"config.refused"), ("check.log", b"did you mean")):
        assert what in text[name], (name, what)


def test_metrics(world):
    for port in (world.proxy.ops_port, world.control.admin_port):
        world.look(f"metrics of {port}", request(port, "GET", "/metrics").body)
    world.look("requests", request(world.proxy.ops_port, "GET", "/debug/requests").body)


def test_command_lines_and_environments(world):
    for one in (world.proxy, world.control):
        for what in ("cmdline", "environ"):
            data = of_process(one.process.pid, what)
            world.look(f"{what} of {one.name}", data)
            assert what != "environ" or b"WORK_KEY=" in data  # hidden, not absent


def test_the_wire(world):
    for name in ("pub", "rep", "pull"):
        for up in (True, False):
            bodies = world.relay.bodies(name, up)
            assert bodies or (name, up) in (("pub", True), ("pull", False))
            world.look(f"{name}, {'up' if up else 'down'}", b"\0".join(bodies))


def test_redis(world):
    r = world.redis
    env = {**os.environ, "REDISCLI_AUTH": REDIS}
    dump = world.dir / "dump.rdb"
    subprocess.run(["redis-cli", "-s", str(r.socket), "--rdb", str(dump)], check=True, capture_output=True, env=env, timeout=60)
    files = {dump: dump.read_bytes(), **dict(sluice.contents(r.data))}
    assert any("appendonly" in p.name for p in files)
    for path, data in files.items():
        world.look(str(path), data)


def test_data_directories(world):
    wait_for(lambda: all((world.proxy.data / n).exists() for n in ("last-known-good", "usage.journal")), 10, "the proxy's files")
    files = dict(sluice.contents(world.proxy.data, world.control.data))
    for path, data in files.items():
        world.look(str(path), data)


def test_memory_that_a_core_dump_would_hold(world):
    """No core is written at all (below); were one, the keys that open everything else would not be in it."""
    if os.geteuid() != 0:
        pytest.skip("only root may look")
    secrets = world.secrets()
    kept = {n: s for n, s in secrets.items() if "raw" in n or "base64" in n}
    for one in (world.proxy, world.control):
        for chunk in memory_that_dumps(one.process.pid):
            found = [n for n, s in kept.items() if s in chunk]
            assert not found, f"{one.name}: {found}"


def test_no_core_is_written(world):
    """Also where the administrator allows cores of any size."""
    def crash(cmd, **more):
        pid = os.fork()
        if pid == 0:
            os.chdir(world.dir)
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            with open(world.dir / "crash.log", "ab") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            os.execv(cmd[0], cmd)
        try:
            more["ready"](pid)
        finally:
            os.kill(pid, signal.SIGABRT)
            _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) != 0
        return os.WCOREDUMP(status)

    if not crash(["/bin/sleep", "100"], ready=lambda pid: wait_for(lambda: b"sleep" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes(), 5)):
        pytest.skip("this machine writes no cores at all")
    ready = world.dir / "crash.ready"
    cmd = [str(BIN / "sluice-proxy"), "--control", world.relay.endpoint, "--data-dir", str(world.dir / "crash"), "--port", "0", "--ops-port", "0",
           "--ready-file", str(ready), "--cluster-secret-file", str(world.keys / "cluster-secret"), "--control-public-key-file",
           str(world.keys / "control-public-key"), "--workers", "1"]
    assert not crash(cmd, ready=lambda pid: wait_for(ready.exists, 20))


def test_sluice_up(tmp_path, mock):
    """One command starts everything: the keys are in its environment, and in no child's (the control plane hides them)."""
    s = Stack(tmp_path, sluice.PLAIN, {**mock.env(), "OPENAI_API_KEY": ENV, "SLUICE_ADMIN_TOKEN": TOKEN})
    try:
        assert s.post("/router/one/chat/completions", chat()).status == 200
        for name, pid in [("up", s.process.pid), *((c, s.child_pid(c)) for c in ("redis", "control", "proxy"))]:
            for what in ("cmdline", "environ"):
                assert M.encode() not in of_process(pid, what), (name, what)
        for name in ("redis", "proxy"):
            assert b"API_KEY" not in of_process(s.child_pid(name), "environ"), name
        # The keys are still known after the file was read again, and after a restart of the control plane.
        s.process.signal(signal.SIGHUP)
        os.kill(s.child_pid("control"), signal.SIGKILL)
        wait_for(lambda: s.admin("GET", "/keys").status == 200, 20)
        assert [k for k in s.admin("GET", "/provider-keys").json()["data"] if k["provider"] == "openai"][0]["hint"] == "..." + ENV[-4:]
        assert s.post("/router/one/chat/completions", chat()).status == 200
    finally:
        s.stop()
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_socket():
            assert M.encode() not in path.read_bytes(), path
