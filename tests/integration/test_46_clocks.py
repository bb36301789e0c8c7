# SPDX-License-Identifier: Apache-2.0
"""The wall clock of one process jumps by an hour (libfaketime) while limits are being used: nothing is granted early, nothing stops.

What is admitted is held against the bound by the mock's clock, which nobody touches, as in test_45. The monotonic clock is left
alone everywhere: it does not jump on a real machine either.
"""
import calendar
import email.utils
import glob
import os
import time

import pytest

import limitload
import sluice
from limitload import Limited, Load
from sluice import request, wait_for

HOUR = 3600
LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


class Clock:
    """Of one process: `jump` sets how far it is from the real one."""

    def __init__(self, dir, name):
        if not LIBRARIES:
            pytest.skip("Debian's package libfaketime is not installed")
        self.file = dir / f"{name}.clock"
        self.jump(0)
        # libc before Redis's jemalloc: that one asks for the time while it prepares the memory that libfaketime needs to begin.
        self.env = {"LD_PRELOAD": f"{LIBRARIES[0]} libc.so.6", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_TIMESTAMP_FILE": str(self.file)}
        if sluice.SLOW > 1:
            # A sanitizer's runtime wants to be the first library. Whether it bears not to be is tried below.
            self.env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "detect_leaks=1:exitcode=67") + ":verify_asan_link_order=0"

    def jump(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.file)


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    dir = tmp_path_factory.mktemp("mock")
    m = sluice.Mock(dir, 1, ["--log", dir / "attempts.log", "--log-keep", "0", "--body-keep", "200"])
    m.file = dir / "attempts.log"
    yield m
    m.stop()


@pytest.fixture
def cluster(mock, tmp_path):
    made = []

    def make(**more):
        proxies, dir = more.pop("proxies", 2), tmp_path / more.pop("dir", "")
        dir.mkdir(exist_ok=True)
        made.append(sluice.Cluster(dir, mock, controls=1, proxies=proxies, **more))
        return made[-1]
    yield make
    for c in made:
        if c.redis.process.alive():
            c.stop()


def bears_it(cluster, clock, start):
    """Runs start(); a program with a sanitizer that does not start under libfaketime is a reason to leave the test out."""
    try:
        return start()
    except RuntimeError as e:
        if sluice.SLOW > 1:
            pytest.skip(f"does not run under libfaketime with this sanitizer: {str(e)[-300:]}")
        raise


def seconds_off(port, path="/healthz"):
    """How far a process's own clock is from ours, by the Date of its answers."""
    return email.utils.parsedate_to_datetime(request(port, "GET", path).headers["date"]).timestamp() - time.time()


def limits_for(cluster, zone="UTC"):
    """A small and a large bucket, a window, and a day that does not end now."""
    out = []
    for l, per, more in ((Limited("small", "requests", 4, 2), "2s", {}), (Limited("large", "requests", 100, 2), "2s", {}),
                         (Limited("hour2", "requests", 60, None, weight=10), "2h", {}),
                         (Limited("day", "requests", 60, None, weight=10), "day", {"time_zone": zone})):
        r = cluster.controls[0].sure("POST", "/keys?wait=5s", {"name": l.name, "limits": [
            {"unit": l.unit, "amount": l.amount, "per": per, "on_control_loss": "closed", **more}]})
        assert r.status == 201, r
        l.key = r.json()["key"]
        out.append(l)
    return out


def quiet_zone():
    """Where it is half past three, so to say: an hour ahead and back the day is the same."""
    hour = time.gmtime().tm_hour
    return f"Etc/GMT{hour - 12:+d}" if hour != 12 else "UTC"


def load_through_jumps(c, mock, limits, clock, moved, tag):
    """A load while the clock jumps an hour ahead and then to an hour behind; `moved` (seconds): waits until the process sees it."""
    import threading
    trouble = []

    def jumps():
        try:
            for by in (HOUR, -HOUR):
                time.sleep(2)  # the length of a period, not a synchronisation: the bound is looked at before, over and after a jump
                clock.jump(by)
                moved(by)
        except AssertionError as e:
            trouble.append(e)
    t = threading.Thread(target=jumps)
    t.start()
    load = Load(c.proxies, limits, 7, tag, pause=0.003)
    t.join()
    assert not trouble, trouble
    out = limitload.verdicts(limits, load, limitload.arrivals(mock.file), periods=2.4)
    print(*out, sep="\n")
    for v in out:
        assert v.excess <= 1e-6, v
        # And it goes on: what is admitted of those requests elsewhere, but for two of seven seconds at most that a clock may stand still
        # (and what a busy machine costs). Without the refill behind the first jump it would be less than half.
        if v.limit.rate and sluice.SLOW == 1:
            asked = [t for _, k, t, _ in load.sent if limits[k] is v.limit]
            assert v.used >= 0.5 * limitload.ideal(asked, v.limit.units, v.limit.amount, v.limit.rate, v.limit.amount), v
    return load, out


def still_works(c, name):
    """Changes and requests, after everything."""
    key = c.controls[0].sure("POST", "/keys?wait=5s", {"name": name})
    assert key.status == 201 and not key.json()["applied"]["missing"], key
    for p in c.proxies:
        assert p.chat(key.json()["key"]).status == 200
    gone = c.controls[0].sure("DELETE", f"/keys/{key.json()['id']}?wait=5s")
    assert gone.status == 200, gone
    assert [p.models(key.json()["key"]) for p in c.proxies] == [401] * len(c.proxies)


def test_of_a_proxy(cluster, mock, tmp_path):
    c, clock = cluster(proxies=1), Clock(tmp_path, "proxy")
    odd = bears_it(c, clock, lambda: c.add_proxy("odd", env=clock.env))
    load_through_jumps(c, mock, limits_for(c, quiet_zone()), clock,
                       lambda by: wait_for(lambda: abs(seconds_off(odd.ops_port) - by) < 100, 5, "the jump"), "p")
    still_works(c, "after")


def test_of_a_control_plane(cluster, mock, tmp_path):
    clock = Clock(tmp_path, "control")
    c = bears_it(None, clock, lambda: cluster(control_env=clock.env))
    control = c.controls[0]
    load_through_jumps(c, mock, limits_for(c, quiet_zone()), clock,
                       lambda by: wait_for(lambda: abs(seconds_off(control.admin_port) - by) < 100, 5, "the jump"), "c")
    still_works(c, "after")
    assert "leases.clock" not in control.process.text(), "Redis's clock is the one that counts"


def test_of_redis(cluster, mock, tmp_path):
    """Not one unit early, and said: in the log and by a counter, for alerts."""
    clock = Clock(tmp_path, "redis")
    c = cluster(redis_env=clock.env)
    control = c.controls[0]

    def jumps():
        lines = request(control.admin_port, "GET", "/metrics").body.decode().splitlines()
        return sum(float(l.rsplit(" ", 1)[1]) for l in lines if l.startswith("sluice_control_redis_clock_jumps_total"))
    load_through_jumps(c, mock, limits_for(c, quiet_zone()), clock, lambda by: wait_for(
        lambda: abs(int(c.redis("TIME").split()[0]) - time.time() - by) < 100, 5, "the jump"), "r")
    wait_for(lambda: "leases.clock" in control.process.text(), 5, "the line")
    wait_for(lambda: jumps() >= 1, 5, "the counter")
    clock.jump(0)
    still_works(c, "after")


def test_a_day_turns(cluster, mock, tmp_path):
    """Redis and control plane live some seconds before midnight: a whole new day then, and nothing of it before."""
    # As many as it takes here to start them and a little more.
    began = time.monotonic()
    cluster(dir="measured").stop()
    took = time.monotonic() - began
    for attempt in range(3):
        left = 3 * sluice.SLOW + 3 * took
        now = time.time()
        midnight = calendar.timegm((*time.gmtime(now + 86400)[:3], 0, 0, 0, 0, 0, 0))
        ahead = int(midnight - left - now)
        turn = midnight - ahead  # by our clock
        clock = Clock(tmp_path, f"both{attempt}")
        clock.jump(ahead)
        c = bears_it(None, clock, lambda: cluster(dir=f"both{attempt}", redis_env=clock.env, control_env=clock.env))
        keys = [c.controls[0].sure("POST", "/keys?wait=5s", {"name": unit, "limits": [{"unit": unit, "amount": amount, "per": "day", "on_control_loss": "closed"}]}).json()["key"]
                for unit, amount in (("requests", 20), ("tokens", 20 * 30))]
        if time.time() < turn - 2:
            break
        c.stop()
        took *= 3  # the machine has become so much slower
    assert time.time() < turn - 1, "the machine is too slow for this test"
    more = {"max_tokens": 30 - limitload.PROMPT}
    limits = [Limited("requests", "requests", 20, None), Limited("tokens", "tokens", 600, None, 30, f"openai/usage-{limitload.PROMPT}-{more['max_tokens']}", more)]
    for l, key in zip(limits, keys):
        l.key = key
    sent = Load(c.proxies, limits, turn - time.time() + 1 + 2 * sluice.SLOW, "d", pause=0.01).sent
    for i in range(10):  # more only where the new day came late
        if all(sum(k == one and status == 200 for _, k, _, status in sent) > 20 for one in range(len(limits))):
            break
        sent += Load(c.proxies, limits, sluice.SLOW, f"d{i}", pause=0.01).sent
    arrived = limitload.arrivals(mock.file)
    for k, l in enumerate(limits):
        mine = [(t, arrived[name]) for name, kk, t, status in sent if kk == k and status == 200]
        before = sum(r < turn for _, r in mine)
        print(l.name, "before", before, "after", len(mine) - before, "first after", round(min((r for _, r in mine if r >= turn), default=0) - turn, 3))
        assert 0 < before <= 20 and sum(t >= turn for t, _ in mine) <= 20 and len(mine) <= 40, l.name
        assert len(mine) > 20, f"{l.name}: no new day"
