# SPDX-License-Identifier: Apache-2.0
"""Keys through the admin API and the CLI, in force on the proxy without a restart; bad input refused whole."""
import http.client
import itertools
import json
import re
import threading

import pytest

import sluice
from sluice import chat, request, wait_for


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), sluice.WALKTHROUGH + "auth: {mode: required}\n", mock.env())
    yield s
    s.stop()


def ask(up, key, model="openai/gpt-4o-mini", path="/ai/chat/completions", header="authorization", prefix="Bearer ", text="Hello"):
    return up.post(path, chat(model, text), {header: prefix + key} if key else {})


def test_required_mode(up):
    assert ask(up, None).status == 401
    r = ask(up, "sk-whatever")
    assert r.status == 401 and r.code == "invalid_api_key" and "x-sluice-upstream-status" not in r.headers


def test_life_of_a_key(up):
    made = up.admin("POST", "/keys?wait=5s", {"name": "ci", "models": ["*"], "routers": ["*"], "metadata": {"team": "x"}})
    assert made.status == 201, made
    k = made.json()
    assert k["key"].startswith(f"sk-sluice-{k['id']}-") and k["state"] == "active" and k["version"] == 1 and k["seq"] > 0
    assert k["origin"] == "api" and k["metadata"] == {"team": "x"}
    for header, prefix in (("authorization", "Bearer "), ("x-api-key", ""), ("x-goog-api-key", ""), ("api-key", "")):
        assert ask(up, k["key"], header=header, prefix=prefix).status == 200, header
    one = up.admin("GET", f"/keys/{k['id']}")
    assert one.status == 200 and "key" not in one.json() and one.headers["etag"]
    assert up.admin("POST", f"/keys/{k['id']}/disable?wait=5s").status == 200
    assert ask(up, k["key"]).code == "key_disabled"
    assert up.admin("POST", f"/keys/{k['id']}/enable?wait=5s").status == 200
    assert ask(up, k["key"]).status == 200
    rotated = up.admin("POST", f"/keys/{k['id']}/rotate?wait=5s", {}).json()
    assert ask(up, k["key"]).code == "invalid_api_key"
    assert ask(up, rotated["key"]).status == 200
    gone = up.admin("DELETE", f"/keys/{k['id']}?wait=5s")
    assert gone.status == 200 and gone.json()["deleted"] is True
    assert ask(up, rotated["key"]).code == "invalid_api_key"
    assert up.admin("GET", f"/keys/{k['id']}").status == 404


def test_expired_key(up):
    """A time that is over is no mistake: a second more or less of somebody's clock must not decide."""
    k = up.admin("POST", "/keys?wait=5s", {"name": "old", "expires_at": "2020-01-01T00:00:00Z"})
    assert k.status == 201 and k.json()["state"] == "expired", k
    r = ask(up, k.json()["key"])
    assert (r.status, r.code) == (401, "key_expired"), r
    path = f"/keys/{k.json()['id']}?wait=5s"
    assert up.admin("PATCH", path, {"expires_at": None}).json()["state"] == "active"
    assert ask(up, k.json()["key"]).status == 200
    assert up.admin("PATCH", path, {"expires_at": "2020-01-01T00:00:00Z"}).json()["state"] == "expired"
    assert ask(up, k.json()["key"]).code == "key_expired"


def test_a_credential_in_a_repeated_header(up):
    """The first that starts with sk-sluice- counts and is checked, whatever stands before it; none goes to the provider."""
    key = up.admin("POST", "/keys?wait=5s", {"name": "repeated"}).json()["key"]
    for lines, status in ((["x-api-key: stranger", f"x-api-key: {key}"], 200), (["authorization: Bearer s", f"AUTHORIZATION: bEARER {key}"], 200),
                          ([f"api-key: {key}", "api-key: sk-sluice-no-no"], 200), (["x-api-key: stranger", "x-api-key: sk-sluice-no-no"], 401),
                          (["x-api-key: sk-sluice-no-no", f"x-api-key: {key}"], 401), ([f"x-goog-api-key: {key}", "authorization: Bearer sk-sluice-no-no"], 401),
                          (["x-api-key: SK-SLUICE-" + key[10:]], 401)):
        c = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30 * sluice.SLOW)
        c.putrequest("GET", "/openai/v1/anything")
        for line in lines:
            c.putheader(*line.split(": "))
        c.endheaders()
        r = c.getresponse()
        body = r.read()
        c.close()
        assert r.status == status, (lines, r.status, body)
        assert status != 200 or body.count(b"cdef") == 1 and not {"x-api-key", "api-key", "x-goog-api-key"} & json.loads(body)["headers"].keys(), body


def test_models_and_routers_of_a_key(up):
    k = up.admin("POST", "/keys?wait=5s", {"name": "narrow", "models": ["openai/*"], "routers": ["production"]}).json()["key"]
    r = ask(up, k)
    assert r.status == 403 and r.code == "not_allowed", r
    assert ask(up, k, path="/router/production/chat/completions").status == 200
    r = ask(up, k, model="anthropic/claude-haiku-4-5", path="/router/production/chat/completions")
    assert r.status in (200, 403)
    if r.status == 200:
        assert r.headers["x-sluice-provider"] == "openai"


def test_provider_keys_under_traffic(up, mock):
    """Added, disabled and deleted while requests run; none fails."""
    key = up.admin("POST", "/keys?wait=5s", {"name": "traffic"}).json()["key"]
    failures, stop, number = [], threading.Event(), itertools.count()

    def traffic():
        while not stop.is_set():
            r = ask(up, key, text=f"<<{next(number)}>>")
            if r.status != 200:
                failures.append(r)
    threads = [threading.Thread(target=traffic) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        made = up.admin("POST", "/provider-keys?wait=5s", {"provider": "openai", "name": "second", "value": "sk-second-0000wxyz", "weight": 5})
        assert made.status == 201, made
        p = made.json()
        assert p["hint"] == "...wxyz" and "value" not in p and p["origin"] == "api"
        mock.reset()
        wait_for(lambda: any(a["headers"]["authorization"].endswith("wxyz") for a in mock.log()), 10, "the new key at the provider")
        assert up.admin("PATCH", f"/provider-keys/{p['id']}?wait=5s", {"state": "disabled"}).status == 200
        mock.reset()
        first = next(number)  # what was asked before may be under way still, with the key that it was given
        late = lambda: [a for a in mock.log() if int(a["body"].split("<<")[1].split(">>")[0]) > first]
        wait_for(lambda: len(late()) >= 20, 10, "20 requests from now on")
        assert not any(a["headers"]["authorization"].endswith("wxyz") for a in late())
        assert up.admin("DELETE", f"/provider-keys/{p['id']}?wait=5s").status == 200
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures, failures[:2]
    listed = up.admin("GET", "/provider-keys").json()["data"]
    assert {k["provider"] for k in listed} == set(sluice.PROVIDERS) and all(k["origin"] == "env" for k in listed)
    assert "0123456789abcdef" not in json.dumps(listed)


def test_what_the_file_owns(up):
    env_key = up.admin("GET", "/provider-keys").json()["data"][0]
    r = up.admin("DELETE", f"/provider-keys/{env_key['id']}")
    assert r.status == 409, r
    r = up.admin("GET", "/routers/production")
    assert r.status == 200 and r.json()["origin"] == "file"


def test_a_key_may_look_at_itself(up):
    """Also one that may not use the unified API."""
    key = up.admin("POST", "/keys?wait=5s", {"name": "narrow", "routers": ["production"]}).json()["key"]
    h = {"authorization": f"Bearer {key}"}
    assert up.post("/ai/chat/completions", chat(), h).code == "not_allowed"
    assert up.get("/v1/key", h).json()["data"]["name"] == "narrow"
    assert up.get("/router/production/key", h).status == 200
    r = up.get("/openai/v1/models", h)
    assert (r.status, r.code) == (403, "not_allowed"), r


def test_etag(up):
    k = up.admin("POST", "/keys", {"name": "tag"}).json()
    tag = up.admin("GET", f"/keys/{k['id']}").headers["etag"]
    assert up.admin("PATCH", f"/keys/{k['id']}", {"name": "tag2"}, {"if-match": tag}).status == 200
    assert up.admin("PATCH", f"/keys/{k['id']}", {"name": "tag3"}, {"if-match": tag}).status == 412
    assert up.admin("GET", f"/keys/{k['id']}").json()["name"] == "tag2"
    # The number as `version` has it means the same.
    assert up.admin("PATCH", f"/keys/{k['id']}", {"name": "tag4"}, {"if-match": "1"}).status == 412
    assert up.admin("PATCH", f"/keys/{k['id']}", {"name": "tag4"}, {"if-match": "2"}).status == 200


def test_names_of_teams(up):
    """Any name: the id is made of it where none is given, always the same."""
    for name, id in (("Data Science", "Data-Science"), ("Über/Team: 7", "ber-Team-7"), ("x" * 128, "x" * 128)):
        r = up.admin("POST", "/teams", {"name": name})
        assert r.status == 201 and (r.json()["id"], r.json()["name"]) == (id, name), r
        assert up.admin("GET", f"/teams/{id}").json()["name"] == name
        assert up.admin("POST", "/teams", {"name": name}).status == 409
    r = up.admin("POST", "/teams", {"name": "日本"})
    assert r.status == 422 and r.json()["error"]["fields"][0]["field"] == "id", r
    assert up.admin("POST", "/teams", {"name": "日本", "id": "jp"}).json()["name"] == "日本"


def test_idempotency_key(up):
    h = {"idempotency-key": "once-only"}
    a, b = (up.admin("POST", "/keys", {"name": "once"}, h) for _ in range(2))
    assert a.status == 201 and b.status in (200, 201) and a.json()["id"] == b.json()["id"], (a, b)


def test_pages(up):
    for i in range(5):
        up.admin("POST", "/keys", {"name": f"page{i}"})
    seen, cursor = [], None
    while True:
        page = up.admin("GET", "/keys?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["data"]) <= 2
        seen += [k["id"] for k in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) >= 5


@pytest.mark.parametrize("body,field", [
    ({}, "name"), ({"name": 5}, "name"), ({"name": "x", "models": "all"}, "models"), ({"name": "x", "nmae": 1}, "nmae"),
    ({"name": "x", "limits": [{"unit": "requests", "amount": 1, "per": "soon"}]}, "limits[0].per"),
    ({"name": "x", "limits": [{"unit": "loaves", "amount": 1, "per": "1m"}]}, "limits[0].unit"),
    ({"name": "x", "limits": [{"unit": "requests", "amount": -1, "per": "1m"}]}, "limits[0].amount"),
    ({"name": "x" * 10000}, "name"), ({"name": "x", "expires_at": "tomorrow"}, "expires_at"), ({"name": "a\u0000b"}, "name")])
def test_bad_fields(up, body, field):
    before = len(up.admin("GET", "/keys?limit=1000").json()["data"])
    r = up.admin("POST", "/keys", body)
    assert r.status in (400, 422), r
    if r.status == 422:
        assert any(f["field"] == field for f in r.json()["error"]["fields"]), r
    assert len(up.admin("GET", "/keys?limit=1000").json()["data"]) == before


def test_bad_requests(up):
    assert up.admin("GET", "/keys", token="wrong").status == 401
    assert request(up.admin_port, "GET", "/admin/v1/keys").status == 401
    assert up.admin("POST", "/keys", b"{not json").status == 400
    assert up.admin("POST", "/keys", b"[" * 5000 + b"]" * 5000).status == 400
    assert up.admin("POST", "/keys", b'{"name":"' + b"x" * (2 << 20) + b'"}').status == 413
    r = up.admin("PUT", "/keys")
    assert r.status == 405 and "POST" in r.headers["allow"]
    assert up.admin("GET", "/no-such-thing").status == 404
    assert up.admin("POST", "/keys", b"name=x", {"content-type": "application/x-www-form-urlencoded"}).status == 415


def test_only_what_is_called_is_a_target(up):
    """A preference of one request is no target without a key."""
    key = up.admin("POST", "/keys?wait=5s", {"name": "targets"}).json()["key"]
    h = {"authorization": f"Bearer {key}"}
    assert up.post("/router/production/chat/completions", chat(text="t", provider={"only": ["gemini"]}), h).status == 200
    wait_for(lambda: any(t["provider"] == "gemini" for t in up.admin("GET", "/health/targets").json()["data"]), 5, "the target")
    assert all(t["key_id"] for t in up.admin("GET", "/health/targets").json()["data"])


def test_proxies_and_targets(up):
    proxies = up.admin("GET", "/proxies").json()["data"]
    assert len(proxies) == 1
    wait_for(lambda: up.admin("GET", "/proxies").json()["data"][0]["live"] is True, 5, "the proxy to be heard")
    seq = up.admin("POST", "/keys?wait=5s", {"name": "seq"}).json()["seq"]
    wait_for(lambda: up.admin("GET", "/proxies").json()["data"][0]["applied_seq"] >= seq, 5, "the applied seq")
    assert up.admin("GET", "/health/targets").status == 200


def test_cli(up):
    key = up.cli("keys", "create", "--name", "from-cli", "--limit", "1000/1m", "--wait", "5s").stdout.strip()
    assert key.startswith("sk-sluice-") and ask(up, key).status == 200
    # The table of targets is for people: no endless names, no 17 digits.
    up.post("/ai/chat/completions", chat("openai/" + "long-name-" * 40), {"authorization": f"Bearer {key}"})
    wait_for(lambda: "long-name-" in up.cli("status").stdout, 5, "the target in the status")
    for line in up.cli("status").stdout.splitlines():
        assert len(line) < 220 and not re.search(r"\d\.\d{7}", line), line
    kid = key.split("-")[2]
    assert kid in up.cli("keys", "list").stdout
    up.cli("keys", "disable", kid, "--wait", "5s")
    assert ask(up, key).status == 401
    up.cli("keys", "delete", kid, "--wait", "5s")
    assert kid not in up.cli("keys", "list").stdout
    import subprocess, os
    env = {**os.environ, "SLUICE_ADMIN_URL": f"http://127.0.0.1:{up.admin_port}", "SLUICE_ADMIN_TOKEN": up.token}
    r = subprocess.run([str(sluice.BIN / "sluice"), "provider-keys", "add", "openai", "--name", "cli"], input="sk-cli-key-00009876\n",
                       capture_output=True, text=True, env=env)
    assert r.returncode == 0 and "...9876" in r.stdout and "sk-cli-key" not in r.stdout, r
    assert "openai" in up.cli("provider-keys", "list").stdout
    assert "production" in up.cli("routers").stdout
    assert json.loads(up.cli("routers", "production").stdout)["id"] == "production"
    assert up.cli("keys", "list", "-o", "json").stdout.startswith("{")
    assert up.cli("keys", "lst", check=False).returncode == 2
    assert up.cli("keys", "get", "nosuchid", check=False).returncode == 1
    assert up.cli("status", env={"SLUICE_ADMIN_TOKEN": "wrong"}, check=False).returncode == 1


def test_no_secret_in_logs_or_redis(up):
    key = up.admin("POST", "/keys?wait=5s", {"name": "secret"}).json()["key"]
    ask(up, key)
    secret = key.rsplit("-", 1)[1]
    text = up.process.text() + up.metrics()
    for needle in (secret, "0123456789abcdef", up.token):
        assert needle not in text
    for path, data in sluice.contents(up.data / "redis"):
        for needle in (secret, "sk-test-openai-0123456789abcdef"):
            assert needle.encode() not in data, path
