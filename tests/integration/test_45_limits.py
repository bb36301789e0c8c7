# SPDX-License-Identifier: Apache-2.0
"""Limits over three proxies at once: exact by the mock's log, and not held back.

Nothing here passes or fails by time. Not one unit over a bound is exact, on any machine. How much of the refill is used
and how many requests are parked hangs on answers that come in milliseconds: asserted are figures that a machine which
stops programs for tenths of a second keeps too (and that an error in the leases does not), the exact ones are printed.
tests/sim holds leases to 99 % in virtual time, with a thousand proxies; tests/bench/limits.py measures.
"""
import concurrent.futures
import datetime
import http.client
import json
import re
import threading
import time
import zoneinfo

import pytest

import limitload
import sluice
from limitload import PROMPT, Limited, Load
from sluice import chat, wait_for

HOUR2 = "2h"
# A zone whose days begin in the midst of an hour, and not now.
QUARTER = next(z for z in ("Asia/Kolkata", "Asia/Kathmandu") if datetime.datetime.now(zoneinfo.ZoneInfo(z)).hour != 23)
CONFIG = sluice.PLAIN + """\
  limited:
    load-balance:
      chat: {strategy: latency, providers: [openai]}
    rate-limit:
      per-api-key: {capacity: 30, refill-frequency: 2s}
"""


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    dir = tmp_path_factory.mktemp("mock")
    m = sluice.Mock(dir, 3, ["--log", dir / "attempts.log", "--log-keep", "0", "--body-keep", "200"])
    m.file = dir / "attempts.log"
    yield m
    m.stop()


@pytest.fixture(scope="module")
def three(mock, tmp_path_factory):
    c = sluice.Cluster(tmp_path_factory.mktemp("three"), mock, controls=1, proxies=3, config=CONFIG)
    yield c
    c.stop()


def new_key(cluster, name, *limits, **more):
    r = cluster.controls[0].sure("POST", "/keys?wait=5s", {"name": name, "limits": list(limits), **more})
    assert r.status == 201, r
    return r.json()["key"]


def limit(unit, amount, per, **more):
    """`closed`: on a machine so busy that a lease takes 100 ms no request passes unasked."""
    return {"unit": unit, "amount": amount, "per": per, "on_control_loss": "closed", **more}


def ask(proxy, key, model="openai/gpt-4o-mini", **more):
    return sluice.request(proxy.port, "POST", "/ai/chat/completions", chat(model, **more), {"authorization": f"Bearer {key}"})


def twenty():
    """Of every unit and kind, from 1 to 10^6 a minute; (limit, `per` as the admin API takes it)."""
    t20, t250, t200 = ({"units": n, "model": f"openai/usage-{PROMPT}-{n - PROMPT}", "more": {"max_tokens": n - PROMPT}} for n in (20, 250, 200))
    usd = {"units": (PROMPT * 150 + 500 * 600) / 1e9, "model": "openai/gpt-4o-mini", "more": {"max_tokens": 500}}
    return [
        (Limited("r1m", "requests", 1, 60), "1m"), (Limited("r30m", "requests", 1, 2), "2s"), (Limited("r90m", "requests", 3, 2), "2s"),
        (Limited("r300m", "requests", 10, 2), "2s"), (Limited("r1200m", "requests", 40, 2), "2s"), (Limited("r2400m", "requests", 40, 1), "1s"),
        (Limited("r3000m", "requests", 100, 2), "2s"), (Limited("r6000m", "requests", 200, 2), "2s"), (Limited("r12000m", "requests", 200, 1), "1s"),
        (Limited("r1Mm", "requests", 16667, 1, weight=300), "1s"),  # 10^6 a minute: not reached here
        (Limited("t9000m", "tokens", 300, 2, **t20), "2s"), (Limited("t18000m", "tokens", 600, 2, **t200), "2s"),
        (Limited("t60000m", "tokens", 2000, 2, **t20), "2s"), (Limited("t1Mm", "tokens", 16667, 1, **t250), "1s"),
        (Limited("u0.18m", "usd", 0.006, 2, **usd), "2s"), (Limited("u1.2m", "usd", 0.02, 1, **usd), "1s"),
        (Limited("window", "requests", 100, None, weight=20), HOUR2), (Limited("day", "requests", 60, None, weight=20), "day"),
        (Limited("week", "tokens", 2000, None, weight=20, **t20), "week"), (Limited("month", "usd", 0.01, None, weight=10, **usd), "month"),
    ]


def test_never_over_the_bound_and_nearly_all_of_the_refill(three, mock):
    """Twenty keys, three proxies, load that shifts between them; two of the keys stand under a team, one under a router's limit too."""
    mock.scenario(f"* gpt-4o-mini usage-{PROMPT}-500\n")
    control, plan = three.controls[0], twenty()
    team = Limited("team", "requests", 30, 1)
    assert control.sure("POST", "/teams", {"name": "stacked", "limits": [limit("requests", team.amount, "1s")]}).status == 201
    for l, per in plan:
        more = {"time_zone": limitload.noon_somewhere()} if per in ("day", "week", "month") else {}
        if l.name == "r1Mm":
            more["on_control_loss"] = "open"
        l.key = new_key(three, l.name, limit(l.unit, l.amount, per, **more), **({"team": "stacked"} if l.name in ("r1200m", "r2400m") else {}))
    limits = [l for l, _ in plan]
    stacked = [i for i, l in enumerate(limits) if l.name in ("r1200m", "r2400m")]
    routed = next(i for i, l in enumerate(limits) if l.name == "r3000m")
    limits[routed].path, limits[routed].model = "/router/limited/chat/completions", "openai/tokens-1"
    load = Load(three.proxies, limits, 23, "b", connections=5)
    mock.scenario("")
    arrived = limitload.arrivals(mock.file)
    out = limitload.verdicts(limits, load, arrived)
    out.append(limitload.Verdict(team, [s for s in load.sent if s[1] in stacked], arrived, 10))
    out.append(limitload.Verdict(Limited("router", "requests", 30, 2), [s for s in load.sent if s[1] == routed], arrived, 10))
    print(*out, f"{len(load.sent)} requests", sep="\n")
    lower = {limits[i].name for i in (*stacked, routed)}  # than what it provides, because of another limit
    for v in out:
        assert v.excess <= 1e-6, v
        if v.limit.name == "r1Mm":
            # Whose answers come, but so late that others take them all, is told to come again after 400 ms.
            assert v.admitted > 0.9 * v.asked, v
        # Where demand did exceed it (under sanitizers leases run out unspent).
        if v.overloaded and sluice.SLOW == 1 and v.limit.name not in lower:
            assert v.short(0.5) <= 0 and v.best >= 0.9, v


def parked_and_decided(cluster):
    return [sum(p.metric(m) for p in cluster.proxies) for m in ("sluice_limit_parked_seconds_count", "sluice_limit_decisions_total")]


def test_parked_is_not_the_rule_in_the_steady_state(three):
    """It would be, if leases were too small, too short or asked for too late. How rare it is: make bench-control."""
    limits = [Limited("steady", "requests", 120000, 60), Limited("tokens", "tokens", 60_000_000, 60, 20, "openai/usage-3-17", {"max_tokens": 17}, 2000)]
    for l in limits:
        l.key = new_key(three, l.name, limit(l.unit, l.amount, "1m"))
    Load(three.proxies, limits, 1, "w", pause=0.002)
    # The best of four: a machine that is busy elsewhere parks requests too. Under sanitizers leases run out before they are spent.
    shares = []
    for i in range(4):
        before = parked_and_decided(three)
        Load(three.proxies, limits, 4, f"s{i}", pause=0.002)
        parked, total = (a - b for a, b in zip(parked_and_decided(three), before))
        print("parked", parked, "of", total)
        assert total > 0
        shares.append(parked / total)
        if sluice.SLOW > 1 or shares[-1] <= 0.2:
            break
    assert sluice.SLOW > 1 or min(shares) <= 0.2, shares


def use_up(cluster, key, seconds=25, **more):
    """Asks every proxy in turn until nothing is admitted any more, also not what proxies gave back. Answers, with their times."""
    ok, denied, quiet = [], [], time.monotonic()
    end = time.monotonic() + seconds * sluice.PATIENCE
    i = 0
    while time.monotonic() < end and time.monotonic() - quiet < 6 + 0.5 * sluice.SLOW:  # a lease is 5 s
        asked = time.time()
        r = ask(cluster.proxies[i % len(cluster.proxies)], key, **more)
        r.between = (asked, time.time())
        i += 1
        if r.status == 200:
            ok.append(r)
            quiet = time.monotonic()
        else:
            assert r.status == 429, r
            denied.append(r)
            time.sleep(0.02)
    return ok, denied


def all_but_lost(n, amount):
    """Never more than the limit. Less: an answer of the control plane that took 100 ms (a busy machine) counts as lost, and units
    that were on their way stay counted until the window ends."""
    return amount - max(1, amount // 10) <= n <= amount


@pytest.fixture(scope="module")
def used_up(three, mock):
    """Windows used up, all at the same time: name -> (admitted, refused)."""
    mock.scenario("* gpt-4o-mini usage-1000-500\n")
    plan = {
        "rolling": (limit("requests", 50, HOUR2), {"model": "openai/tokens-1"}),
        "day": (limit("requests", 30, "day", time_zone=QUARTER), {"model": "openai/tokens-1"}),
        "tokens": (limit("tokens", 3000, HOUR2), {"model": "openai/usage-100-50", "max_tokens": 200}),
        "money": (limit("usd", 0.009, "month", time_zone=limitload.noon_somewhere()), {"max_tokens": 400}),
    }
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = {name: pool.submit(use_up, three, new_key(three, name, l), **more) for name, (l, more) in plan.items()}
        out = {name: job.result() for name, job in jobs.items()}
    mock.scenario("")
    return out


def test_rolling_window(used_up):
    ok, denied = used_up["rolling"]
    assert all_but_lost(len(ok), 50)
    # It began with the first of them.
    last = denied[-1]
    assert 7200 - (last.between[1] - ok[0].between[0]) - 1 <= int(last.headers["retry-after"]) <= 7200
    assert denied[-1].headers["ratelimit-policy"] == '"requests";q=50;w=7200'


def test_calendar_window_in_a_time_zone(used_up):
    ok, denied = used_up["day"]
    now = datetime.datetime.fromtimestamp(denied[-1].between[0], zoneinfo.ZoneInfo(QUARTER))
    turn = (now + datetime.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert all_but_lost(len(ok), 30)
    soonest, latest = (turn.timestamp() - t for t in reversed(denied[-1].between))
    assert soonest - 2 <= int(denied[-1].headers["retry-after"]) <= latest + 2, denied[-1]


def test_tokens_are_settled_with_what_was_used(used_up):
    """150 used of some 220 reserved each: what was reserved too much can be spent again."""
    ok, denied = used_up["tokens"]
    used = sum(r.json()["usage"]["total_tokens"] for r in ok)
    assert all_but_lost(used + 250, 3000 + 250), used
    assert denied[-1].code == "rate_limit_exceeded"


def test_money(three, used_up):
    """More is used than was reserved: the last one makes a debt, nothing goes after it."""
    ok, denied = used_up["money"]
    spent = sum(1000 * 0.15e-6 + 500 * 0.6e-6 for _ in ok)
    assert 0.009 * 0.9 - 0.0006 <= spent <= 0.009 + 0.0005 * len(three.proxies), (len(ok), spent)
    assert denied[-1].code == "budget_exceeded" and denied[-1].headers["x-should-retry"] == "false"


# --- headers --------------------------------------------------------------------------------------

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def openai_seconds(text):
    """`1h2m3.5s`, `17ms`."""
    parts = re.findall(r"([0-9.]+)(ms|[smhd])", text)
    assert "".join(n + u for n, u in parts) == text, text
    return sum(float(n) * UNITS[u] for n, u in parts)


def fields(text):
    """`"requests";q=5;w=60` -> ("requests", {"q": 5, "w": 60})."""
    unit, *pairs = text.split(";")
    return unit.strip('"'), {k: int(v) for k, v in (p.split("=") for p in pairs)}


def check_refusal(r, unit, amount, window, retry, code):
    """Every header of a 429 by value. window, retry: (least, most) seconds."""
    h = r.headers
    assert r.status == 429 and r.code == code, r
    seconds, ms = int(h["retry-after"]), int(h["retry-after-ms"])
    assert retry[0] <= ms / 1000 <= retry[1] and seconds == max(1, -(-ms // 1000)), h
    assert h["ratelimit-policy"] == f'"{unit}";q={amount};w={window}', h
    name, rest = fields(h["ratelimit"])
    assert name == unit and rest["r"] == 0 and set(rest) == {"r", "t"}, h
    if unit == "usd":
        assert h["x-should-retry"] == "false" and not [k for k in h if k.startswith("x-ratelimit-")], h
        return
    assert "x-should-retry" not in h, h
    assert (h[f"x-ratelimit-limit-{unit}"], h[f"x-ratelimit-remaining-{unit}"]) == (str(amount), "0"), h
    reset = openai_seconds(h[f"x-ratelimit-reset-{unit}"])
    assert rest["t"] - 1.1 <= reset <= rest["t"] + 0.1, h
    other = "tokens" if unit == "requests" else "requests"
    assert not [k for k in h if k.startswith("x-ratelimit-") and k.endswith(other)], h


def until_refused(proxy, key, most, **more):
    """What is admitted, and the refusal after it. Who is told to come again in a second, since the control plane was too slow (the
    limits here are closed then), does so."""
    ok, late = [], 0
    while True:
        r = ask(proxy, key, **more)
        if r.status == 200:
            ok.append(r)
            assert len(ok) <= most
        elif late < 40 and int(r.headers["retry-after-ms"]) <= 1000:
            late += 1
            time.sleep(0.05)
        else:
            return ok, r


def used_to_the_end(cluster, name, limits, most, **more):
    """The same with a key of its own that has `most`; again with another, when some of it was on its way and got lost."""
    for i in range(4):
        ok, refused = until_refused(cluster.proxies[0], new_key(cluster, f"{name}-{i}", *limits), most, **more)
        if len(ok) == most:
            break
    assert len(ok) == most
    return ok, refused


def test_headers_of_a_bucket(three):
    """5 an hour: whole again in an hour, the next one in 12 minutes (and what a lease may last, since it counts as unspent till then)."""
    ok, refused = used_to_the_end(three, "headers-bucket", [limit("requests", 5, "1h")], 5)
    left = [int(r.headers["x-ratelimit-remaining-requests"]) for r in ok]
    assert all(n <= 4 - i for i, n in enumerate(left)) and left == sorted(left, reverse=True), left
    for r in ok:
        assert r.headers["x-ratelimit-limit-requests"] == "5" and r.headers["ratelimit-policy"] == '"requests";q=5;w=3600', r
        assert fields(r.headers["ratelimit"])[1]["r"] == int(r.headers["x-ratelimit-remaining-requests"]), r
        assert not {"retry-after", "retry-after-ms", "x-should-retry"} & set(r.headers), r
    check_refusal(refused, "requests", 5, 3600, (700, 740), "rate_limit_exceeded")
    assert 3500 <= fields(refused.headers["ratelimit"])[1]["t"] <= 3600


def test_headers_of_tokens(three):
    more = {"model": "openai/usage-100-400", "max_tokens": 400}
    ok, refused = used_to_the_end(three, "headers-tokens", [limit("tokens", 1000, HOUR2)], 2, **more)
    check_refusal(refused, "tokens", 1000, 7200, (0, 7200), "rate_limit_exceeded")
    assert 7000 <= fields(refused.headers["ratelimit"])[1]["t"] <= 7200
    # What never fits is refused for as long as the window is, and takes nothing from anybody.
    fresh = new_key(three, "headers-never", limit("tokens", 1000, HOUR2))
    check_refusal(ask(three.proxies[0], fresh, model="openai/usage-1-1", max_tokens=2000), "tokens", 1000, 7200, (7200, 7200), "rate_limit_exceeded")
    assert ask(three.proxies[0], fresh, model="openai/usage-1-1", max_tokens=900).status == 200


def test_headers_of_a_budget(three, mock):
    """Dollars are named in billionths; clients are told not to try again by themselves."""
    mock.scenario("* gpt-4o-mini usage-1000-500\n")
    ok, refused = used_to_the_end(three, "headers-budget", [limit("usd", 0.0004, "day", time_zone=limitload.noon_somewhere())], 1, max_tokens=500)
    mock.scenario("")
    assert ok[0].headers["ratelimit-policy"] == '"usd";q=400000;w=86400' and "x-should-retry" not in ok[0].headers
    day = fields(refused.headers["ratelimit"])[1]["t"]
    assert 10 * 3600 <= day <= 14 * 3600  # it is about noon there
    check_refusal(refused, "usd", 400000, 86400, (0, day), "budget_exceeded")


def test_the_limit_nearest_to_its_end_is_shown(three):
    limits = [limit("requests", 1000, "1h"), limit("requests", 4, HOUR2), limit("tokens", 10**6, HOUR2)]
    ok, refused = used_to_the_end(three, "headers-two", limits, 4, max_tokens=10)
    assert ok[-1].headers["ratelimit-policy"] == '"requests";q=4;w=7200'
    check_refusal(refused, "requests", 4, 7200, (7000, 7200), "rate_limit_exceeded")


# --- stacks, a killed proxy -----------------------------------------------------------------------


def test_limits_of_teams_and_users_stack(three):
    control = three.controls[0]
    assert control.sure("POST", "/teams", {"name": "blue", "limits": [limit("requests", 30, HOUR2)]}).status == 201
    assert control.sure("POST", "/users", {"id": "ann@example.com", "name": "Ann", "limits": [limit("requests", 12, HOUR2)]}).status == 201
    one = new_key(three, "one", limit("requests", 20, HOUR2), team="blue")
    two = new_key(three, "two", team="blue", owner="ann@example.com")
    three_ = new_key(three, "three", team="blue")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(use_up, three, one)
        assert control.sure("PATCH", "/users/ann@example.com?wait=5s", {"limits": [limit("requests", 7, HOUR2)]}).status == 200
        second = pool.submit(use_up, three, two)
        first, second = len(first.result()[0]), len(second.result()[0])
    assert all_but_lost(first, 20)  # the key's
    assert all_but_lost(second, 7)  # the user's
    assert all_but_lost(len(use_up(three, three_)[0]), 30 - first - second)  # what is left of the team's
    assert control.sure("DELETE", "/teams/blue?wait=5s").status == 200
    assert ask(three.proxies[0], three_).status == 200


def test_a_killed_proxy_gives_its_leases_back(three):
    """Leases of a proxy that is gone are over within their lifetime (here 100 ms, counted for four times that)."""
    key = new_key(three, "killed", limit("requests", 1000, "20s"))
    victim = three.proxies[2]
    wait_for(lambda: [ask(victim, key).status for _ in range(20)] == [200] * 20, 10, "leases")
    victim.process.kill()
    results = []
    for _ in range(3):  # it is whole in 20 s, less what is lost where answers are late: not each time
        time.sleep(0.5 if not results else 20)
        results.append(Count(three.proxies[:2], key, 1100).ok)
        if results[-1] >= 960:
            break
    assert results[-1] >= 960, results
    victim.start()
    wait_for(victim.ready, 10, "the proxy to be ready again")
    # It begins with its last-known-good state, which may be from before the key was made.
    wait_for(lambda: ask(victim, key).status in (200, 429), 5, "the key to be known again")


class Count:
    """n requests as fast as they go."""

    def __init__(self, proxies, key, n):
        self.ok, self.lock, start = 0, threading.Lock(), time.monotonic()
        threads = [threading.Thread(target=self.run, args=(p, key, n // (2 * len(proxies)))) for p in proxies for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.seconds = time.monotonic() - start

    def run(self, proxy, key, n):
        c, ok = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30), 0
        for _ in range(n):
            c.request("POST", "/ai/chat/completions", json.dumps(chat("openai/tokens-1")).encode(),
                      {"content-type": "application/json", "authorization": f"Bearer {key}"})
            r = c.getresponse()
            r.read()
            ok += r.status == 200
        c.close()
        with self.lock:
            self.ok += ok
