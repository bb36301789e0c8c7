# SPDX-License-Identifier: Apache-2.0
"""Starting, reloading, draining, dying: what the person on call sees."""
import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import sluice
from sluice import chat, change, request, wait_for


@pytest.fixture
def up(mock, tmp_path):
    s = sluice.Stack(tmp_path, sluice.PLAIN, mock.env())
    yield s
    if s.process.alive():
        s.stop()


def test_drain_finishes_streams(up, mock):
    """SIGTERM in the middle of a stream: the stream ends whole, then everything is gone."""
    got = {}

    def client():
        got["r"] = up.post("/router/one/chat/completions", chat("openai/pace-30ms+tokens-30", stream=True))
    mock.reset()
    t = threading.Thread(target=client)
    t.start()
    mock.wait_log(1)
    children = [up.child_pid(which) for which in ("proxy", "control", "redis")]
    up.stop()
    t.join()
    assert got["r"].status == 200 and got["r"].events()[-1] == "[DONE]"
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class OnDemand(http.server.BaseHTTPRequestHandler):
    """A provider that answers when it is told to."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.set()
        self.server.go.wait(60 * sluice.SLOW)
        data = json.dumps({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_drain_answers_with_connection_close(mock, tmp_path):
    """A keep-alive connection that is in use when the drain starts is still served, and told to close."""
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnDemand)
    provider.daemon_threads, provider.asked, provider.go = True, threading.Event(), threading.Event()
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    s = sluice.Stack(tmp_path, sluice.PLAIN, {**mock.env(), "SLUICE__PROVIDERS__OPENAI__BASE_URL": f"http://127.0.0.1:{provider.server_port}/v1/"})
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60 * sluice.SLOW)
    try:
        c.request("POST", "/router/one/chat/completions", json.dumps(chat()), {"content-type": "application/json"})
        assert provider.asked.wait(30 * sluice.SLOW)
        os.kill(s.child_pid("proxy"), signal.SIGTERM)
        wait_for(lambda: request(s.ops_port, "GET", "/readyz").status == 503, 5, "readiness to be off")
        wait_for(lambda: "proxy.draining" in s.process.text(), 5, "the drain")
        provider.go.set()
        r = c.getresponse()
        assert r.status == 200 and r.getheader("connection") == "close" and r.read(), r.headers
    finally:
        provider.go.set()
        c.close()
        s.stop()
        provider.shutdown()


@pytest.mark.parametrize("which", ["proxy", "control", "redis"])
def test_dead_child_comes_back(up, which):
    pid = up.child_pid(which)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: up.child_pid(which) != pid, 10, f"{which} to be restarted")
    wait_for(lambda: up.post("/router/one/chat/completions", chat(text=which)).status == 200, 15, "an answer")
    wait_for(lambda: up.admin("POST", "/keys?wait=5s", {"name": f"after-{which}"}).status == 201, 15, "the admin API")


def test_traffic_goes_on_without_control_plane_and_redis(up):
    """Static stability: what was served is served."""
    up.post("/router/one/chat/completions", chat())
    for which in ("control", "redis"):
        sluice.freeze(up.child_pid(which))
    try:
        for i in range(20):
            assert up.post("/router/one/chat/completions", chat(text=f"alone {i}")).status == 200
        assert request(up.ops_port, "GET", "/healthz").status == 200
        assert request(up.ops_port, "GET", "/readyz").status == 200
    finally:
        for which in ("redis", "control"):
            os.kill(up.child_pid(which), signal.SIGCONT)


def test_sighup_takes_a_new_file_and_refuses_a_broken_one(up):
    assert up.post("/router/fresh/chat/completions", chat()).status == 404
    up.config.write_text(sluice.PLAIN + "  fresh: {load-balance: {chat: {strategy: latency, providers: [openai]}}}\n")
    up.process.signal(signal.SIGHUP)
    wait_for(lambda: up.post("/router/fresh/chat/completions", chat()).status == 200, 10, "the new router")
    up.config.write_text("routers: {fresh: {load-balanc: 1}}\n")
    up.process.signal(signal.SIGHUP)
    wait_for(lambda: "config.refused" in up.process.text() and "load-balanc" in up.process.text(), 10, "the complaint")
    assert up.post("/router/fresh/chat/completions", chat()).status == 200


def run(*args, **more):
    return subprocess.run([str(sluice.BIN / args[0]), *args[1:]], capture_output=True, text=True, timeout=30 * sluice.PATIENCE, **more)


@pytest.mark.parametrize("program", ["sluice", "sluice-proxy", "sluice-control", "sluice-mock"])
def test_help_version_usage(program):
    assert run(program, "--help").returncode == 0 and run(program, "--help").stdout
    assert run(program, "--version").returncode == 0 and run(program, "--version").stdout
    assert run(program, "--no-such-option").returncode == 2


@pytest.mark.parametrize("text", ["server: {address: [1]}", "server: {ops-address: {a: 1}}", "admin: {address: []}", "control: {listen: [x]}",
                                  "egress: {proxy: {}, allowed-networks: [[]]}", "server: 5", "redis: []", "keys: {a: {key: {}}}"])
def test_wrong_types_are_complaints(tmp_path, text):
    """Each with its place; never a crash."""
    (tmp_path / "c.yaml").write_text(text + "\n")
    r = run("sluice-control", "--check-config", str(tmp_path / "c.yaml"))
    assert r.returncode == 1 and "c.yaml:1:" in r.stderr, r


def test_a_missing_key_file_is_a_wrong_start(tmp_path):
    """Exit code 2, and the file is named."""
    r = run("sluice-control", "--data-dir", str(tmp_path / "c"), "--redis", "unix:/nowhere", "--admin-port", "0")
    assert r.returncode == 2 and "cluster-secret" in r.stderr, r
    r = run("sluice-proxy", "--control", "tcp://127.0.0.1:1", "--data-dir", str(tmp_path / "p"), "--port", "0", "--ops-port", "0")
    assert r.returncode == 2 and "cluster-secret" in r.stderr, r


def test_versions_name_the_libraries():
    for program in ("sluice", "sluice-proxy", "sluice-control"):
        text = run(program, "--version").stdout
        assert "libcurl" in text and "libmicrohttpd" in text and "libsodium" in text, text


def test_check_config_of_the_mock_reads_a_scenario(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("* gpt-4o* delay-20ms\n")
    bad.write_text("* gpt-4o* delay-20ms\n* x delay-soon\n")
    assert run("sluice-mock", "--check-config", str(good)).returncode == 0
    r = run("sluice-mock", "--check-config", str(bad))
    assert r.returncode == 1 and "bad" in r.stderr and "2" in r.stderr and "delay-soon" in r.stderr, r


@pytest.mark.parametrize("program", [("sluice", "config", "check"), ("sluice", "--check-config"), ("sluice-control", "--check-config"),
                                     ("sluice-proxy", "--check-config")])
def test_check_config(tmp_path, program):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(sluice.WALKTHROUGH)
    bad.write_text("server:\n  prot: 8080\n")
    assert run(*program, str(good)).returncode == 0, run(*program, str(good))
    r = run(*program, str(bad))
    text = r.stdout + r.stderr
    assert r.returncode == 1 and f"{bad.name}:2:3" in text and "port" in text, r


def test_banner_on_a_terminal_shows_the_token(mock, tmp_path):
    """To a person, not into a log; where callers need a key it says how to get one."""
    import pty
    master, slave = pty.openpty()
    (tmp_path / "c.yaml").write_text("auth: {mode: required}\n")
    ready = tmp_path / "ready"
    p = subprocess.Popen([str(sluice.BIN / "sluice"), "up", "--demo", "-c", str(tmp_path / "c.yaml"), "--data-dir", str(tmp_path / "d"),
                          "--port", "0", "--admin-port", "0", "--ready-file", str(ready)], stdout=slave, stderr=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    try:
        text = b""
        while b"Ctrl-C" not in text:
            text += os.read(master, 65536)
        token = (tmp_path / "d" / "admin-token").read_text().strip()
        assert token.encode() in text
        assert b"sluice keys create" in text and b"Authorization: Bearer $KEY" in text, text
        wait_for(ready.exists, 10, "the ready file")
    finally:
        p.terminate()
        assert p.wait(30 * sluice.PATIENCE) == 0
        os.close(master)


def test_up_refuses_a_broken_file(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("routers:\n  production:\n    load-balance:\n      chat: {strategy: latncy, providers: [openai]}\n")
    r = run("sluice", "up", "-c", str(bad), "--data-dir", str(tmp_path / "d"), "--port", "0", "--admin-port", "0")
    assert r.returncode == 2 and "bad.yaml:4" in r.stdout + r.stderr and "latency" in r.stdout + r.stderr, r


@pytest.mark.parametrize("option", ["--port", "--admin-port", "--ops-port"])
def test_port_in_use(tmp_path, option):
    """Said in a sentence, before anything serves; exit code 1."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = str(s.getsockname()[1])
        given = {"--port": "0", "--admin-port": "0", option: port}
        r = run("sluice", "up", "--data-dir", str(tmp_path / "d"), *sum(map(list, given.items()), []), "--demo")
    text = r.stdout + r.stderr
    assert r.returncode == 1 and f"port {port}" in text and "in use" in text and "ready: signal" not in text, r


def test_two_gateways_do_not_share_a_port(up, tmp_path):
    """SO_REUSEPORT is for our own workers: a second gateway on the port is an error, not half of the traffic."""
    r = run("sluice", "up", "--data-dir", str(tmp_path / "other"), "--port", str(up.port), "--admin-port", "0", "--demo")
    assert r.returncode == 1 and f"port {up.port}" in r.stdout + r.stderr and "in use" in r.stdout + r.stderr, r


def test_second_start_on_the_same_directory(up):
    r = run("sluice", "up", "--data-dir", str(up.data), "--port", "0", "--admin-port", "0", "--demo")
    assert r.returncode == 1 and "another `sluice up` runs on" in r.stderr, r


@pytest.mark.parametrize("together", [True, False], ids=["one-directory", "keys-elsewhere"])
def test_the_daemons_by_hand(mock, tmp_path, together):
    """`sluice init`, then the two programs with nothing but the options that everybody knows: a new installation serves. A Redis
    that is found empty later is a lost one."""
    keys = tmp_path / "keys"
    assert run("sluice", "init", str(keys)).returncode == 0
    before = {f.name: f.read_text() for f in keys.iterdir()}
    assert run("sluice", "init", str(keys)).returncode == 0 and {f.name: f.read_text() for f in keys.iterdir()} == before
    assert len(before["epoch"]) == 32
    redis = sluice.Redis(tmp_path)
    config, data = tmp_path / "c.yaml", keys if together else tmp_path / "control"
    config.write_text(sluice.PLAIN)
    port, admin = sluice.free_triple(), sluice.free_port()
    given = [] if together else ["--cluster-secret-file", keys / "cluster-secret", "--signing-key-file", keys / "signing-key"]

    def control():
        ready = tmp_path / "control.ready"
        ready.unlink(missing_ok=True)
        p = sluice.Process("control", [sluice.BIN / "sluice-control", "-c", config, "--data-dir", data, "--redis", redis.url, "--listen",
                                f"tcp://127.0.0.1:{port}", "--admin-port", admin, "--ready-file", ready, *given], tmp_path, mock.env())
        p.ready(ready, 40)
        return p
    c = control()
    ready = tmp_path / "proxy.ready"
    given_proxy = ["--cluster-secret-file", keys / "cluster-secret", "--control-public-key-file", keys / "control-public-key"]
    proxy = sluice.Process("proxy", [sluice.BIN / "sluice-proxy", "--control", f"tcp://127.0.0.1:{port}", "--data-dir", tmp_path / "proxy",
                              "--port", "0", "--ops-port", "0", "--workers", "1", "--ready-file", ready, *given_proxy], tmp_path)
    try:
        info = proxy.ready(ready, 40)
        assert request(info["port"], "POST", "/router/one/chat/completions", chat()).status == 200
        assert redis("--no-raw", "GET", "{sluice}:epoch") != ""
        token = {"authorization": "Bearer " + (data / "admin-token").read_text().strip()}
        assert request(admin, "POST", "/admin/v1/keys?wait=5s", {"name": "by-hand"}, token).status == 201
        c.stop()
        redis.kill()
        redis.wipe()
        redis.start()
        c = control()
        wait_for(lambda: request(admin, "POST", "/admin/v1/keys", {"name": "lost"}, token).code == "state_regressed", 10, "the loss to be seen")
        assert redis("GET", "{sluice}:epoch") == ""
    finally:
        proxy.stop()
        c.stop()
        redis.stop()


def test_open_gateway_on_other_addresses_is_refused(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("server: {address: 0.0.0.0}\nauth: {mode: off}\n")
    r = run("sluice", "up", "-c", str(config), "--data-dir", str(tmp_path / "d"), "--port", "0", "--admin-port", "0", "--demo")
    assert r.returncode == 2 and "insecure-no-auth" in r.stdout + r.stderr, r


def test_missing_key_names_the_variable(mock, tmp_path):
    env = {k: v for k, v in mock.env().items() if k != "GEMINI_API_KEY"}
    s = sluice.Stack(tmp_path, sluice.PLAIN + "  g: {load-balance: {chat: {strategy: latency, providers: [gemini]}}}\n", env)
    try:
        assert "GEMINI_API_KEY" in s.process.text()
        r = s.post("/router/g/chat/completions", chat("gemini/gemini-2.5-flash"))
        assert r.status == 503 and "GEMINI_API_KEY" in r.json()["error"]["message"], r
        assert s.post("/router/production/chat/completions", chat()).status == 200
    finally:
        s.stop()


def test_proxy_starts_from_last_known_good(mock, tmp_path):
    """The control plane is away; a restarted proxy serves what it served."""
    up = sluice.Stack(tmp_path, sluice.PLAIN + "logging: {level: debug}\n", mock.env())
    try:
        made = change(up, "POST", "/keys?wait=5s", {"name": "lkg"}).json()
        wait_for(lambda: re.search(rf"lkg\.saved.* seq={made['seq']}\b", up.process.text()), 15, "the file to be current")
        sluice.freeze(up.child_pid("control"))
        try:
            pid = up.child_pid("proxy")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: up.child_pid("proxy") != pid, 10, "the restart")
            wait_for(lambda: up.post("/ai/chat/completions", chat(), {"authorization": f"Bearer {made['key']}"}).status == 200, 10, "an answer")
        finally:
            os.kill(up.child_pid("control"), signal.SIGCONT)
    finally:
        up.stop()
