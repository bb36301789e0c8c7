# SPDX-License-Identifier: Apache-2.0
"""Load on limits from several proxies at once, and what was admitted held against the bound.

Who admitted a request when cannot be seen from outside; what can is an interval: after it was sent, before it
arrived at the provider. So for any two moments x < y every request sent after x that arrived before y was
admitted between them, and these may be no more than the limit allows for y - x. `worst_excess` looks at all
pairs. Nothing else is taken off: no allowance for clocks, leases or the machine.
"""
import datetime
import json
import multiprocessing
import random
import socket
import time

import sluice

PROMPT = 13  # tokens that the prompts here are reserved for: a quarter of the messages' bytes, which are always as many


def noon_somewhere():
    """A zone in which no day, week or month turns while we run."""
    hour = datetime.datetime.now(datetime.timezone.utc).hour
    return f"Etc/GMT{hour - 12:+d}" if hour != 12 else "UTC"  # their signs are the other way round


class Limited:
    """A key with a limit and what its requests look like. units: what one costs, in the limit's unit.

    weight: how much of the load it gets. rate: units a second that the refill provides (0: a window)."""

    def __init__(self, name, unit, amount, per_s, units=1, model="openai/tokens-1", more=None, weight=None, path="/ai/chat/completions"):
        self.name, self.unit, self.amount, self.per_s, self.units = name, unit, amount, per_s, units
        self.model, self.more, self.path, self.key = model, more or {}, path, None
        self.rate = amount / per_s if per_s else 0
        self.weight = weight if weight is not None else max(2.0, self.rate / units)


class Lean:
    """A kept connection that costs next to nothing: http.client would be most of the load."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=30 * sluice.SLOW)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b""

    def send(self, path, key, body):
        self.s.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer %s\r\n"
                       b"content-length: %d\r\n\r\n%s" % (path, key, len(body), body))

    def status(self):
        data = self.left
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.more()
        head = data[:end].lower()
        at = head.index(b"\r\ncontent-length:") + 17
        length = int(head[at:head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else None])
        while len(data) < end + 4 + length:
            data += self.more()
        self.left = data[end + 4 + length:]
        return int(head[9:12])

    def more(self):
        got = self.s.recv(65536)
        if not got:
            raise ConnectionError("closed by the proxy")
        return got


def one_proxy(port, which, limits, end, tag, connections, pause, out):
    """Rounds of one request on each connection, until `end`. Which limits get most of it shifts every half second."""
    rng, done, error = random.Random(which), [], None
    weights = [l.weight for l in limits]
    try:
        lines = [Lean(port) for _ in range(connections)]
        while time.monotonic() < end:
            shift = int(time.monotonic() * 2)
            hot = [(shift * 5 + which * 7 + i) % len(limits) for i in range(3)]  # elsewhere at each proxy
            picks = rng.choices(range(len(limits)), weights, k=connections)
            picks = [rng.choice(hot) if rng.random() < 0.4 else k for k in picks]
            sent = []
            for line, k in zip(lines, picks):
                l, name = limits[k], f"{tag}-{k:02}-{which}-{len(done) + len(sent):08}"  # all equally long: reservations are known
                body = json.dumps(sluice.chat(l.model, f"<<{name}>>", **l.more)).encode()
                sent.append((name, k, time.time()))
                line.send(l.path.encode(), l.key.encode(), body)
            done += [(*s, line.status()) for s, line in zip(sent, lines)]
            if pause:
                time.sleep(pause)
    except (OSError, ValueError) as e:
        error = repr(e)
    out.send((done, error))
    out.close()


class Load:
    """Runs it; `sent`: (id, index of the limit, when, status). pause: seconds between rounds of one request a connection."""

    def __init__(self, proxies, limits, seconds, tag, connections=4, pause=0, expect=(200, 429)):
        fork = multiprocessing.get_context("fork")
        end, self.sent, children = time.monotonic() + seconds, [], []
        for i, p in enumerate(proxies):
            ours, theirs = fork.Pipe(False)
            child = fork.Process(target=one_proxy, args=(p.port, i, limits, end, tag, connections, pause, theirs), daemon=True)
            child.start()
            theirs.close()
            children.append((child, ours))
        for child, ours in children:
            done, error = ours.recv()
            child.join()
            assert error is None, error
            self.sent += done
        wrong = [s for s in self.sent if s[3] not in expect]
        assert not wrong, wrong[:3]


def arrivals(file):
    """id in the message -> arrival at the mock, by its log; seconds of wall clock."""
    out = {}
    for line in file.read_text().splitlines():
        a = json.loads(line)
        body = a.get("body") or ""
        if "<<" in body:
            out[body.split("<<")[1].split(">>")[0]] = a["t_us"] / 1e6
    return out


class Best:
    """max over x of `rate * x + units of those sent at or after x`, while arrivals come in. A tree over the times of sending."""

    def __init__(self, times, rate):
        self.n = 1
        while self.n < len(times):
            self.n *= 2
        self.sum, self.best = [0.0] * (2 * self.n), [float("-inf")] * (2 * self.n)
        self.times, self.rate = times, rate

    def add(self, i, units):
        at = self.n + i
        self.sum[at], self.best[at] = units, self.rate * self.times[i] + units
        while at > 1:
            at //= 2
            l, r = 2 * at, 2 * at + 1
            self.sum[at] = self.sum[l] + self.sum[r]
            self.best[at] = max(self.best[l] + self.sum[r], self.best[r])

    def max(self):
        return self.best[1]


def worst_excess(admitted, amount, rate):
    """Units over `amount + amount * w / per` in the worst interval; at most 0 if the bound held. admitted: (sent, arrived, units)."""
    if not admitted:
        return 0.0
    start = min(a[0] for a in admitted)  # small numbers keep their digits
    by_sent = sorted((s - start, r - start, u) for s, r, u in admitted)
    tree, worst = Best([s for s, _, _ in by_sent], rate), float("-inf")
    for i in sorted(range(len(by_sent)), key=lambda i: by_sent[i][1]):
        tree.add(i, by_sent[i][2])
        worst = max(worst, tree.max() - rate * by_sent[i][1] - amount)
    return worst


def ideal(asked, units, amount, rate, level=0.0):
    """Units that one bucket with the same amount would have admitted of these times of asking, beginning with `level`."""
    used, last = 0.0, None
    for t in sorted(asked):
        if last is not None:
            level = min(float(amount), level + (t - last) * rate)
        last = t
        if level >= units:
            level -= units
            used += units
    return used


class Verdict:
    """What became of one limit under a load. amounts of usd in dollars."""

    def __init__(self, l, mine, arrived, periods):
        self.limit, self.asked = l, len(mine)
        admitted = [(t, arrived[name], l.units) for name, _, t, status in mine if status == 200]
        self.admitted, self.late = len(admitted), max((r - s for s, r, _ in admitted), default=0)
        self.used = sum(u for _, _, u in admitted)
        self.excess = worst_excess(admitted, l.amount, l.rate)
        self.share, self.overloaded, self.best = None, False, 0
        if l.rate and mine:
            times = sorted(t for _, _, t, _ in mine)
            begin = times[0] + l.per_s  # the burst of the full bucket is over
            end = min(begin + periods * l.per_s, times[-1])
            window = [t for t in times if begin <= t < end]
            provided = ideal(window, l.units, l.amount, l.rate)
            spent = sum(u for _, r, u in admitted if begin <= r < end)
            self.overloaded = len(window) * l.units > 1.3 * l.rate * (end - begin) and end - begin > 0.9 * periods * l.per_s
            self.provided, self.spent = provided, spent
            self.share = spent / provided if provided else None
            self.best = self.best_share([(r, u) for _, r, u in admitted], window, begin, end)

    def best_share(self, arrived, asked, begin, end, parts=5):
        """Of the parts of that time: what was possible while nobody stopped a program. The last request may be under way."""
        out, l = [], self.limit
        for k in range(parts):
            x, y = (begin + (end - begin) * i / parts for i in (k, k + 1))
            could = ideal([t for t in asked if x <= t < y], l.units, l.amount, l.rate)
            did = sum(u for r, u in arrived if x <= r < y)
            out.append(min(1.0, (did + l.units) / could) if could else 0)
        return max(out)

    def short(self, of):
        """Units by which less than this part of what the refill provided was admitted; the last request may be under way."""
        return self.provided * of - self.spent - self.limit.units

    def __repr__(self):
        share = "" if self.share is None else f", {self.share:.3f} of the refill ({self.best:.3f} at best){'' if self.overloaded else ' (demand below it)'}"
        return (f"{self.limit.name}: {self.limit.amount:g} {self.limit.unit}/{self.limit.per_s or 'window'}: asked {self.asked}, admitted "
                f"{self.admitted}, nearest to the bound by {-self.excess:.6g}{share}, late by at most {self.late * 1000:.1f} ms")


def verdicts(limits, load, arrived, periods=10):
    return [Verdict(l, [s for s in load.sent if s[1] == k], arrived, periods) for k, l in enumerate(limits)]
