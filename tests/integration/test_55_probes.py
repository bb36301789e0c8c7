# SPDX-License-Identifier: Apache-2.0
"""Probes: one control plane asks, hints end ejections early, another takes over, and all of it may be gone."""
import time

import pytest

import sluice
from sluice import chat, request, wait_for, within

CONFIG = """\
providers:
  lab: {{dialect: openai, base-url: "http://127.0.0.1:{0}/v1/", models: ["*"], health: {{probe: {2}, interval: 1s}}}}
  spare: {{dialect: openai, base-url: "http://127.0.0.1:{1}/v1/", models: ["*"], health: {{probe: off}}}}
routers:
  one:
    load-balance:
      chat: {{strategy: priority, providers: [lab, spare]}}
"""


def cluster(mock, dir, probe, controls=1):
    return sluice.Cluster(dir, mock, controls=controls, proxies=1, config=CONFIG.format(mock.ports[0], mock.ports[1], probe))


def ask(c):
    r = request(c.proxies[0].port, "POST", "/router/one/chat/completions", chat("some-model"))
    assert r.status == 200, r
    return r.headers["x-sluice-provider"]


def probes(control, result):
    text = request(control.admin_port, "GET", "/metrics", timeout=5).body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("sluice_control_probes_total{") and f'"{result}"' in line)


def is_the_prober(control):
    return "done here" in [line for line in control.process.text().split("\n") if "probe.lease" in line][-1]


def eject_lab(c, mock):
    """Down until the proxy has thrown it out (for 30 s), then up again; when that was."""
    ejected = c.proxies[0].metric("sluice_ejections_total")
    mock.mode(0, "down")
    wait_for(lambda: ask(c) == "spare" and c.proxies[0].metric("sluice_ejections_total") > ejected, 10, "the ejection")
    mock.mode(0, "up")
    return time.monotonic()


@pytest.mark.parametrize("probe", ["models", "tcp"])
def test_a_good_probe_ends_an_ejection_early(mock, tmp_path, probe):
    c = cluster(mock, tmp_path, probe)
    try:
        wait_for(lambda: probes(c.controls[0], "good") >= 1, 10, "the first probe")
        assert ask(c) == "lab"

        def come_back():
            up = eject_lab(c, mock)
            wait_for(lambda: ask(c) == "lab", 10, "the provider to be used again", step=0.05)
            return time.monotonic() - up
        within(20, come_back, 3)  # not 30 s
        # What it sees by itself counts: while it is down no probe brings it back.
        bad = probes(c.controls[0], "bad")
        mock.mode(0, "down")
        wait_for(lambda: probes(c.controls[0], "bad") > bad, 10, "a bad probe")
        assert {ask(c) for _ in range(20)} == {"spare"}
        mock.mode(0, "up")
    finally:
        mock.mode(0, "up")
        c.stop()


def test_without_probes_it_stays_out(mock, tmp_path):
    c = cluster(mock, tmp_path, "off")
    try:
        assert ask(c) == "lab"
        eject_lab(c, mock)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert ask(c) == "spare"
            time.sleep(0.05)
        assert probes(c.controls[0], "good") + probes(c.controls[0], "bad") == 0
    finally:
        mock.mode(0, "up")
        c.stop()


def test_another_takes_over_and_none_is_missed(mock, tmp_path):
    c = cluster(mock, tmp_path, "models", controls=2)
    try:
        wait_for(lambda: sum(probes(x, "good") for x in c.controls) >= 2, 10, "probes")
        for x in c.controls:  # one at a time: who has the lease
            assert probes(x, "good") == 0 or "done here" in x.process.text()
        prober = [wait_for(lambda: next(x for x in c.controls if is_the_prober(x)), 10, "one to probe")]

        def take_over():
            one = prober[-1]
            two = next(x for x in c.controls if x is not one)
            if not two.process.alive():  # it was killed in the round before
                two.start()
            before = probes(two, "good")
            one.process.kill()
            killed = time.monotonic()
            wait_for(lambda: probes(two, "good") > before, 10, "the other one to probe")
            prober.append(two)
            return time.monotonic() - killed
        print("took over after", within(3 * sluice.SLOW, take_over, 4), "s")
        # Nobody probes any more: passive health goes on alone.
        prober[-1].process.kill()
        assert ask(c) == "lab"
        eject_lab(c, mock)
        assert ask(c) == "spare"
    finally:
        mock.mode(0, "up")
        c.stop()
