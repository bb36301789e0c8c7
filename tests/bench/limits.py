#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What exact limits over several proxies cost: how many requests are parked for a lease, for how long, and how much of a limit is
used. Whatever the machine does, no limit may be exceeded: then the run is void.

steady      Twenty keys, each with limits in requests, tokens and dollars a minute that its load stays below. Which keys a proxy gets
            most of shifts every half second. Nobody may be refused. Issue: parked <= 1 %, p99 of the parking <= 5 ms.
saturated   Twenty keys whose load is above their limits, for ten refill periods: the part of the refill that is admitted (>= 95 %), for
            each limit. Limits from 10 to 500,000 a minute in requests, tokens and dollars.
million     One limit of 10^6 requests a minute under a closed loop of sluice-bench: what is admitted of it, and what is parked. Where
            the machine cannot offer as much, `offered` says so.

    tests/bench/limits.py --bin build/release/bin [--seconds 10] [--period 4] [--only steady,million] [--json FILE]

The times of admissions are known to lie between the sending and the arrival at the mock; see limitload.py.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default="build/release/bin")
    p.add_argument("--proxies", type=int, default=3)
    p.add_argument("--seconds", type=float, default=10, help="of `steady` and `million`")
    p.add_argument("--period", type=int, default=4, help="refill time of `saturated`, seconds; it runs for eleven of them")
    p.add_argument("--pause", type=float, default=0.002, help="between rounds of five requests at each proxy in `steady`, seconds")
    p.add_argument("--only", default="steady,saturated,million")
    p.add_argument("--json", type=pathlib.Path)
    return p.parse_args()


class Parked:
    """Of all proxies, since it was made: the metrics sluice_limit_parked_seconds and sluice_limit_decisions_total."""

    def __init__(self, sluice, proxies):
        self.sluice, self.proxies = sluice, proxies
        self.before = self.read()

    def read(self):
        steps, decided = {}, {}
        for p in self.proxies:
            for line in self.sluice.request(p.ops_port, "GET", "/metrics").body.decode().splitlines():
                if line.startswith("sluice_limit_parked_seconds_bucket"):
                    le = float(line.split('le="')[1].split('"')[0].replace("+Inf", "inf"))
                    steps[le] = steps.get(le, 0) + float(line.rsplit(" ", 1)[1])
                if line.startswith("sluice_limit_decisions_total{"):
                    what = line.split('decision="')[1].split('"')[0]
                    decided[what] = decided.get(what, 0) + float(line.rsplit(" ", 1)[1])
        return steps, decided

    def since(self):
        steps, decided = self.read()
        cumulative = {le: n - self.before[0].get(le, 0) for le, n in steps.items()}
        total = sum(decided.values()) - sum(self.before[1].values())
        parked = max(cumulative.values(), default=0)
        return {"decided": int(total), "unasked": int(decided.get("admitted_unasked", 0) - self.before[1].get("admitted_unasked", 0)),
                "parked": int(parked), "parked_percent": round(100 * parked / total, 3) if total else None,
                "parked_ms": {f"p{q}": quantile_ms(cumulative, q / 100) for q in (50, 99)}}


def quantile_ms(cumulative, q):
    """Within its step as if all were spread evenly there."""
    total, below, last = max(cumulative.values(), default=0), 0.0, 0.0
    if not total:
        return None
    for le in sorted(cumulative):
        n = cumulative[le]
        if n >= q * total:
            return f"over {last * 1000:g}" if le == float("inf") else round((last + (le - last) * (q * total - below) / (n - below)) * 1000, 3)
        last, below = le, n
    return None


def add_keys(cluster, plan):
    """plan: (Limited, limits as the admin API takes them)."""
    for l, limits in plan:
        r = cluster.controls[0].admin("POST", "/keys?wait=5s", {"name": l.name, "limits": limits})
        assert r.status == 201, r
        l.key = r.json()["key"]
    return [l for l, _ in plan]


def tokens(limitload, n):
    return {"units": n, "model": f"openai/usage-{limitload.PROMPT}-{n - limitload.PROMPT}", "more": {"max_tokens": n - limitload.PROMPT}}


def dollars(limitload):
    return {"units": (limitload.PROMPT * 150 + 500 * 600) / 1e9, "model": "openai/gpt-4o-mini", "more": {"max_tokens": 500}}


def steady(o, sluice, limitload, cluster, file):
    kinds = (("requests", 60000, {}), ("tokens", 60000 * 40, tokens(limitload, 40)), ("usd", 18, dollars(limitload)))
    plan = []
    for i in range(20):
        unit, amount, more = kinds[i % 3]
        plan.append((limitload.Limited(f"steady-{i}-{unit}", unit, amount, 60, weight=1 + i % 5, **more),
                     [{"unit": u, "amount": a, "per": "1m"} for u, a, _ in kinds]))
    limits = add_keys(cluster, plan)
    limitload.Load(cluster.proxies, limits, 2, "w", connections=5, pause=o.pause)  # leases grow to their size
    parked = Parked(sluice, cluster.proxies)
    load = limitload.Load(cluster.proxies, limits, o.seconds, "s", connections=5, pause=o.pause)
    out = parked.since()
    seen = limitload.verdicts(limits, load, limitload.arrivals(file))
    out.update(requests_per_s=round(len(load.sent) / o.seconds), refused=sum(s[3] != 200 for s in load.sent),
               worst_excess=round(max(v.excess for v in seen), 6))
    return out, seen


def saturated(o, sluice, limitload, cluster, file):
    per, coarse, fine, usd = o.period, tokens(limitload, 200), tokens(limitload, 40), dollars(limitload)
    rates = [("requests", r, {}) for r in (1 / per, 0.5, 1, 2, 5, 10, 20, 50, 100, 150)]
    rates += [("tokens", r, coarse if r >= 2000 else fine) for r in (200, 500, 1000, 2000, 8000)]
    rates += [("usd", r, usd) for r in (0.002, 0.005, 0.01, 0.015, 0.02)]
    plan = []
    for i, (unit, rate, more) in enumerate(rates):
        amount = max(1, round(rate * per)) if unit != "usd" else round(rate * per, 6)
        plan.append((limitload.Limited(f"full-{i}-{unit}", unit, amount, per, **more),
                     [{"unit": unit, "amount": amount, "per": f"{per}s", "on_control_loss": "closed"}]))
    limits = add_keys(cluster, plan)
    parked = Parked(sluice, cluster.proxies)
    load = limitload.Load(cluster.proxies, limits, 11 * per + 1, "f", connections=5, pause=o.pause / 2)
    out = parked.since()
    seen = limitload.verdicts(limits, load, limitload.arrivals(file))
    full = [v for v in seen if v.overloaded]
    out.update(requests_per_s=round(len(load.sent) / (11 * per + 1)), worst_excess=round(max(v.excess for v in seen), 6),
               overloaded=len(full), least_used={u: min((round(v.share, 3) for v in full if v.limit.unit == u), default=None)
                                                 for u in ("requests", "tokens", "usd")})
    return out, seen


def million(o, sluice, limitload, cluster, file):
    rate = 1_000_000 / 60
    l = add_keys(cluster, [(limitload.Limited("million", "requests", 1_000_000, 60),
                            [{"unit": "requests", "amount": 1_000_000, "per": "1m"}])])[0]
    # So that the minute's million does not hide the refill: all but a second's worth is given to nobody.
    spent = add_keys(cluster, [(limitload.Limited("million-a-second", "requests", round(rate), 1),
                                [{"unit": "requests", "amount": round(rate), "per": "1s"}])])[0]
    out = {}
    for name, key in (("per_minute", l.key), ("per_second", spent.key)):
        parked = Parked(sluice, cluster.proxies)
        loads = [subprocess.Popen([str(sluice.BIN / "sluice-bench"), "--target", f"127.0.0.1:{p.port}", "--path", "/ai/chat/completions",
                                   "--model", "openai/tokens-1", "--body-size", "200", "--connections", "16", "--warmup", "1s", "--duration",
                                   f"{o.seconds:g}s", "--header", f"authorization: Bearer {key}"], stdout=subprocess.PIPE, text=True)
                 for p in cluster.proxies]
        results = [json.loads(b.communicate(timeout=o.seconds + 60)[0]) for b in loads]
        admitted, refused = sum(r["rps"] for r in results), sum(r["errors"]["status"] / r["seconds"] for r in results)
        out[name] = {**parked.since(), "offered_per_s": round(admitted + refused), "admitted_per_s": round(admitted),
                     "of_the_refill": round(admitted / rate, 3) if refused else None}
    return out, []


def main():
    o = options()
    bin = pathlib.Path(o.bin).resolve()
    os.environ["SLUICE_BIN"] = str(bin)
    sys.path.insert(0, str(HERE.parent / "integration"))
    import limitload
    import sluice
    report, bad = {"proxies": o.proxies}, []
    with tempfile.TemporaryDirectory(prefix="sluice-limits") as d:
        dir = pathlib.Path(d)
        for name in o.only.split(","):
            here = dir / name
            here.mkdir()
            # The million's own log would be most of its load.
            mock = sluice.Mock(here, 3, ["--log-keep", "0"] + (["--log", here / "attempts.log", "--body-keep", "200"] if name != "million" else []))
            cluster = sluice.Cluster(here, mock, controls=1, proxies=o.proxies)
            try:
                mock.scenario(f"* gpt-4o-mini usage-{limitload.PROMPT}-500\n")
                began = time.monotonic()
                report[name], seen = {"steady": steady, "saturated": saturated, "million": million}[name](o, sluice, limitload, cluster, here / "attempts.log")
                report[name]["seconds"] = round(time.monotonic() - began, 1)
                bad += [v for v in seen if v.excess > 1e-6]
                print(*seen, sep="\n", file=sys.stderr, flush=True)
            finally:
                cluster.stop()
                mock.stop()
    text = json.dumps(report, indent=1)
    print(text)
    if o.json:
        o.json.write_text(text + "\n")
    if bad:
        sys.exit(f"limits were exceeded: the run is void: {bad}")


if __name__ == "__main__":
    main()
