# SPDX-License-Identifier: Apache-2.0
"""Several control planes over one Redis, and everything that can befall them, under changes and traffic."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid

import pytest

import sluice
from sluice import Cluster, Control, change, is_late, request, wait_for, within
from slowredis import SlowRedis

# A write is answered within this, whatever Redis does; sanitizers and two busy cores cost something. (`within` says what of a machine
# that stops us.)
WRITE_S = 1.0 + 0.25 * sluice.SLOW


@pytest.fixture
def cluster(mock, tmp_path):
    made = []

    def make(**more):
        made.append(Cluster(tmp_path, mock, **more))
        return made[-1]
    yield make
    for c in made:
        c.stop()


def make_key(control, name, repeat=None, query="", timeout=30):
    headers = {"idempotency-key": repeat} if repeat else {}
    return control.admin("POST", f"/keys{query}", {"name": name}, headers, timeout=timeout)


def all_keys(control, prefix=""):
    """Name -> how many keys have it."""
    out, cursor = {}, None
    while True:
        page = control.admin("GET", f"/keys?limit=1000{f'&cursor={cursor}' if cursor else ''}").json()
        for k in page["data"]:
            if k["name"].startswith(prefix):
                out[k["name"]] = out.get(k["name"], 0) + 1
        cursor = page["next_cursor"]
        if not cursor:
            return out


def a_key(control, name, query="?wait=5s"):
    """One that there is, and that is in force everywhere: nothing is tried out with it yet."""
    return change(control, "POST", f"/keys{query}", {"name": name}).json()


def quick(limit, ask):
    """Answered, and that within so many seconds."""
    def once():
        began = time.monotonic()
        assert ask().status == 200
        return time.monotonic() - began
    within(limit, once)


def waited_for_a_core(pid):
    """Seconds for which the threads of a process were ready and others ran. What it takes itself is the rest."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[1])
        except OSError:
            pass  # that thread has just ended, or the kernel does not count
    return total / 1e9


def in_time(ask, fits, repeats=8):
    """A write whose answer `fits`, each time it is repeated, and comes within the second. Returns that one."""
    answers = []

    def once():
        began = time.monotonic()
        r = ask()
        took = time.monotonic() - began
        answers.append(r)
        assert fits(r), r
        return took
    within(WRITE_S, once, repeats)
    return answers[-1]


def is_refused(code="store_unavailable"):
    return lambda r: r.status == 503 and r.code == code


class Traffic:
    """Requests to a proxy, one after the other, until stopped; keeps whatever was not a 200."""

    def __init__(self, *proxies, key=None):
        self.bad, self.good, self.done = [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(p, key), daemon=True) for p in proxies]
        for t in self.threads:
            t.start()

    def run(self, proxy, key):
        while not self.done.is_set():
            try:
                r = proxy.chat(key)
                if r.status == 200:
                    self.good += 1
                else:
                    self.bad.append(r)
            except OSError as e:
                self.bad.append(e)
            if len(self.bad) > 100:
                return
            self.done.wait(0.005)

    def stop(self):
        self.done.set()
        for t in self.threads:
            t.join()
        return self


class Writers:
    """Threads that make keys, each under an Idempotency-Key of its own, repeated anywhere until acknowledged."""

    def __init__(self, controls, n=3):
        self.controls, self.acked, self.lock = controls, {}, threading.Lock()
        self.asked, self.wrong, self.done = set(), [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, me):
        rng, n = random.Random(me), 0
        while not self.done.is_set():
            name, repeat = f"w{me}-{n}", str(uuid.uuid4())
            n += 1
            with self.lock:
                self.asked.add(name)
            while not self.once(rng.choice(self.controls), name, repeat):
                self.done.wait(0.01)  # carried through even after `done`

    def once(self, control, name, repeat):
        try:
            r = make_key(control, name, repeat, timeout=3)
        except OSError:
            return False
        except Exception as e:  # an answer that was cut off by the kill
            return type(e).__name__ not in ("IncompleteRead", "BadStatusLine", "RemoteDisconnected") and self.wrong.append(e)
        if r.status == 201:
            with self.lock:
                self.acked[name] = r.json()
            return True
        if r.status != 503:
            self.wrong.append(r)
            return True
        return False

    def wait(self, more):
        with self.lock:
            target = len(self.acked) + more
        wait_for(lambda: len(self.acked) >= target or self.wrong, 60, f"{more} more changes")

    def stop(self):
        self.done.set()
        for t in self.threads:
            t.join()
        assert not self.wrong, self.wrong[:3]
        assert self.asked == set(self.acked)


def test_control_planes_and_proxies_are_killed_under_changes(cluster):
    """No acknowledged change is lost, none is applied twice, and no proxy fails a request because of it."""
    c = cluster(controls=3, proxies=2)
    traffic = Traffic(c.proxies[0])
    writers = Writers(c.controls)
    for round in range(6):
        writers.wait(15)
        victims = c.controls if round == 3 else [c.controls[round % 3]]
        for v in victims:
            v.process.kill()
        if round in (1, 4):
            c.proxies[1].process.kill()
            c.proxies[1].start()
        if len(victims) < 3:
            writers.wait(10)  # the others carry on
        for v in victims:
            v.start(wait=False)
        for v in victims:
            v.await_ready()
    writers.wait(10)
    writers.stop()
    traffic.stop()
    assert not traffic.bad, traffic.bad[:3]
    assert traffic.good > 50
    for control in c.controls:
        wait_for(lambda: all_keys(control, "w") == {name: 1 for name in writers.acked}, 10, "each key once")
    # In force on every proxy, with the very secrets that were acknowledged.
    for p in c.proxies:
        for made in random.Random(1).sample(list(writers.acked.values()), 10):
            wait_for(lambda: p.models(made["key"]) == 200, 5, "the key on the proxy")
    seqs = {v["seq"] for v in writers.acked.values()}
    assert len(seqs) == len(writers.acked), "two changes with one sequence number"


def test_proxies_move_over_within_three_seconds(cluster):
    """By the clock of those who wait for it: at least once for each control plane that is lost."""
    c = cluster(controls=2, proxies=3)
    rounds = [0]

    def lose(victim, other):
        n = rounds[0] = rounds[0] + 1
        traffic = Traffic(*c.proxies)
        victim.process.signal(signal.SIGSTOP)  # worse than dead: its sockets stay open
        began = time.monotonic()
        key = change(other, "POST", "/keys?wait=10s", {"name": f"moved-{n}"}).json()["key"]
        took = time.monotonic() - began
        assert all(p.models(key) == 200 for p in c.proxies)
        victim.process.signal(signal.SIGCONT)
        wait_for(lambda: make_key(victim, f"back-{n}", query="?wait=5s").json().get("applied", {}).get("live") == 3, 15,
                 "all proxies to be seen by the one that was away")
        assert not traffic.stop().bad, traffic.bad[:3]
        return took

    # In turn, since who was away has no proxies that could leave it.
    turns = within(3 * sluice.SLOW, lambda: max(lose(*c.controls), lose(*c.controls[::-1])), 4)
    print(f"moved over after {turns} s")


def test_a_control_plane_starts_without_redis(cluster):
    """It comes up, says what is wrong, keeps a proxy serving from its file, and goes on when Redis is there."""
    c = cluster(controls=1, proxies=1)
    control, proxy = c.controls[0], c.proxies[0]
    key = a_key(control, "k")
    proxy.stop()
    control.stop()
    c.redis.kill()
    control.start()  # its ready file comes all the same
    assert "control.without_redis" in control.process.text()
    assert request(control.admin_port, "GET", "/healthz").status == 200
    r = request(control.admin_port, "GET", "/readyz")
    assert r.status == 503 and r.json()["store"] == "connecting", r
    in_time(lambda: make_key(control, "no"), lambda r: r.status == 503)
    assert control.admin("GET", f"/keys/{key['id']}").status == 503
    assert control.admin("GET", "/keys").status == 503
    proxy.start()
    assert proxy.models(key["key"]) == 200 and proxy.ready()
    c.redis.start()
    wait_for(status_is(control, "current"), 10, "Redis")
    a_key(control, "after")
    assert proxy.models(key["key"]) == 200


def test_two_writers_of_one_resource(cluster):
    """Through two control planes at the same moment: one wins, the other gets 412."""
    c = cluster(controls=2, proxies=0)
    key = a_key(c.controls[0], "contested", "")
    wait_for(lambda: c.controls[1].admin("GET", f"/keys/{key['id']}").status == 200, 5, "the key at the other")
    for round in range(20):
        etags = [wait_for(lambda: (lambda r: r if r.json()["version"] == round + 1 else None)(
            ctl.admin("GET", f"/keys/{key['id']}")), 5, "the last version").headers["etag"] for ctl in c.controls]
        assert etags[0] == etags[1]
        answers, gate = [None, None], threading.Barrier(2)

        def write(i):
            gate.wait()
            h = {"if-match": etags[i], "idempotency-key": f"{i}-{round}"}  # what is late is repeated
            ask = lambda: c.controls[i].admin("PATCH", f"/keys/{key['id']}", {"name": f"by-{i}-{round}"}, h)
            answers[i] = wait_for(lambda: (lambda r: None if is_late(r) else r)(ask()), 10, "an answer in time", 0.05)
        threads = [threading.Thread(target=write, args=(i,), daemon=True) for i in range(2)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert sorted(a.status for a in answers) == [200, 412], answers
        winner = [a.status for a in answers].index(200)
        assert answers[winner].json()["name"] == f"by-{winner}-{round}"


def test_a_file_that_comes_while_another_is_being_applied(cluster):
    """Redis holds up the one; the other, which was read meanwhile, is not lost."""
    c = cluster(controls=1, proxies=0)
    control = c.controls[0]

    def new(name):
        c.config.write_text(sluice.PLAIN + f"  {name}: {{load-balance: {{chat: {{strategy: latency, providers: [openai]}}}}}}\n")
        control.process.signal(signal.SIGHUP)
    c.redis.process.signal(signal.SIGSTOP)
    new("early")
    time.sleep(0.3)  # its change waits for Redis by now
    new("late")
    time.sleep(0.3)
    c.redis.process.signal(signal.SIGCONT)
    wait_for(lambda: control.admin("GET", "/routers/late").status == 200, 20, "the later file to be in force")
    wait_for(lambda: control.admin("GET", "/routers/early").status == 404, 20, "the earlier one to be replaced")


def test_signals_faster_than_the_file_can_be_read(cluster):
    """SIGHUP every few milliseconds over a file that takes longer than that: it is in force while they still come."""
    c = cluster(controls=1, proxies=0)
    control = c.controls[0]
    c.config.write_text(sluice.PLAIN + "".join(f"  r{i}: {{load-balance: {{chat: {{strategy: latency, providers: [openai]}}}}}}\n" for i in range(1500)))

    def signal_and_look():
        control.process.signal(signal.SIGHUP)
        return control.admin("GET", "/routers/r1499").status == 200
    wait_for(signal_and_look, 20, "the file to be in force")


def frozen(redis):
    redis.process.signal(signal.SIGSTOP)
    return lambda: redis.process.signal(signal.SIGCONT)


def gone(redis):
    redis.kill()
    return redis.start


def read_only(redis):
    assert redis("REPLICAOF", "127.0.0.1", "1") == "OK"
    return lambda: redis("REPLICAOF", "NO", "ONE")


def no_replicas(redis):
    assert redis("CONFIG", "SET", "min-replicas-to-write", "1") == "OK"
    return lambda: redis("CONFIG", "SET", "min-replicas-to-write", "0")


def out_of_memory(redis):
    assert redis("CONFIG", "SET", "maxmemory-policy", "noeviction") == "OK"
    assert redis("CONFIG", "SET", "maxmemory", "1") == "OK"
    return lambda: redis("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("harm", [frozen, gone, read_only, no_replicas, out_of_memory])
def test_a_redis_that_takes_no_writes(cluster, harm):
    """Writes are refused within a second, a repeat is safe; reads, traffic, readiness and liveness go on."""
    c = cluster(controls=1, proxies=1)
    control, proxy = c.controls[0], c.proxies[0]
    before = a_key(control, "before")
    traffic = Traffic(proxy, key=before["key"])
    mend = harm(c.redis)
    repeats = [str(uuid.uuid4()) for _ in range(4)]
    for i, repeat in enumerate(repeats):
        in_time(lambda: make_key(control, f"during-{i}", repeat), is_refused())
    assert control.admin("GET", f"/keys/{before['id']}").status == 200
    assert all_keys(control, "before") == {"before": 1}
    assert request(control.admin_port, "GET", "/healthz").status == 200
    assert request(control.admin_port, "GET", "/readyz").status == 200
    assert proxy.live() and proxy.ready()
    mend()
    for i, repeat in enumerate(repeats):
        r = wait_for(lambda: (lambda r: r if r.status == 201 else None)(make_key(control, f"during-{i}", repeat)), 15, "writes")
        assert proxy.models(r.json()["key"]) in (200, 401)  # it is a key that can be tried
    assert all_keys(control, "during") == {f"during-{i}": 1 for i in range(len(repeats))}
    a_key(control, "after")
    assert not traffic.stop().bad, traffic.bad[:3]


@pytest.fixture
def slow(cluster, tmp_path):
    """A cluster whose only control plane reaches Redis by a slow way."""
    c = cluster(controls=0, proxies=0)
    c.slow = SlowRedis(c.redis)
    c.controls.append(Control(tmp_path, "control0", c.slow, c.keys, c.config, c.env))
    c.add_proxy("proxy0")
    yield c
    c.slow.delay = 0
    c.slow.stop()


def test_a_redis_that_is_slow_but_not_too_slow(slow):
    """100 ms each way: everything works, each change within a second; reads do not notice."""
    control, proxy = slow.controls[0], slow.proxies[0]
    key = a_key(control, "before")
    slow.slow.delay = 0.1
    traffic = Traffic(proxy, key=key["key"])

    made = []

    def write():
        began = time.monotonic()
        r = make_key(control, f"slow-{len(made)}")
        took = time.monotonic() - began
        assert r.status == 201 or is_late(r), r
        if r.status != 201:
            return None
        made.append(r.json()["id"])
        assert control.admin("GET", f"/keys/{made[-1]}").status == 200  # one reads one's own write
        return took

    for _ in range(4):
        within(WRITE_S, write)
        quick(0.1 * sluice.SLOW, lambda: control.admin("GET", f"/keys/{made[-1]}"))
    slow.slow.dribble = 7
    in_time(lambda: make_key(control, "by-drops"), lambda r: r.status == 201 or is_late(r))
    assert not traffic.stop().bad, traffic.bad[:3]


def test_a_redis_that_is_too_slow(slow):
    """A second and more for an answer: each write ends with 503 within a second, whatever it is, and its repeat is safe.
    Reads, traffic, readiness and liveness go on; when it is fast again, nothing has to be done."""
    control, proxy = slow.controls[0], slow.proxies[0]
    key = a_key(control, "before")
    team = change(control, "POST", "/teams", {"name": "t"}).json()
    traffic = Traffic(proxy, key=key["key"])
    config = slow.config.read_bytes() + b"  late: {load-balance: {chat: {strategy: priority, providers: [openai]}}}\n"
    slow.slow.delay = 0.7
    repeats = [str(uuid.uuid4()) for _ in range(3)]
    writes = [("POST", "/keys", {"name": f"late-{i}"}, {"idempotency-key": r}) for i, r in enumerate(repeats)] + [
        ("PATCH", f"/teams/{team['id']}", {"name": "t2"}, {}), ("DELETE", "/teams/t", None, {}), ("PUT", "/routers/late-2", {}, {}),
        ("PUT", "/config", config, {"content-type": "application/yaml"}), ("POST", "/tokens", {"name": "x", "scopes": ["read"]}, {}),
        ("POST", f"/keys/{key['id']}/disable?wait=5s", {}, {}), ("POST", "/config/revisions/1/rollback", None, {}), ("POST", "/recovery", {"action": "adopt"}, {})]
    for method, path, body, headers in writes:
        in_time(lambda: control.admin(method, path, body, headers), lambda r: r.status == 503 or (path == "/recovery" and r.status == 409))
        quick(0.2 * sluice.SLOW, lambda: control.admin("GET", f"/keys/{key['id']}"))
        quick(0.2 * sluice.SLOW, lambda: control.admin("GET", "/config"))
    in_time(lambda: control.admin("GET", "/audit"), lambda r: r.status == 503)
    assert request(control.admin_port, "GET", "/healthz").status == 200
    assert request(control.admin_port, "GET", "/readyz").status == 200
    assert proxy.live() and proxy.ready()
    slow.slow.delay = 0
    for i, repeat in enumerate(repeats):
        wait_for(lambda: make_key(control, f"late-{i}", repeat).status == 201, 15, "writes")
    assert all_keys(control, "late") == {f"late-{i}": 1 for i in range(len(repeats))}
    a_key(control, "after")
    bad = traffic.stop().bad
    # The key was disabled by a write whose end nobody knew: then, and only then, it is refused.
    disabled = control.admin("GET", f"/keys/{key['id']}").json()["state"] == "disabled"
    assert all(disabled and getattr(r, "status", 0) == 401 for r in bad), bad[:3]


def status_is(control, status):
    return lambda: control.status() == status


def refuses_as_regressed(control, name):
    in_time(lambda: make_key(control, name), is_refused("state_regressed"))


def recover(c, control, *args):
    env = {**os.environ, "SLUICE_ADMIN_URL": f"http://127.0.0.1:{control.admin_port}", "SLUICE_ADMIN_TOKEN": control.token}
    return subprocess.run([str(sluice.BIN / "sluice"), "recover", *args], capture_output=True, text=True, env=env,
                          timeout=30 * sluice.SLOW)


def test_a_redis_that_comes_back_empty(cluster):
    """Said loudly, adopted by nobody but a person; then everything goes on, and the file is applied again."""
    c = cluster(controls=2, proxies=2)
    old = a_key(c.controls[0], "old")
    traffic = Traffic(*c.proxies, key=old["key"])
    refused = recover(c, c.controls[0], "--adopt")
    assert refused.returncode == 1 and "nothing to adopt" in refused.stderr, refused
    c.redis.kill()
    c.redis.wipe()
    c.redis.start()
    for control in c.controls:
        wait_for(status_is(control, "state_regressed"), 10, "the regression to be noticed")
        wait_for(lambda: "store.status status=state_regressed" in control.process.text(), 5, "the line")
        refuses_as_regressed(control, "no")
        assert control.admin("GET", f"/keys/{old['id']}").status == 200  # reads go on
    # Not by itself, also not after a restart with --init.
    c.controls[1].process.kill()
    c.controls[1].start()
    wait_for(status_is(c.controls[1], "state_regressed"), 10, "the regression to be noticed after a restart")
    assert make_key(c.controls[1], "no").status == 503
    assert c.redis("GET", "{sluice}:epoch") == ""
    assert all(p.ready() and p.live() for p in c.proxies)
    assert not traffic.stop().bad, traffic.bad[:3]

    done = wait_for(lambda: (lambda r: r if r.returncode == 0 else None)(recover(c, c.controls[0], "--adopt", "-o", "json")), 5, "the adoption")
    answer = json.loads(done.stdout)
    assert len(answer["superseded"]) == 1 and answer["superseded"][0] != answer["epoch"]
    for control in c.controls:
        wait_for(status_is(control, "current"), 10, "the new epoch")
    # Proxies follow: the lost key is no key any more, the routers of the file are there, a new key works.
    for p in c.proxies:
        wait_for(lambda: p.models(old["key"]) == 401, 10, "the lost key to be refused")
    new = a_key(c.controls[1], "new")
    for p in c.proxies:
        wait_for(lambda: request(p.port, "POST", "/router/one/chat/completions", sluice.chat(),
                                 {"authorization": f"Bearer {new['key']}"}).status == 200, 10, "the file's router")
    again = recover(c, c.controls[1], "--adopt")
    assert again.returncode == 1
    actions = [a.get("action") for a in change(c.controls[0], "GET", "/audit").json()["data"]]
    assert "recovery.adopt" in actions, actions


def adopt(control):
    wait_for(lambda: control.admin("POST", "/recovery", {"action": "adopt"}).status == 200, 5, "the adoption")


def older_dump(c):
    """Redis as it was before `lost` was made. Returns both keys."""
    kept, newer = c.dir / "kept", c.dir / "newer"
    first = a_key(c.controls[0], "kept")
    c.redis.keep(kept)
    lost = a_key(c.controls[0], "lost")
    for p in c.proxies:
        assert p.models(lost["key"]) == 200
    return first, lost, kept, newer


def test_a_redis_restored_from_an_older_dump(cluster):
    c = cluster(controls=2, proxies=1)
    proxy = c.proxies[0]
    first, lost, kept, newer = older_dump(c)
    c.redis.kill()
    shutil.copytree(c.redis.data, newer)
    c.redis.restore(kept)
    c.redis.start()
    for control in c.controls:
        wait_for(status_is(control, "state_regressed"), 10, "the regression")
        assert "went back in time" in control.process.text()
        refuses_as_regressed(control, "no")
    assert proxy.models(lost["key"]) == 200 and proxy.ready()

    # The newer data is brought back: everything goes on by itself.
    c.redis.kill()
    c.redis.restore(newer)
    c.redis.start()
    for control in c.controls:
        wait_for(status_is(control, "current"), 10, "the newer data")
    a_key(c.controls[1], "goes-on")

    # The older dump again, while no control plane runs: their data directories remember.
    for control in c.controls:
        wait_for(lambda: (control.data / "state-mark").exists(), 5, "the mark")
        control.stop()
    c.redis.kill()
    c.redis.restore(kept)
    c.redis.start()
    for control in c.controls:
        control.start()
        wait_for(status_is(control, "state_regressed"), 10, "the regression after a restart")
        wait_for(lambda: control.admin("GET", f"/keys/{first['id']}").status == 200, 5, "what there is to be readable")
        refuses_as_regressed(control, "no")
    assert proxy.models(lost["key"]) == 200
    adopt(c.controls[0])
    for control in c.controls:
        wait_for(status_is(control, "current"), 10, "the new epoch")
    wait_for(lambda: proxy.models(lost["key"]) == 401, 10, "the lost key to be refused")
    assert proxy.models(first["key"]) == 200


def test_only_the_proxies_remember(cluster):
    """Control planes with empty data directories on an older dump: a proxy that is ahead tells them."""
    c = cluster(controls=1, proxies=1)
    control, proxy = c.controls[0], c.proxies[0]
    first, lost, kept, _ = older_dump(c)
    control.stop()
    c.redis.kill()
    c.redis.restore(kept)
    c.redis.start()
    shutil.rmtree(control.data)
    control.args = []
    control.start()
    wait_for(status_is(control, "state_regressed"), 15, "the proxy's word")
    refuses_as_regressed(control, "no")
    assert proxy.models(lost["key"]) == 200
    # Bad bodies change nothing.
    for body in (None, [], {}, {"action": "forget"}, {"action": 1}, {"action": "adopt", "supersedes": "xyz"},
                 {"action": "adopt", "more": 1}, {"action": "adopt", "supersedes": "g" * 32}):
        r = control.admin("POST", "/recovery", body)
        assert r.status == 422, (body, r)
    assert control.status() == "state_regressed"
    assert control.admin("GET", "/recovery").status == 405
    wait_for(lambda: recover(c, control, "--adopt").returncode == 0, 5, "the adoption")
    wait_for(status_is(control, "current"), 10, "the new epoch")
    wait_for(lambda: proxy.models(lost["key"]) == 401 and proxy.models(first["key"]) == 200, 10, "the proxy")


def test_everything_gone_a_proxy_starts_from_its_file(cluster):
    c = cluster(controls=1, proxies=1)
    proxy = c.proxies[0]
    key = a_key(c.controls[0], "lkg")["key"]
    file = proxy.data / "last-known-good"
    wait_for(file.exists, 5, "the file")
    a_key(c.controls[0], "another")
    wait_for((proxy.data / "last-known-good.1").exists, 5, "a second generation")
    traffic = Traffic(proxy, key=key)
    for p in (c.controls[0], c.redis):
        p.kill() if p is c.redis else p.process.kill()
    wait_for(lambda: proxy.metric("sluice_config_seq") and proxy.live() and proxy.ready(), 5, "liveness without anybody")
    assert not traffic.stop().bad, traffic.bad[:3]
    proxy.stop()  # writes what it has

    def restart():
        began = time.monotonic()
        proxy.start(wait=False)
        wait_for(lambda: proxy.models(key) == 200, 10, "an answer", step=0.001)
        took = time.monotonic() - began - waited_for_a_core(proxy.process.pid)
        assert "lkg.used" in proxy.process.text()
        proxy.await_ready()
        assert proxy.chat(key).status == 200 and proxy.live()
        proxy.process.kill()
        return took
    print(f"start to first answer, s: {within(0.1 * sluice.SLOW, restart, 30)}")

    # Generations: the newest is damaged, then all are.
    whole = file.read_bytes()
    shutil.copy(file, proxy.data / "last-known-good.1")
    damages = {"truncated": whole[:-20], "not authentic": whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:],
               "truncated in its head": whole[:9]}
    for reason, bytes_ in damages.items():
        file.write_bytes(bytes_)
        proxy.start(wait=False)
        wait_for(lambda: proxy.models(key) == 200, 10, "an answer from the older generation")
        wait_for(lambda: "lkg.older_generation" in proxy.process.text() and reason in proxy.process.text(), 5, reason)
        proxy.process.kill()
    for older in proxy.data.glob("last-known-good.*"):
        older.write_bytes(whole[:-20])
    proxy.process.log.unlink()
    proxy.start(wait=False)
    wait_for(lambda: "lkg.refused" in proxy.process.text(), 5, "the refusal")
    wait_for(proxy.live, 5, "its ports to be open")
    assert not proxy.ready()
    wait_for(lambda: proxy.models(key) == 503, 5, "the port of the others")
    proxy.process.kill()


def test_a_file_of_another_cluster_is_refused(cluster, tmp_path):
    c = cluster(controls=1, proxies=1)
    proxy = c.proxies[0]
    a_key(c.controls[0], "k")
    proxy.stop()
    c.controls[0].process.kill()
    other = tmp_path / "other-keys"
    subprocess.run([str(sluice.BIN / "sluice"), "init", str(other)], check=True, capture_output=True)
    proxy.keys = other
    proxy.start(wait=False)
    wait_for(lambda: "lkg.refused" in proxy.process.text() and "another cluster secret" in proxy.process.text(), 10, "the refusal")
    proxy.process.kill()


def test_a_proxy_takes_another_epoch_only_by_name(cluster):
    """A new installation under the same secrets: who has a past keeps it and says why; who has none takes it."""
    c = cluster(controls=1, proxies=1)
    control, proxy = c.controls[0], c.proxies[0]
    key = a_key(control, "k")["key"]
    proxy.stop()
    control.stop()
    c.redis.kill()
    c.redis.wipe()
    c.redis.start()
    shutil.rmtree(control.data)
    control.start()  # --init: another epoch
    wait_for(status_is(control, "current"), 10, "the new installation")
    proxy.start()
    assert proxy.models(key) == 200
    wait_for(lambda: "another origin (epoch) than ours" in proxy.process.text(), 10, "the reason")
    fresh = c.add_proxy("fresh")
    assert fresh.models(key) == 401
    new = a_key(control, "n", "")["key"]
    wait_for(lambda: fresh.models(new) == 200, 5, "the new key")
    assert proxy.models(key) == 200 and proxy.models(new) == 401 and proxy.ready()


def test_leases_pause_after_an_adoption(cluster):
    """Units granted in the lost tail may still be spent: nothing is granted for the length of a lease."""
    c = cluster(controls=1, proxies=1)
    control, proxy = c.controls[0], c.proxies[0]
    kept = c.dir / "kept"
    body = {"name": "daily", "limits": [{"unit": "requests", "amount": 1000, "per": "1d"}]}
    key = change(control, "POST", "/keys?wait=5s", body).json()["key"]
    c.redis.keep(kept)
    a_key(control, "lost")
    wait_for(lambda: proxy.chat(key).status == 200, 10, "a lease")
    c.redis.kill()
    c.redis.restore(kept)
    c.redis.start()
    wait_for(status_is(control, "state_regressed"), 10, "the regression")
    adopt(control)
    wait_for(status_is(control, "current"), 10, "the new epoch")
    assert c.redis("HGET", "{sluice}:clock", "pause") != ""
    wait_for(lambda: proxy.chat(key).status == 200 and c.redis("HGET", "{sluice}:clock", "pause") == "", 30, "leases again")
