# SPDX-License-Identifier: Apache-2.0
"""A TLS upstream that offers h2 (nginx in front of the mock), as every real provider does."""
import json
import shutil
import subprocess

import pytest

import sluice
from sluice import Process, chat, free_port, wait_for

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None or shutil.which("openssl") is None, reason="needs nginx and openssl")

NGINX = """\
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err;
events {{ worker_connections 512; }}
http {{
  access_log {dir}/nginx.access;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  log_format p '$server_protocol $ssl_protocol';
  server {{
    listen 127.0.0.1:{port} ssl http2;
    access_log {dir}/protocols p;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    location / {{ proxy_pass http://127.0.0.1:{mock}; proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def tls(mock, tmp_path_factory):
    dir = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", dir / "key.pem",
                    "-out", dir / "cert.pem"], check=True, capture_output=True)
    port = free_port()
    (dir / "nginx.conf").write_text(NGINX.format(dir=dir, port=port, mock=mock.ports[0]))
    nginx = Process("nginx", ["nginx", "-c", dir / "nginx.conf", "-p", dir], dir)
    wait_for(lambda: (dir / "nginx.pid").exists() and (dir / "nginx.pid").read_text().strip(), 10, "nginx")
    env = {**mock.env(), "SLUICE__PROVIDERS__OPENAI__BASE_URL": f"https://localhost:{port}/v1/"}
    s = sluice.Stack(dir, sluice.PLAIN + f"egress: {{ca-file: {dir}/cert.pem}}\n", env)
    yield s, dir
    s.stop()
    nginx.kill()


def test_plain_and_stream_over_http_1_1(tls):
    s, dir = tls
    for i in range(5):
        r = s.post("/router/one/chat/completions", chat(text=f"over TLS {i}"))
        assert r.status == 200 and f"over TLS {i}" in r.json()["choices"][0]["message"]["content"], r
    assert s.post("/router/one/chat/completions", chat(text="stream", stream=True)).events()[-1] == "[DONE]"
    big = s.post("/router/one/chat/completions", chat("openai/size-2m"))
    assert big.status == 200 and len(big.body) == 2 << 20
    wait_for(lambda: len((dir / "protocols").read_text().splitlines()) >= 7, 5, "nginx's log")
    assert {l.split()[0] for l in (dir / "protocols").read_text().splitlines()} == {"HTTP/1.1"}


def test_allowed_networks(mock, tmp_path):
    """A provider outside of egress.allowed-networks is not connected to."""
    inside = sluice.Stack(tmp_path / "in", sluice.PLAIN + "egress: {allowed-networks: [127.0.0.0/8]}\n", mock.env())
    outside = sluice.Stack(tmp_path / "out", sluice.PLAIN + "egress: {allowed-networks: [10.0.0.0/8, '::/0']}\n", mock.env())
    try:
        mock.reset()
        assert inside.post("/router/one/chat/completions", chat()).status == 200
        r = outside.post("/router/one/chat/completions", chat())
        assert r.status == 502 and r.code == "upstream_failed", r
        assert len(mock.log()) == 1
    finally:
        inside.stop()
        outside.stop()


def test_untrusted_certificate_is_refused(tls, mock, tmp_path):
    s, dir = tls
    env = {**mock.env(), "SLUICE__PROVIDERS__OPENAI__BASE_URL": s.env["SLUICE__PROVIDERS__OPENAI__BASE_URL"]}
    other = sluice.Stack(tmp_path, sluice.PLAIN, env)
    try:
        r = other.post("/router/one/chat/completions", chat())
        assert r.status == 502 and r.code == "upstream_failed", r
    finally:
        other.stop()


def test_tls_for_clients(mock, tmp_path):
    """server.tls: the printed line works as printed, streams end whole."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    s = sluice.Stack(tmp_path, sluice.PLAIN + f"server: {{tls: {{cert: {tmp_path}/cert.pem, key: {tmp_path}/key.pem}}}}\n", mock.env())
    try:
        lines = s.process.text().splitlines()
        at = next(i for i, l in enumerate(lines) if l.strip().startswith("curl "))
        r = subprocess.run(["bash", "-c", lines[at].strip().rstrip("\\") + lines[at + 1].strip() + " -sS"], capture_output=True, text=True, timeout=30 * sluice.PATIENCE)
        assert r.returncode == 0 and json.loads(r.stdout)["choices"], (lines[at], r)
        r = subprocess.run(["curl", "-sSk", f"https://localhost:{s.port}/router/one/chat/completions", "-H", "content-type: application/json",
                            "-d", json.dumps(chat(text="over TLS", stream=True))], capture_output=True, text=True, timeout=30 * sluice.PATIENCE)
        assert r.stdout.endswith("data: [DONE]\n\n"), r
    finally:
        s.stop()
