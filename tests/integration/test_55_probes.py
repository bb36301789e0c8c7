# SPDX-License-Identifier: Apache-2.0
"""Probes: one control plane asks, hints end ejections early, another takes over, and all of it may be gone."""
import time

import pytest

import sluice
from sluice import chat, request, wait_for

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


def eject_lab(c, mock):
    """Down until the proxy has thrown it out (for 30 s), then up again; when that was."""
    mock.mode(0, "down")
    wait_for(lambda: ask(c) == "spare" and c.proxies[0].metric("sluice_ejections_total") >= 1, 10, "the ejection")
    mock.mode(0, "up")
    return time.monotonic()


@pytest.mark.parametrize("probe", ["models", "tcp"])
def test_a_good_probe_ends_an_ejection_early(mock, tmp_path, probe):
    c = cluster(mock, tmp_path, probe)
    try:
        wait_for(lambda: probes(c.controls[0], "good") >= 1, 10, "the first probe")
        assert ask(c) == "lab"
        up = eject_lab(c, mock)
        assert probes(c.controls[0], "good") >= 1
        wait_for(lambda: ask(c) == "lab", 10, "the provider to be used again", step=0.05)
        assert time.monotonic() - up < 20  # not 30 s
        # What it sees by itself counts: while it is down no probe brings it back.
        mock.mode(0, "down")
        wait_for(lambda: probes(c.controls[0], "bad") >= 1, 10, "a bad probe")
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
        one, two = (c.controls if probes(c.controls[0], "good") > 0 else c.controls[::-1])
        assert probes(two, "good") == 0  # one at a time
        one.process.kill()
        killed = time.monotonic()
        wait_for(lambda: probes(two, "good") >= 1, 10, "the other one to probe")
        took = time.monotonic() - killed
        print("took over after", round(took, 2), "s")
        assert took < 3 * sluice.SLOW, took
        # Nobody probes any more: passive health goes on alone.
        two.process.kill()
        assert ask(c) == "lab"
        eject_lab(c, mock)
        assert ask(c) == "spare"
    finally:
        mock.mode(0, "up")
        c.stop()
