# SPDX-License-Identifier: Apache-2.0
"""Somebody sits on the wire between real proxies and a real control plane: he flips bits, records and replays, changes the
order, speaks for another cluster or for the control plane though he only is a proxy. And, with all keys in his hand, he
plays a control plane and proxies of a later and of an earlier version, and makes a proxy's state diverge in silence.

What is refused is counted by its reason; traffic goes on, and the state is right in the end.
"""
import copy
import os
import signal
import threading

import pytest

import planewire as pw
import sluice
from middleman import Middleman
from sluice import Control, Proxy, Redis, chat, is_late, request, wait_for

CONFIG = """\
routers:
  one:
    load-balance:
      chat: {strategy: priority, providers: [openai]}
  few:
    load-balance:
      chat: {strategy: priority, providers: [openai]}
    rate-limit: {per-api-key: {capacity: 3, refill-frequency: 1h}}
"""


def metric(port, series):
    for line in request(port, "GET", "/metrics", timeout=5).body.decode().splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def metric_sum(port, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in request(port, "GET", "/metrics", timeout=5).body.decode().splitlines()
               if line.startswith(name))


class Wire:
    """One control plane, one proxy, and the relay between them."""

    def __init__(self, dir, mock, name="a", proxies=1):
        self.dir = dir / name
        self.dir.mkdir()
        self.keys = self.dir / "keys"
        sluice.subprocess.run([str(sluice.BIN / "sluice"), "init", str(self.keys)], check=True, capture_output=True, timeout=60)
        self.ring = pw.Keys(self.keys)
        config = self.dir / "ai-gateway-config.yaml"
        config.write_text(CONFIG)
        self.redis = Redis(self.dir)
        self.control = Control(self.dir, "control", self.redis, self.keys, config, mock.env())
        self.relay = Middleman(self.control.port)
        self.proxies = [Proxy(self.dir, f"proxy{i}", [self.relay.endpoint], self.keys) for i in range(proxies)]
        self.proxy = self.proxies[0]
        self.made = []

    @property
    def process(self):
        return self.proxy.process

    def refused(self, reason):
        return metric(self.proxy.ops_port, f'sluice_link_messages_refused_total{{reason="{reason}"}}')

    def refused_above(self, reason):
        return metric(self.control.admin_port, f'sluice_control_messages_refused_total{{reason="{reason}"}}')

    def change(self, wait="5s"):
        """Made; in force as well, where the wire lets it through in time (201, else 202)."""
        body, h = {"name": f"k{len(self.made)}"}, {"idempotency-key": os.urandom(8).hex()}
        ask = lambda: self.control.admin("POST", f"/keys?wait={wait}", body, h)
        r = wait_for(lambda: (lambda r: None if is_late(r) else r)(ask()), 10, "an answer in time", 0.05)
        assert r.status in (201, 202), r
        self.made.append(r.json()["key"])
        return r

    def delete(self, id):
        """In force everywhere."""
        sluice.change(self.control, "DELETE", f"/keys/{id}?wait=5s")

    def check(self):
        """Everything that was ever changed is in force, the same everywhere, and it serves."""
        wait_for(lambda: all(p.models(k) == 200 for p in self.proxies for k in self.made), 15, "all keys to be known")
        seq = int(metric(self.control.admin_port, "sluice_control_seq"))
        wait_for(lambda: all(p.metric("sluice_config_seq") >= seq for p in self.proxies), 15, "the last change")
        assert self.proxy.chat(self.made[0] if self.made else None).status == 200

    def down(self, body):
        """Something of ours on PUB."""
        for c in self.relay.of("pub"):
            c.send(False, body)

    def stop(self):
        for one in (*self.proxies, self.control):
            if one.process.p.returncode is None:
                one.process.signal(signal.SIGCONT)
                one.stop()
        self.relay.stop()
        self.redis.stop()


@pytest.fixture(scope="module")
def wire(tmp_path_factory, mock):
    w = Wire(tmp_path_factory.mktemp("wire"), mock)
    w.change()
    yield w
    w.stop()


@pytest.fixture(autouse=True)
def honest(request):
    """The relay passes everything on before and after each test."""
    yield
    if "wire" in request.fixturenames:
        request.getfixturevalue("wire").relay.on_message = lambda name, up, body: [body]


def flipped(body, at, bit=0x10):
    out = bytearray(body)
    out[at % len(out)] ^= bit
    return bytes(out)


REFUSALS = ("malformed", "foreign_version", "foreign_cluster", "unknown_key", "not_authentic", "not_signed", "replayed", "old")


def test_bits_are_flipped_on_the_way_down(wire):
    """Each message first comes damaged, at another place each time, then as it was."""
    n = [0]

    def damage(name, up, body):
        if up or n[0] >= 200:
            return [body]
        n[0] += 1
        head = body[:4] if name == "rep" else b""  # nanomsg's own, to find the way
        return [head + flipped(body[len(head):], n[0] * 37, 1 << n[0] % 8), body]

    before = sum(wire.refused(r) for r in REFUSALS)
    wire.relay.on_message = damage
    answers = []
    while n[0] < 60:
        answers.append(wire.change().status)
    assert answers.count(201) > len(answers) / 2, answers  # in force at once
    # All of them were refused: none opened anything, none disturbed what came behind it. (A flipped bit in a field's tag can
    # leave a message that says the same: unknown fields are allowed. It is then delivered, and the true one is the replay.)
    wait_for(lambda: sum(wire.refused(r) for r in REFUSALS) - before >= n[0] - 2, 15, "all to be counted")
    assert wire.refused("not_authentic") > 0
    wire.check()


def test_bits_are_flipped_on_the_way_up(wire):
    n, before = [0], sum(wire.refused_above(r) for r in REFUSALS)

    def damage(name, up, body):
        if not up or n[0] >= 100:
            return [body]
        n[0] += 1
        head = body[:4] if name == "rep" else b""
        return [head + flipped(body[len(head):], n[0] * 31, 1 << n[0] % 8), body]

    wire.relay.on_message = damage
    answers = []
    while n[0] < 40:
        answers.append(wire.change().status)
    assert answers.count(201) > len(answers) / 2, answers
    wait_for(lambda: sum(wire.refused_above(r) for r in REFUSALS) - before >= n[0] - 2, 15, "all to be counted")
    assert wire.refused_above("not_authentic") > 0
    wire.check()


def test_deltas_that_only_come_damaged_are_fetched(wire):
    lost = [0]

    def damage(name, up, body):
        if name == "pub" and pw.open_message(wire.ring, pw.BROADCAST, body).type == pw.DELTA and lost[0] < 3:
            lost[0] += 1
            return [flipped(body, len(body) // 2)]
        return [body]

    wire.relay.on_message = damage
    before = metric(wire.proxy.ops_port, "sluice_link_snapshots_total")
    for _ in range(5):
        wire.change()
    wait_for(lambda: lost[0] == 3, 10, "three to be lost")
    wire.check()
    assert metric(wire.proxy.ops_port, "sluice_link_snapshots_total") > before


def test_recordings(wire):
    """Everything that ever passed, once more."""
    while len(wire.relay.bodies("pub", False)) < 12 or len(wire.relay.bodies("pull", True)) < 12:
        wire.change()
    wait_for(lambda: any(pw.open_message(wire.ring, pw.BROADCAST, b).type == pw.HEARTBEAT for b in wire.relay.bodies("pub", False)), 10,
             "a heartbeat: it is not dropped for its sequence, as deltas are")
    for name, up, count in (("pub", False, wire.refused), ("pull", True, wire.refused_above)):
        old = wire.relay.bodies(name, up)
        assert len(old) > 10
        before = count("replayed") + count("old")
        for c in wire.relay.of(name):
            for body in old:
                c.send(up, body)
        wait_for(lambda: count("replayed") + count("old") - before >= len(old), 15, f"the recordings of {name} to be refused")
        assert count("replayed") > 0
    # Requests and answers: the count of the one and the random number of the other are used up.
    requests, answers = wire.relay.bodies("rep", True), wire.relay.bodies("rep", False)
    up, down = wire.refused_above("replayed"), wire.refused("replayed")
    for c in wire.relay.of("rep"):
        for body in requests:
            c.send(True, body)
        for body in answers:
            c.send(False, body)
    wait_for(lambda: wire.refused_above("replayed") - up >= len(requests), 15, "the recorded requests to be refused")
    wait_for(lambda: wire.refused("replayed") - down >= len(answers), 15, "the recorded answers to be refused")
    wire.check()


def test_another_order(wire):
    """Two deltas change places: the later one waits for a snapshot, the earlier one is the replay it seems to be."""
    kept, swapped, before = [], [0], wire.refused("replayed") + wire.refused("old")

    def swap(name, up, body):
        if name != "pub" or pw.open_message(wire.ring, pw.BROADCAST, body).type != pw.DELTA or swapped[0] >= 3:
            return [body]
        if not kept:
            kept.append(body)
            return []
        swapped[0] += 1
        return [body, kept.pop()]

    wire.relay.on_message = swap
    while swapped[0] < 3:
        wire.change("10ms")
    wait_for(lambda: wire.refused("replayed") + wire.refused("old") - before >= 3, 15, "the earlier ones to be refused")
    wire.check()


def test_another_cluster(wire, tmp_path, mock):
    other = Wire(tmp_path, mock, "other")
    try:
        other.change()
        wait_for(lambda: len(other.relay.bodies("pub", False)) > 2 and other.relay.bodies("pull", True), 10)
        before, above = wire.refused("foreign_cluster"), wire.refused_above("foreign_cluster")
        for body in other.relay.bodies("pub", False):
            wire.down(body)
        for c in wire.relay.of("pull"):
            for body in other.relay.bodies("pull", True):
                c.send(True, body)
        wait_for(lambda: wire.refused("foreign_cluster") - before >= 3, 10, "broadcasts to be refused")
        wait_for(lambda: wire.refused_above("foreign_cluster") > above, 10, "reports to be refused")
        # One that shares the cluster's name but not its secret is no better.
        mallory = copy.copy(other.ring)
        mallory.cluster = wire.ring.cluster
        before = wire.refused("unknown_key")
        wire.down(pw.Message(pw.HEARTBEAT, [], sender=os.urandom(16), count=1).close(mallory, pw.BROADCAST))
        wait_for(lambda: wire.refused("unknown_key") > before, 10, "an unknown key to be refused")
        mallory.id = wire.ring.id  # ... nor when it claims that it has
        before = wire.refused("not_authentic")
        wire.down(pw.Message(pw.HEARTBEAT, [], sender=os.urandom(16), count=1).close(mallory, pw.BROADCAST))
        wait_for(lambda: wire.refused("not_authentic") > before, 10, "a false claim to be refused")
        wire.check()
    finally:
        other.stop()


def test_a_proxy_speaks_for_the_control_plane(wire):
    """Every proxy has the cluster secret and could seal in the control plane's name. It cannot sign."""
    proxy = pw.Keys(wire.keys, signing=False)
    proxy.set_seed(os.urandom(32))
    true = pw.open_message(wire.ring, pw.BROADCAST, wire.relay.bodies("pub", False)[-1])
    seq = int(metric(wire.control.admin_port, "sluice_control_seq"))
    evil = pw.Message(pw.DELTA, [[1, 0, seq], [2, 0, seq + 1], [4, 2, pw.build([[1, 0, 4], [2, 2, b"x"]])]], epoch=true.epoch, seq=seq + 1,
                      sender=true.sender, count=true.count + 1000)
    before = wire.refused("not_signed")
    wire.down(evil.close(proxy, pw.BROADCAST))  # signed by a key nobody trusts
    wire.down(evil.close(proxy, pw.BROADCAST, signer=wire.ring.signer))  # which claims to be the trusted one
    unsigned = pw.parse(evil.close(proxy, pw.BROADCAST))
    wire.down(pw.build([f for f in unsigned if f[0] != 14]))  # not at all
    wire.down(pw.build([[f, k, v if f != 14 else v[:63]] for f, k, v in unsigned]))
    wait_for(lambda: wire.refused("not_signed") - before == 4, 10, "all four to be refused")
    # What it may say as itself, it may not say where the control plane speaks, nor the other way round.
    before, above = wire.refused("not_authentic"), wire.refused_above("not_authentic")
    wire.down(pw.Message(pw.HEARTBEAT, [], sender=true.sender, count=true.count + 1000).close(wire.ring, pw.UPWARD))
    for c in wire.relay.of("pull"):
        c.send(True, wire.relay.bodies("pub", False)[-1])
    wait_for(lambda: wire.refused("not_authentic") > before and wire.refused_above("not_authentic") > above, 10, "the wrong purpose to be refused")
    for version in (0, 2, 77):
        before = wire.refused("foreign_version")
        wire.down(pw.build([[f, k, v if f != 1 else version] for f, k, v in pw.parse(wire.relay.bodies("pub", False)[-1])]))
        wait_for(lambda: wire.refused("foreign_version") > before, 10, "another version of the envelope to be refused")
    wire.check()


# ---- a proxy whose state diverges in silence -----------------------------------------------------


def test_a_silently_diverged_proxy_is_found_and_mended(tmp_path, mock):
    """Deltas reach one of two proxies without what they change (and are sealed and signed as they should be): same sequence,
    other content. Only the digest in the heartbeat can tell."""
    w = Wire(tmp_path, mock, proxies=1)
    w.proxies.append(Proxy(w.dir, "proxy1", [w.control.endpoint], w.keys))
    try:
        w.change()
        robbed = [0]

        def rob(name, up, body):
            if name != "pub" or robbed[0]:
                return [body]
            m = pw.open_message(w.ring, pw.BROADCAST, body)
            if m.type != pw.DELTA:
                return [body]
            robbed[0] += 1
            m.body = [f for f in m.body if f[0] not in (3, 4)]
            return [m.close(w.ring, pw.BROADCAST)]

        w.relay.on_message = rob
        before = metric(w.proxy.ops_port, "sluice_link_divergences_total")
        w.change()
        wait_for(lambda: robbed[0] == 1, 10, "one to be robbed")
        wait_for(lambda: metric(w.proxy.ops_port, "sluice_link_divergences_total") > before, 10, "the heartbeat to find it")
        w.check()
        wait_for(lambda: "link.synced" in w.proxy.process.text().partition("link.diverged")[2], 5, "the lines")
        # A deletion that was swallowed: the key would go on working for ever.
        robbed[0] = 0
        id = w.control.admin("GET", "/keys").json()["data"][-1]["id"]
        key = next(k for k in w.made if k.split("-")[2] == id)
        w.made.remove(key)
        w.delete(id)
        wait_for(lambda: robbed[0] == 1, 10, "the next to be robbed")
        wait_for(lambda: all(p.models(key) == 401 for p in w.proxies), 10, "the deletion to be found out")
        assert metric(w.proxies[1].ops_port, "sluice_link_divergences_total") == 0
        w.check()

        # Redis is changed by hand at the same sequence while the control plane is down: what it then says differs from
        # what the proxies have, and they follow it.
        w.relay.on_message = lambda name, up, body: [body]
        victim = w.change().json()
        w.made.remove(victim["key"])
        w.control.process.kill()
        assert w.redis("HDEL", "{sluice}:resources", f"key:{victim['id']}") == "1"
        w.control.start()
        wait_for(lambda: all(p.models(victim["key"]) == 401 for p in w.proxies), 20, "both to follow")
        assert all(metric(p.ops_port, "sluice_link_divergences_total") > 0 for p in w.proxies)
        w.check()
    finally:
        w.stop()


# ---- other versions ------------------------------------------------------------------------------

STRANGE = [[1000, 0, 7], [1001, 1, bytes(8)], [1002, 2, b"of a later version"], [1003, 5, bytes(4)], [1004, 2, pw.build([[1, 0, 1]])]]
# Fields that an earlier version did not have (absent is zero).
LATER = {pw.REPORT: (5, 8, 9, 10), pw.SYNC_CHUNK: (8,), pw.DELTA: (), pw.HEARTBEAT: (3,)}
LATER_NESTED = {pw.USAGE_REPORT: {5: (16, 18, 19, 20, 21, 22, 23)}, pw.LEASE_REQUEST: {2: (5,)}, pw.LEASE_GRANT: {1: (7, 8)}}
LATER_RESOURCE = {11: (12, 13, 14, 15, 16), 14: (13, 14), 16: (7, 8, 9, 10), 17: (15, 16, 17)}


def newer(fields, nested):
    """Unknown fields in a message and in all that are in it."""
    out = []
    for f, kind, v in fields:
        out.append([f, kind, pw.build(newer(pw.parse(v), nested[f])) if kind == 2 and f in nested else v])
    return out + STRANGE


def older_resource(data):
    return pw.build([[f, k, pw.build([x for x in pw.parse(v) if x[0] not in LATER_RESOURCE[f]]) if f in LATER_RESOURCE else v]
                     for f, k, v in pw.parse(data)])


def older(type, fields):
    out = []
    for f, kind, v in fields:
        if f in LATER.get(type, ()):
            continue
        if f in LATER_NESTED.get(type, {}):
            v = pw.build([x for x in pw.parse(v) if x[0] not in LATER_NESTED[type][f]])
        if (type, f) in ((pw.DELTA, 3), (pw.SYNC_CHUNK, 9)):
            v = pw.build([[n, k, older_resource(x) if n == 4 else x] for n, k, x in pw.parse(v)])
        out.append([f, kind, v])
    return out


class Translator:
    """Opens everything, changes it, seals and signs it again. Counts are doubled, so that there is room for messages of
    ours between any two."""

    def __init__(self, wire, change, inject=lambda name, up, m: []):
        self.ring, self.change, self.inject = wire.ring, change, inject
        self.lock, self.types, self.errors = threading.Lock(), set(), []

    def __call__(self, name, up, body):
        try:
            with self.lock:
                return self.translate(name, up, body)
        except Exception as e:  # in the relay's thread: shown by the test
            self.errors.append(repr(e))
            return [body]

    def translate(self, name, up, body):
        purpose, head = pw.PURPOSE[name, up], body[:4] if name == "rep" else b""
        m = pw.open_message(self.ring, purpose, body[len(head):])
        self.types.add(m.type)
        extra = self.inject(name, up, m)
        m.count *= 2
        out = []
        if self.change(m):
            out.append(head + m.close(self.ring, purpose))
        for x in extra:
            x.count = m.count + 1
            out.append(head + x.close(self.ring, purpose))
        return out


def later_version(m):
    if m.type == pw.REFUSAL and pw.get(m.body, 1) == 5 and b"unknown request" in pw.get(m.body, 2, b""):
        return False  # the answer to our unknown request, not the proxy's affair
    gizmo = []
    if m.type in (pw.SYNC_CHUNK, pw.HEARTBEAT):
        # A kind of resource that nobody knows yet is part of the state, and of its digest.
        strange = pw.digest_of(77, "gizmo", 3)
        if m.type == pw.HEARTBEAT:
            pw.put(m.body, 2, pw.get(m.body, 2) ^ strange)
        elif m.type == pw.SYNC_CHUNK:
            pw.put(m.body, 6, pw.get(m.body, 6) ^ strange)
            if pw.get(m.body, 1) and pw.get(m.body, 3):
                pw.put(m.body, 7, pw.get(m.body, 7) + 1)
                gizmo.append([9, 2, pw.build([[1, 0, 77], [2, 2, b"gizmo"], [3, 0, 3], [4, 2, b"\xff\xff not even protobuf"]])])
    m.body = newer(m.body, pw.NESTED.get(m.type, {})) + gizmo
    m.extra = STRANGE
    return True


def strangers(name, up, m):
    """With each message one of a type that only a later version knows."""
    head = dict(epoch=m.epoch, seq=m.seq, sender=m.sender, recipient=m.recipient)
    if name == "rep" and not up:
        return []  # an answer nobody asked for is a replay
    return [pw.Message(99 if name == "pub" else 97, STRANGE, request=os.urandom(16) if name == "rep" else b"", **head)]


def use_everything(w):
    """All message types in both directions: changes, a limit, usage, health."""
    key = w.change().json()["key"]
    for _ in range(3):
        w.change()
    few = lambda: request(w.proxy.port, "POST", "/router/few/chat/completions", chat(), {"authorization": f"Bearer {key}"}).status
    answers = []
    # All three and no fourth, unless an answer takes too long: then a share of the limit is served meanwhile.
    wait_for(lambda: answers.append(few()) or answers.count(200) >= 3, 10, "three to be served")
    wait_for(lambda: few() == 429, 10, "the limit to be reached")
    assert set(answers) <= {200, 429}
    for _ in range(5):
        assert w.proxy.chat(key).status == 200
    used = lambda: [x["requests"] for x in w.control.admin("GET", "/usage?group_by=key").json()["data"] if x["key"] == key.split("-")[2]]
    wait_for(lambda: sum(used()) >= 8, 20, "usage to be taken")
    wait_for(lambda: w.proxy.metric("sluice_usage_pending") == 0, 20, "the proxy to know that")
    wait_for(lambda: w.control.admin("GET", "/proxies").json()["data"][0]["live"], 10)
    w.delete(key.split("-")[2])
    assert w.proxy.models(key) == 401
    w.made.remove(key)
    w.check()


@pytest.mark.parametrize("version", ["later", "earlier"])
def test_another_version(tmp_path, mock, version):
    """To the proxy the control plane is of that version, to the control plane the proxy is."""
    w = Wire.__new__(Wire)
    original = Wire.__init__

    def earlier_version(m):
        if m.type == pw.PROBES:
            return False  # there was no such message
        m.body = older(m.type, m.body)
        return True

    # The relay translates from the first byte on.
    translator = []
    start = Proxy.start

    def started(self, *args, **more):
        if not translator and hasattr(w, "relay"):
            translator.append(Translator(w, later_version, strangers) if version == "later" else Translator(w, earlier_version))
            w.relay.on_message = translator[0]
        return start(self, *args, **more)

    Proxy.start = started
    try:
        original(w, tmp_path, mock)
    finally:
        Proxy.start = start
    try:
        t = translator[0]
        use_everything(w)
        assert not t.errors, t.errors[:3]
        expected = set(range(1, 12)) - {pw.REFUSAL, pw.PROBES}
        wait_for(lambda: expected <= t.types, 10, f"messages of all types, not only {t.types}")
        for reason in ("malformed", "foreign_version", "not_authentic", "not_signed", "unknown_key"):
            assert w.refused(reason) == 0 and w.refused_above(reason) == 0, reason
        assert metric(w.proxy.ops_port, "sluice_link_divergences_total") == 0
        if version == "later":
            wait_for(lambda: metric(w.proxy.ops_port, "sluice_link_messages_unknown_total") > 0, 10, "an unknown message to be counted")
            wait_for(lambda: metric(w.control.admin_port, 'sluice_control_messages{kind="unknown"}') > 0, 10, "another one")
            # Unknown kinds of resources are no errors, either.
            wait_for(lambda: metric_sum(w.proxy.ops_port, "sluice_config_lag") == 0, 10, "the last change")
        before = w.proxy.process.text().count("link.synced")
        w.proxy.process.kill()
        w.proxy.start()
        wait_for(lambda: w.proxy.process.text().count("link.synced") > before or w.proxy.metric("sluice_link_connected") == 1, 20)
        w.change()
        w.check()
    finally:
        w.stop()
