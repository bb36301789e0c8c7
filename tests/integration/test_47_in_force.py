# SPDX-License-Identifier: Apache-2.0
"""What an answer to `?wait=` promises: 200 = no proxy serves the state before any more; 202 = these may."""
import http.client
import signal
import threading

import pytest

import sluice
from limitload import Limited, Load
from relay import Relay
from sluice import wait_for


@pytest.fixture
def cluster(mock, tmp_path):
    made = []

    def make(**more):
        made.append(sluice.Cluster(tmp_path, mock, **more))
        return made[-1]
    yield make
    for c in made:
        c.stop()


class Doors:
    """Kept connections to every proxy, so many that they are spread over its workers."""

    def __init__(self, proxies, each=4):
        self.all = [(p, http.client.HTTPConnection("127.0.0.1", p.port, timeout=30 * sluice.SLOW)) for p in proxies for _ in range(each)]

    def try_key(self, key):
        """The statuses that occur, each with the proxies that gave it."""
        out = {}
        for p, c in self.all:
            c.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
            r = c.getresponse()
            r.read()
            out.setdefault(r.status, set()).add(p.name)
        return out

    def close(self):
        for _, c in self.all:
            c.close()


def make_key(control, name):
    r = control.sure("POST", "/keys?wait=5s", {"name": name})
    assert r.status == 201 and r.json()["applied"]["missing"] == [], r
    return r.json()


def revoke(control, key, how, wait="5s"):
    if how == "delete":
        return control.sure("DELETE", f"/keys/{key['id']}?wait={wait}")
    return control.sure("POST", f"/keys/{key['id']}/disable?wait={wait}")


def in_load(c, seconds, work):
    """Runs work() while all proxies are under load with a key of its own; not one of those requests may fail."""
    always = Limited("always", "requests", 1, 1)
    always.key = make_key(c.controls[0], "always")["key"]
    failed = []

    def load():
        try:
            Load(c.proxies, [always], seconds, "f", connections=4, pause=0.002, expect=(200,))
        except AssertionError as e:
            failed.append(e)
    t = threading.Thread(target=load)
    t.start()
    try:
        work()
    finally:
        t.join()
    assert not failed, failed


def test_after_a_200_the_key_is_refused_everywhere(cluster):
    """A hundred times, under load, through two control planes, at every worker of three proxies, by the very next request."""
    c = cluster(controls=2, proxies=0)
    for i in range(3):
        c.add_proxy(f"proxy{i}", args=("--workers", "2"))
    doors, names = Doors(c.proxies), {p.name for p in c.proxies}

    def work():
        for n in range(100):
            key = make_key(c.controls[n % 2], f"revoked-{n}")
            assert doors.try_key(key["key"]) == {200: names}, n
            control = c.controls[(n // 2) % 2]
            # What the other one made it has a moment later; `wait` speaks of proxies.
            wait_for(lambda: control.admin("GET", f"/keys/{key['id']}").status == 200, 5, "the key at the other control plane")
            r = revoke(control, key, "delete" if n % 3 else "disable")
            assert r.status == 200 and r.json()["applied"] == {"live": 3, "applied": 3, "missing": []}, r
            assert doors.try_key(key["key"]) == {401: names}, n
    in_load(c, 4 * sluice.SLOW, work)
    doors.close()


def id_of(c, proxy):
    """What the control plane calls it."""
    rows = c.controls[0].admin("GET", "/proxies").json()["data"]
    return next(r["id"] for r in rows if r["ops"].endswith(f":{proxy.ops_port}"))


@pytest.mark.parametrize("wait", ["1s", "5s"])
def test_a_frozen_proxy_is_named(cluster, wait):
    """Also when it has been silent for so long at the end of the waiting that it does not count as live any more."""
    c = cluster(controls=1, proxies=3)
    odd, others = c.proxies[2], c.proxies[:2]
    name, key = id_of(c, odd), make_key(c.controls[0], "revoked")
    odd.process.signal(signal.SIGSTOP)
    try:
        r = revoke(c.controls[0], key, "delete", wait)
        assert r.status == 202, r
        # In a second a machine that others use may not have come to all of the others, either: who is not named has it.
        applied, named = r.json()["applied"], {id_of(c, p): p for p in others}
        missing = applied["missing"]
        assert name in missing and set(missing) <= {name, *(named if wait == "1s" else ())}, r
        assert (applied["live"], applied["applied"]) == (3, 3 - len(missing)), r
        assert [p.models(key["key"]) for n, p in named.items() if n not in missing] == [401] * applied["applied"]
    finally:
        odd.process.signal(signal.SIGCONT)
    wait_for(lambda: odd.models(key["key"]) == 401, 5, "the change on the proxy that was frozen")
    make_key(c.controls[0], "after")


def test_a_proxy_that_is_cut_off_is_named(cluster):
    """It serves on, from the state before; the answer says so. The network mended, it catches up."""
    c = cluster(controls=1, proxies=2)
    relay = Relay(c.controls[0].port)
    odd = sluice.Proxy(c.dir, "odd", [relay.endpoint], c.keys)
    try:
        key = make_key(c.controls[0], "revoked")
        name = id_of(c, odd)
        relay.open = False
        r = revoke(c.controls[0], key, "delete", "5s")
        assert r.status == 202 and r.json()["applied"] == {"live": 3, "applied": 2, "missing": [name]}, r
        assert [p.models(key["key"]) for p in c.proxies] == [401, 401]
        assert odd.models(key["key"]) == 200 and odd.ready()
        relay.open = True
        wait_for(lambda: odd.models(key["key"]) == 401, 10, "the change on the proxy that was cut off")
        wait_for(lambda: c.controls[0].admin("POST", "/keys?wait=5s", {"name": "after"}).json()["applied"]["live"] == 3, 10, "all of them")
    finally:
        relay.open = True
        odd.stop()
        relay.stop()
