# SPDX-License-Identifier: Apache-2.0
"""Keys are replaced while everything runs: cluster secret, signing key, master key (each process gets its files one after
the other, by SIGHUP), and a provider's key (the old one serves wherever the new one has not arrived).

All of it under requests on every proxy and changes through both control planes: not one request fails, not one
acknowledged change is lost.
"""
import http.client
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest

import sluice
from sluice import BIN, PATIENCE, SLOW, Cluster, Control, Proxy, Redis, change, chat, is_late, request, wait_for


class Fleet:
    """Two control planes and two proxies, each with a directory of keys of its own."""

    def __init__(self, dir, mock):
        self.dir, self.office, self.load = dir, dir / "office", None  # office: where the operator makes keys
        self.restarting = set()  # names
        subprocess.run([str(BIN / "sluice"), "init", str(self.office)], check=True, capture_output=True, timeout=30 * SLOW)
        config = dir / "ai-gateway-config.yaml"
        config.write_text(sluice.PLAIN)
        self.redis = Redis(dir)
        self.controls, self.proxies = [], []
        for i in range(2):
            self.controls.append(Control(dir, f"control{i}", self.redis, self.keys_of(f"control{i}"), config, mock.env()))
        for i in range(2):
            self.proxies.append(Proxy(dir, f"proxy{i}", [c.endpoint for c in self.controls], self.keys_of(f"proxy{i}")))

    def keys_of(self, name):
        to = self.dir / f"keys-{name}"
        if not to.exists():
            shutil.copytree(self.office, to)
        if name.startswith("proxy"):
            for secret in ("signing-key", "master-key"):
                (to / secret).unlink(missing_ok=True)
        return to

    @property
    def process(self):
        return self.controls[0].process

    def rotate(self, what, step):
        r = subprocess.run([str(BIN / "sluice"), "rotate", what, step, str(self.office)], capture_output=True, text=True,
                           timeout=30 * SLOW)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def ids(self):
        return self.rotate("cluster-secret", "list")

    def hand_out(self, one, *files):
        """Carries files to one process and tells it."""
        before, refused = (one.process.text().count(f"keys.{what}") for what in ("loaded", "refused"))
        for file in files:
            if (one.keys / file).exists():
                shutil.copy(self.office / file, one.keys / file)
        one.process.signal(signal.SIGHUP)
        wait_for(lambda: one.process.text().count("keys.loaded") > before, 10, f"{one.name} to read its keys")
        assert one.process.text().count("keys.refused") == refused

    def restart(self, one, *files):
        """The other way to tell it; without mercy."""
        for file in files:
            shutil.copy(self.office / file, one.keys / file)
        self.restarting.add(one.name)
        one.process.kill()
        one.start()
        wait_for(lambda: one.status() == "current", 20)
        self.restarting.remove(one.name)

    def step(self, what, step, files, whom, restarted=()):
        self.rotate(what, step)
        for one in whom:
            (self.restart if one in restarted else self.hand_out)(one, *files)
            if self.load is not None:
                self.load.go_on()

    def refused(self, reason):
        """Messages refused for this reason, by everybody together."""
        total = 0
        for c in self.controls:
            total += metric(c.admin_port, f'sluice_control_messages_refused_total{{reason="{reason}"}}')
        for p in self.proxies:
            total += metric(p.ops_port, f'sluice_link_messages_refused_total{{reason="{reason}"}}')
        return total

    def stop(self):
        for one in (*self.proxies, *self.controls):
            if one.process.p.returncode is None:
                one.stop()
        self.redis.stop()


def metric(port, series):
    for line in request(port, "GET", "/metrics", timeout=5).body.decode().splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


class Load:
    """Requests on every proxy, one after the other on a connection each, and changes through every control plane."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.over, self.answers, self.failed, self.made, self.changes = threading.Event(), 0, [], [], 0
        self.late = []
        self.name = os.urandom(8).hex()  # no other load's changes have this in their Idempotency-Keys
        key = change(fleet.controls[0], "POST", "/keys?wait=5s", {"name": "load"}).json()
        self.key = key["key"]
        self.threads = [threading.Thread(target=self.ask, args=(p,)) for p in fleet.proxies]
        self.threads.append(threading.Thread(target=self.change))

    def ask(self, p):
        c = http.client.HTTPConnection("127.0.0.1", p.port, timeout=20 * PATIENCE)
        body = json.dumps(chat())
        while not self.over.is_set():
            try:
                c.request("POST", "/router/production/chat/completions", body,
                          {"authorization": f"Bearer {self.key}", "content-type": "application/json"})
                r = c.getresponse()
                text = r.read()
                if r.status != 200:
                    self.failed.append((p.name, r.status, text[:200]))
            except (OSError, http.client.HTTPException) as e:
                self.failed.append((p.name, repr(e)))
                c.close()
            self.answers += 1
        c.close()

    def change(self):
        """One key after the other; whatever one of them ends with that is no key is for `check` to show."""
        i = 0
        while not self.over.is_set():
            i += 1
            self.changes += 1
            try:
                self.made.append(self.one(i).json()["key"])
            except Exception as e:  # noqa: BLE001 - in a thread of its own
                self.failed.append(("change", i, repr(e)))
                return
            time.sleep(0.02)

    def one(self, i):
        """A change, through both in turn until one has made it. Only who is being restarted may be away, or not have read Redis yet;
        nobody refuses for another reason but time."""
        end, at = time.monotonic() + 20 * PATIENCE, i
        while True:
            c = self.fleet.controls[at % 2]
            away = c.name in self.fleet.restarting
            try:
                r = c.admin("POST", "/keys?wait=5s", {"name": f"k{i}"}, {"idempotency-key": f"{self.name}-{i}"})
                if r.status in (201, 202):  # 202: a proxy is late
                    return r
                if not away and c.name not in self.fleet.restarting:
                    assert is_late(r), (c.name, r)
                    self.late.append((c.name, r.body[:300]))
                else:
                    assert r.status == 503, (c.name, r)
                reason = r
            except (OSError, http.client.HTTPException) as e:
                assert away or c.name in self.fleet.restarting, (c.name, repr(e))
                reason = e
            assert time.monotonic() < end, ("refused again and again", c.name, reason)
            at += 1
            time.sleep(0.05)

    def go_on(self):
        """Some more of everything as things are now, through every process."""
        answers, made = self.answers, len(self.made)
        wait_for(lambda: self.failed or (self.answers > answers + 20 and len(self.made) > made + 3), 20, "requests and changes to go on")

    def __enter__(self):
        self.fleet.load = self
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.fleet.load = None
        self.over.set()
        for t in self.threads:
            t.join()

    def check(self):
        assert not self.failed, (len(self.failed), self.failed[:5])
        assert len(self.made) == self.changes, "a change ended in an error"
        # A machine that is busy makes some late (they were asked for again), not as many as a control plane that has no key.
        assert SLOW > 1 or len(self.late) <= 10 + self.changes // 3, (self.changes, len(self.late), self.late[:5])
        assert self.answers > 20 and len(self.made) > 5, (self.answers, len(self.made))
        for p in self.fleet.proxies:
            wait_for(lambda: all(p.models(k) == 200 for k in self.made), 10, "every acknowledged change")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, mock):
    f = Fleet(tmp_path_factory.mktemp("rotation"), mock)
    yield f
    f.stop()


def test_the_cluster_secret(fleet):
    everybody = [*fleet.controls, *fleet.proxies]
    old = fleet.dir / "keys-of-yesterday"
    shutil.copytree(fleet.proxies[0].keys, old)
    before = fleet.ids()
    with Load(fleet) as load:
        # One after the other: in between, some know the new one and some do not.
        fleet.step("cluster-secret", "add", ["cluster-secret"], everybody)
        fleet.step("cluster-secret", "use", ["cluster-secret"], [*fleet.proxies, *fleet.controls], restarted=fleet.controls[1:])
        for p in fleet.proxies:  # what is on disk is sealed with the new one soon
            fresh = bytes.fromhex(fleet.ids().split()[1])[::-1]
            wait_for(lambda: (p.data / "last-known-good").read_bytes()[13:17] == fresh, 10, "the file to be sealed anew")
        fleet.step("cluster-secret", "drop", ["cluster-secret"], everybody)
        made = len(load.made)
        wait_for(lambda: len(load.made) > made + 3, 20, "changes under the new secret")
    load.check()
    assert fleet.ids().split()[1] != before.split()[1].rstrip(";")
    assert fleet.refused("unknown_key") == 0 and fleet.refused("not_authentic") == 0

    # The old secret opens nothing any more, and that is counted.
    stranger = Proxy(fleet.dir, "stranger", [c.endpoint for c in fleet.controls], old, wait=False)
    wait_for(lambda: fleet.refused("unknown_key") > 0, 10, "the stranger's messages to be refused")
    assert not stranger.ready_file.exists()
    stranger.process.kill()

    # A proxy that starts alone opens its file with the new secret.
    p = fleet.proxies[1]
    p.process.kill()
    for c in fleet.controls:
        c.process.signal(signal.SIGSTOP)
    try:
        p.start()
        assert p.chat(load.key).status == 200
        assert "lkg.used" in p.process.text() and "lkg.refused" not in p.process.text()
        wait_for(lambda: p.metric("sluice_config_from_file") == 1, 10, "that to be shown")
    finally:
        for c in fleet.controls:
            c.process.signal(signal.SIGCONT)


def test_a_broken_file_is_refused_and_the_old_keys_stay(fleet):
    for one, event in ((fleet.controls[0], "keys.refused"), (fleet.proxies[0], "keys.refused")):
        good = (one.keys / "cluster-secret").read_bytes()
        for bad in (b"not a key\n", b"", b"cluster=another\n" + good.split(b"\n")[2] + b"\n"):
            before = one.process.text().count(event)
            (one.keys / "cluster-secret").write_bytes(bad)
            one.process.signal(signal.SIGHUP)
            wait_for(lambda: one.process.text().count(event) > before, 10, "the file to be refused")
        (one.keys / "cluster-secret").write_bytes(good)
        assert "not a key" not in one.process.text()
    r = change(fleet.controls[0], "POST", "/keys?wait=5s", {"name": "still there"})
    wait_for(lambda: all(p.models(r.json()["key"]) == 200 for p in fleet.proxies), 10)


def test_the_signing_key(fleet):
    files = ["signing-key", "control-public-key"]
    with Load(fleet) as load:
        fleet.step("signing-key", "add", files, [*fleet.proxies, *fleet.controls])
        fleet.step("signing-key", "use", files, [*fleet.controls, *fleet.proxies])
        fleet.step("signing-key", "drop", files, [*fleet.controls, *fleet.proxies])
        made = len(load.made)
        wait_for(lambda: len(load.made) > made + 3, 20, "changes under the new key")
    load.check()
    assert fleet.refused("not_signed") == 0

    # In the wrong order (the control plane signs with what a proxy does not know) the proxy says so, serves what it
    # has, and is back as soon as it knows the key.
    p = fleet.proxies[0]
    fleet.rotate("signing-key", "add")
    fleet.rotate("signing-key", "use")
    for c in fleet.controls:
        fleet.hand_out(c, *files)
    wait_for(lambda: fleet.refused("not_signed") > 0, 10, "unsigned messages to be counted")
    assert p.chat(load.key).status == 200
    for p in fleet.proxies:
        fleet.hand_out(p, *files)
    r = change(fleet.controls[1], "POST", "/keys?wait=5s", {"name": "after"})
    wait_for(lambda: all(p.models(r.json()["key"]) == 200 for p in fleet.proxies), 15, "the proxies to follow again")


def test_the_master_key(fleet, mock):
    a, b = fleet.controls
    marker = "sk-provider-" + "m" * 20
    made = change(a, "POST", "/provider-keys?wait=5s", {"provider": "openai", "name": "second", "value": marker}).json()
    repeat = {"idempotency-key": "before-the-rotation"}
    first = change(a, "POST", "/keys?wait=5s", {"name": "once"}, repeat).json()
    with Load(fleet) as load:
        fleet.step("master-key", "add", ["master-key"], [a, b])
        fleet.step("master-key", "use", ["master-key"], [b, a])
        wait_for(lambda: any("store.resealed" in c.process.text() for c in (a, b)), 15, "records to be sealed anew")
        for c in (a, b):
            wait_for(lambda: metric(c.admin_port, "sluice_control_records_old_key") == 0, 15, "no record under the old key")
        # The repeat of a request of before is told the same, by either.
        for c in (b, a):
            again = change(c, "POST", "/keys?wait=5s", {"name": "once"}, repeat).json()
            assert again["key"] == first["key"] and again["id"] == first["id"]
        fleet.step("master-key", "drop", ["master-key"], [a, b])
        made_by_then = len(load.made)
        wait_for(lambda: len(load.made) > made_by_then + 3, 20, "changes under the new key")
    load.check()
    # The repeat finds its first try, though nobody can make its secret again.
    again = change(b, "POST", "/keys?wait=5s", {"name": "once"}, repeat).json()
    assert again["id"] == first["id"] and "key" not in again

    # Everything can be read with the new key alone: by a control plane that starts with it.
    b.process.kill()
    applied = b.process.text().count("config.applied")
    b.start()
    wait_for(lambda: b.status() == "current", 20)
    assert metric(b.admin_port, "sluice_control_bad_records") == 0
    assert b.admin("GET", f"/provider-keys/{made['id']}").json()["hint"] == "..." + marker[-4:]
    change(b, "POST", f"/provider-keys/{made['id']}/rotate?wait=5s", {"value": marker + "2"})
    # And the file is what was applied before, not news.
    assert b.process.text().count("config.applied") == applied


def test_a_master_key_that_comes_late_mends_what_could_not_be_read(fleet):
    """The wrong order: one control plane seals with a key that the other does not know yet."""
    a, b = fleet.controls
    fleet.rotate("master-key", "add")
    fleet.rotate("master-key", "use")
    fleet.hand_out(a, "master-key")
    r = change(a, "POST", "/provider-keys", {"provider": "anthropic", "name": "late", "value": "sk-late-0123456789"}).json()
    wait_for(lambda: metric(b.admin_port, "sluice_control_bad_records") > 0, 10, "the record to be missed")
    fleet.hand_out(b, "master-key")
    wait_for(lambda: b.admin("GET", f"/provider-keys/{r['id']}").status == 200, 10, "the record to be read")
    wait_for(lambda: metric(b.admin_port, "sluice_control_bad_records") == 0, 10, "none to be missed")
    change(a, "DELETE", f"/provider-keys/{r['id']}?wait=5s")


def test_a_providers_key_with_one_proxy_frozen(tmp_path, mock):
    """`rotate`: each proxy uses the old key until the moment it has the new one; `?wait` tells when that is everywhere."""
    old, new = "sk-of-a-provider-0123-OLDK", "sk-of-a-provider-0123-NEWK"
    env = {k: v for k, v in mock.env().items() if k != "OPENAI_API_KEY"}
    mock.reset()

    class M:  # the same mock, without a key for openai in the environment
        def env(self):
            return env

    cluster = Cluster(tmp_path, M(), controls=2, proxies=3)
    over = threading.Event()
    try:
        a = cluster.controls[0]
        frozen = cluster.proxies[2]
        made = change(a, "POST", "/provider-keys?wait=5s", {"provider": "openai", "name": "main", "value": old}).json()
        assert made["hint"] == "...OLDK", made
        failed, answers = [], [0, 0, 0]

        def ask(i):
            while not over.is_set():
                r = request(cluster.proxies[i].port, "POST", "/router/one/chat/completions", chat(text=f"proxy {i}"), timeout=60)
                answers[i] += 1
                if r.status != 200:
                    failed.append((i, r))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()

        def serve_on(*which):
            """What was under way has ended, and so has what was sent after it."""
            had = list(answers)
            wait_for(lambda: all(answers[i] > had[i] + 2 for i in which), 20, f"{which} to serve on")

        def applied():
            return [p["applied_seq"] >= seq for p in a.admin("GET", "/proxies").json()["data"]]

        def rotated():
            r = a.admin("POST", f"/provider-keys/{made['id']}/rotate?wait=3s", {"value": new}, {"idempotency-key": "to the new one"})
            return None if is_late(r) else r

        serve_on(0, 1, 2)
        frozen.process.signal(signal.SIGSTOP)
        try:
            r = wait_for(rotated, 20, "an answer in time")
            # Not everywhere yet: the provider must go on taking the old one.
            assert r.status == 202 and r.json()["hint"] == "...NEWK" and r.json()["applied"]["missing"], r
            seq = r.json()["seq"]
            wait_for(lambda: applied().count(True) == 2, 20, "the other two to have it")
            serve_on(0, 1)
            seen = max(x["seq"] for x in mock.log())
            serve_on(0, 1)
            since = mock.log(since=seen)
            assert len(since) >= 4 and all("NEWK" in str(x["headers"]) for x in since), "the old key where the new one is in force"
        finally:
            frozen.process.signal(signal.SIGCONT)
        wait_for(lambda: all(applied()), 20, "the third to have it")
        # From here on the old key may be revoked.
        serve_on(2)
        seen = max(x["seq"] for x in mock.log())
        serve_on(2)
        assert all("NEWK" in str(x["headers"]) for x in mock.log(since=seen))
        over.set()
        for t in threads:
            t.join()
        assert not failed, failed[:3]
        # Every attempt carried one of the two, whole.
        for x in mock.log(model="gpt-4o-mini"):
            assert x["headers"]["authorization"].endswith(("OLDK", "NEWK")), x["headers"]
    finally:
        over.set()
        cluster.stop()


def key_lines(path):
    return [line for line in path.read_text().split("\n") if line and line[0] != "#" and not line.startswith("cluster=")]


def test_the_tool(tmp_path):
    """`sluice rotate` changes nothing but the lines it is about, and says what is wrong with what it is given."""
    def rotate(*args):
        return subprocess.run([str(BIN / "sluice"), "rotate", *map(str, args)], capture_output=True, text=True, timeout=30 * SLOW)

    keys = tmp_path / "keys"
    subprocess.run([str(BIN / "sluice"), "init", str(keys)], check=True, capture_output=True, timeout=30 * SLOW)
    secret, signing, public = (keys / n for n in ("cluster-secret", "signing-key", "control-public-key"))
    first = secret.read_text()
    assert rotate("cluster-secret", "add", keys).returncode == 0
    both = secret.read_text()
    assert both.startswith(first) and both.count("\n") == first.count("\n") + 1 and secret.stat().st_mode & 0o777 == 0o600
    assert rotate("cluster-secret", "use", keys).returncode == 0
    swapped = secret.read_text().split("\n")
    assert swapped[:2] == first.split("\n")[:2] and [swapped[2], swapped[4]] == both.split("\n")[3:1:-1]
    assert swapped[3].startswith("# in use before")
    assert rotate("cluster-secret", "drop", keys).returncode == 0
    assert secret.read_text().split("\n") == [*swapped[:3], ""]
    # Without anything to do they do nothing.
    for step in ("use", "drop"):
        assert rotate("cluster-secret", step, keys).returncode == 0
        assert secret.read_text().split("\n") == [*swapped[:3], ""]
    # The two halves of the signing key go together.
    for step in ("add", "use", "drop"):
        assert rotate("signing-key", step, keys).returncode == 0
        assert len(key_lines(signing)) == len(key_lines(public))
        ids = rotate("signing-key", "list", keys).stdout
        assert ids.split("signs ")[1].split(";")[0] == ids.split("trusts ")[1].split()[0], ids
    # Bounds and mistakes.
    for _ in range(7):
        assert rotate("master-key", "add", keys).returncode == 0
    r = rotate("master-key", "add", keys)
    assert r.returncode == 1 and "8 keys already" in r.stderr
    for args in ((), ("cluster-secret",), ("admin-token", "add", keys), ("cluster-secret", "turn", keys), ("cluster-secret", "add", keys, "x")):
        assert rotate(*args).returncode == 2, args
    assert rotate("cluster-secret", "add", tmp_path / "nowhere").returncode == 1
    (keys / "master-key").write_text("# nothing\n")
    assert rotate("master-key", "use", keys).returncode == 1
    assert "rotate" in rotate("--help").stdout


def test_sluice_up(tmp_path, mock):
    """The same on one machine: the data directory, and SIGHUP to `sluice up`."""
    s = sluice.Stack(tmp_path, sluice.PLAIN, mock.env())
    try:
        logs = lambda: s.process.text().count("keys.loaded")
        for what in ("cluster-secret", "signing-key", "master-key"):
            for step in ("add", "use", "drop"):
                subprocess.run([str(BIN / "sluice"), "rotate", what, step, str(s.data)], check=True, capture_output=True, timeout=30 * SLOW)
                before = logs()
                s.process.signal(signal.SIGHUP)
                wait_for(lambda: logs() >= before + 2, 10, "both to read their keys")
                if what == "master-key":
                    wait_for(lambda: metric(s.admin_port, "sluice_control_records_old_key") == 0, 15)
                assert s.post("/router/one/chat/completions", chat()).status == 200
                change(s, "POST", "/keys?wait=5s", {"name": f"{what} {step}"})
        assert not [x for x in ("keys.refused", "link.refused", "publish.refused") if x in s.process.text()]
        s.stop()
        s.start()  # with the new keys alone
        assert s.post("/router/one/chat/completions", chat()).status == 200
        assert len(s.admin("GET", "/keys").json()["data"]) == 9
        assert metric(s.admin_port, "sluice_control_bad_records") == 0
    finally:
        s.stop()


# --- steps that are interrupted ------------------------------------------------------------------

def step(dir, what, how, most=None):
    """One step on the files; with `most`, killed by the kernel at the first file that is larger than that."""
    limit = None if most is None else (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    return subprocess.run([str(BIN / "sluice"), "rotate", what, how, str(dir)], capture_output=True, text=True,
                          timeout=30 * SLOW, preexec_fn=limit)


def done(dir, what, how):
    r = step(dir, what, how)
    assert r.returncode == 0, r.stderr
    return r.stdout


def interrupted(dir, file, how):
    """The step dies between the two files, when it would write `file`."""
    path = dir / file
    text = path.read_text()
    path.write_text("# padding " + "x" * 90 + "\n" + ("# " + "x" * 90 + "\n") * 30 + text)
    os.chmod(path, 0o600)
    assert step(dir, "signing-key", how, 2000).returncode < 0
    return text


def halves(dir):
    """Keys of both files, in their order."""
    return key_lines(dir / "signing-key"), key_lines(dir / "control-public-key")


@pytest.fixture
def keys(tmp_path):
    dir = tmp_path / "keys"
    subprocess.run([str(BIN / "sluice"), "init", str(dir)], check=True, capture_output=True, timeout=30 * SLOW)
    return dir


def test_use_that_was_interrupted_goes_on(keys):
    """Run again it ends what it began, whatever else is tried in between."""
    done(keys, "signing-key", "add")
    (seed, new_seed), (public, new_public) = halves(keys)
    interrupted(keys, "signing-key", "use")
    assert halves(keys) == ([seed, new_seed], [new_public, public])
    for how in ("add", "drop"):
        r = step(keys, "signing-key", how)
        assert r.returncode == 1 and "interrupted" in r.stderr, r
    for _ in range(2):
        done(keys, "signing-key", "use")
        assert halves(keys) == ([new_seed, seed], [new_public, public])
    done(keys, "signing-key", "drop")
    assert halves(keys) == ([new_seed], [new_public])


def test_drop_that_was_interrupted_keeps_the_right_half(keys):
    done(keys, "signing-key", "add")
    done(keys, "signing-key", "use")
    (seed, old_seed), (public, old_public) = halves(keys)
    # As an earlier version could leave it: the halves in different orders.
    (keys / "control-public-key").write_text(f"{old_public}\n{public}\n")
    assert step(keys, "signing-key", "drop").returncode == 1
    (keys / "control-public-key").write_text(f"{public}\n{old_public}\n")
    interrupted(keys, "control-public-key", "drop")
    assert halves(keys) == ([seed], [public, old_public])
    done(keys, "signing-key", "drop")
    assert halves(keys) == ([seed], [public])
    # One that is lost altogether is made again.
    (keys / "control-public-key").write_text(f"{old_public}\n")
    done(keys, "signing-key", "drop")
    assert halves(keys) == ([seed], [public])


def test_add_that_was_interrupted_is_done_again(keys):
    """A public key too many is left until `drop`."""
    [seed], [public] = halves(keys)
    interrupted(keys, "signing-key", "add")
    assert halves(keys)[0] == [seed]
    _, orphan = halves(keys)[1]
    done(keys, "signing-key", "use")  # there is nothing newer to sign with
    assert halves(keys) == ([seed], [public, orphan])
    done(keys, "signing-key", "add")
    new_seed, new_public = halves(keys)[0][1], halves(keys)[1][2]
    done(keys, "signing-key", "use")
    assert halves(keys) == ([new_seed, seed], [new_public, public, orphan])
    done(keys, "signing-key", "drop")
    assert halves(keys) == ([new_seed], [new_public])


def test_a_step_done_twice_is_done_once(keys):
    """Who does not know whether `use` was done does it again: the old key must not come back."""
    for what in ("cluster-secret", "signing-key", "master-key"):
        path = keys / what
        lines = lambda: key_lines(path)  # noqa: E731
        first = lines()
        done(keys, what, "add")
        second = lines()[-1]
        for _ in range(3):
            done(keys, what, "use")
            assert lines() == [second] + first
        done(keys, what, "add")
        third = lines()[-1]
        for _ in range(2):
            done(keys, what, "use")
            assert lines() == [third, second] + first
        for _ in range(2):
            done(keys, what, "drop")
            assert lines() == [third]
        assert "before" not in path.read_text()


def test_use_does_not_go_back_to_a_key_that_was_passed_over(keys):
    """`add` that was done twice, too: the older one of both is not the newest once the other is used."""
    for what in ("cluster-secret", "signing-key", "master-key"):
        path = keys / what
        done(keys, what, "add")
        done(keys, what, "add")
        first, second, third = key_lines(path)
        for _ in range(3):
            done(keys, what, "use")
            assert key_lines(path) == [third, first, second]
        done(keys, what, "add")
        fourth = key_lines(path)[-1]
        for _ in range(3):
            done(keys, what, "use")
            assert key_lines(path) == [fourth, third, first, second]
        done(keys, what, "drop")
        assert key_lines(path) == [fourth] and "before" not in path.read_text()
