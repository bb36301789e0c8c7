# SPDX-License-Identifier: Apache-2.0
"""The admin API beyond keys: whole configurations and their revisions, single providers, models and routers, drained
targets, tokens with scopes, events. Each change is seen by a proxy under traffic."""
import http.client
import json
import threading

import pytest

import sluice
from sluice import chat, request, wait_for

CONFIG = """\
routers:
  production:
    load-balance:
      chat: {strategy: latency, providers: [openai, anthropic]}
  other:
    load-balance:
      chat: {strategy: weighted, providers: [{provider: openai, weight: 0.5}, gemini]}
    limits: [{unit: usd, amount: 2.000000001, per: month, time-zone: Europe/Berlin}]
    cache: {directive: "max-age=60", buckets: 2, scope: router}
"""


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = sluice.Mock(tmp_path_factory.mktemp("mock"))
    yield m
    m.stop()


@pytest.fixture(scope="module")
def up(tmp_path_factory, mock):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG, mock.env())
    yield s
    s.stop()


def routed(up, router, text="hi", **more):
    return up.post(f"/router/{router}/chat/completions", chat("openai/gpt-4o-mini", text, **more))


def put(up, text, query="?wait=5s", headers=None, method="PUT", path="/config"):
    return up.admin(method, path + query, text.encode() if isinstance(text, str) else text,
                    {"content-type": "application/yaml", **(headers or {})})


def revisions(up):
    return up.admin("GET", "/config/revisions").json()["data"]


# --- routers, providers, models ---------------------------------------------------------------------------------------


def test_a_router_from_birth_to_death(up):
    body = {"load-balance": {"chat": {"strategy": "priority", "providers": ["gemini", "openai"]}},
            "limits": [{"unit": "requests", "amount": 1000, "per": "1m"}]}
    r = up.admin("PUT", "/routers/blue?wait=5s", body)
    assert r.status == 201 and r.json()["origin"] == "api" and r.json()["version"] == 1, r
    assert r.json()["applied"]["missing"] == []
    a = routed(up, "blue")
    assert a.status == 200 and a.headers["x-sluice-provider"] == "gemini", a
    # What is read may be written: no change, no version.
    one = up.admin("GET", "/routers/blue")
    r = up.admin("PUT", "/routers/blue", one.json()["config"], {"if-match": one.headers["etag"]}, once=True)
    assert r.status == 200 and r.json()["version"] == 1, r
    body["load-balance"]["chat"]["providers"].reverse()
    r = up.admin("PUT", "/routers/blue?wait=5s", body, {"if-match": one.headers["etag"]})
    assert r.status == 200 and r.json()["version"] == 2, r
    assert routed(up, "blue").headers["x-sluice-provider"] == "openai"
    assert up.admin("PUT", "/routers/blue", body | {"forward-unknown": True}, {"if-match": one.headers["etag"]}).status == 412
    r = up.admin("PUT", "/routers/new", body, {"if-match": '"1"'})
    assert r.status == 412, r
    assert up.admin("DELETE", "/routers/blue?wait=5s").json()["deleted"] is True
    assert up.admin("GET", "/routers/blue").status == 404 and routed(up, "blue").code == "router_not_found"


@pytest.mark.parametrize("body,field", [
    ({"load-balance": {"chat": {"strategy": "fastest", "providers": ["openai"]}}}, "load-balance.chat.strategy"),
    ({"load-balance": {"chat": {"strategy": "latency", "providers": ["nobody"]}}}, "load-balance.chat.providers[0]"),
    ({"load-balance": {"chat": {"strategy": "latency", "providers": ["vllm"]}}}, "load-balance"),
    ({"laod-balance": {}}, "laod-balance"), ({"cache": {"directive": "${HOME}"}}, ""), ({"cache": {"directive": "file:/etc/passwd"}}, ""),
    ([], ""), (None, ""), ({"limits": [{"unit": "requests", "amount": 1}]}, "limits[0]")])
def test_a_wrong_router(up, body, field):
    seq = up.admin("GET", "/config").json()["seq"]
    r = up.admin("PUT", "/routers/wrong", body)
    assert r.status == 422, r
    assert any(field in f["field"] for f in r.json()["error"]["fields"]), r
    assert "root:" not in r.body.decode()
    assert up.admin("GET", "/config").json()["seq"] == seq


def test_a_router_called_default_serves_the_paths_without_one(up):
    assert up.admin("PUT", "/routers/default?wait=5s", {"load-balance": {"chat": {"strategy": "priority", "providers": ["gemini"]}}}).status == 201
    r = up.post("/v1/chat/completions", chat("openai/gpt-4o-mini", "d"))
    assert r.headers["x-sluice-provider"] == "gemini", r
    # The file does not know of it, and does not take it away.
    assert put(up, CONFIG + "  third: {load-balance: {chat: {strategy: latency, providers: [openai]}}}\n").status == 200
    assert up.post("/v1/chat/completions", chat("openai/gpt-4o-mini", "d")).headers["x-sluice-provider"] == "gemini"
    assert up.admin("DELETE", "/routers/default?wait=5s").status == 200
    assert up.post("/v1/chat/completions", chat("openai/gpt-4o-mini", "d")).headers["x-sluice-provider"] == "openai"
    assert put(up, CONFIG).status == 200


def test_a_provider_and_its_key(up, mock):
    secret = "planted-header-value-77"
    body = {"base-url": f"http://127.0.0.1:{mock.ports[0]}/v1/", "key-required": True, "headers": {"x-planted": secret}, "models": ["own-*"]}
    r = up.admin("PUT", "/providers/mine?wait=5s", body)
    assert r.status == 201 and r.json()["state"] == "no_key" and secret not in r.body.decode(), r
    assert up.admin("PUT", "/providers/mine", body | {"keys": [{"value": "sk-1"}]}).status == 422
    r = up.admin("POST", "/provider-keys?wait=5s", {"provider": "mine", "name": "one", "value": "sk-mine-0000planted"})
    assert r.status == 201, r
    key = r.json()["id"]
    r = up.admin("PUT", "/routers/mine?wait=5s", {"load-balance": {"chat": {"strategy": "priority", "providers": ["mine/own-1"]}}})
    assert r.status == 201, r
    a = routed(up, "mine")
    assert a.status == 200 and a.headers["x-sluice-provider"] == "mine", a
    # Hidden values stay when they are written back.
    shown = up.admin("GET", "/providers/mine").json()["config"]
    assert shown["headers"] == {"x-planted": "(hidden)"}
    r = up.admin("PUT", "/providers/mine?wait=5s", shown | {"models": ["own-*", "more-*"]})
    assert r.status == 200 and r.json()["models"] == ["own-*", "more-*"], r
    assert routed(up, "mine", "again").status == 200
    r = up.admin("PUT", "/providers/mine", shown | {"headers": {"x-new": "(hidden)"}})
    assert r.status == 422, r
    # In use.
    r = up.admin("DELETE", "/providers/mine")
    assert (r.status, r.code) == (409, "in_use") and "router" in r.json()["error"]["message"], r
    assert up.admin("DELETE", "/routers/mine").status == 200
    r = up.admin("DELETE", "/providers/mine")
    assert (r.status, r.code) == (409, "in_use"), r
    assert up.admin("DELETE", f"/provider-keys/{key}").status == 200
    assert up.admin("DELETE", "/providers/mine?wait=5s").status == 200
    for path in ("/config", "/audit", "/providers"):
        assert secret not in up.admin("GET", path).body.decode()


def test_a_provider_is_not_deleted_under_who_comes_to_use_it(tmp_path, mock):
    """Two control planes, a DELETE at one and a router, a file or a key that names the provider at the other, at the same time: one of
    both wins, and never is there something that names a provider which is gone."""
    c = sluice.Cluster(tmp_path, mock, controls=2, proxies=0)
    try:
        one, two = c.controls
        routes = {"load-balance": {"chat": {"strategy": "priority", "providers": ["mine/own-1", "openai/gpt-4o-mini"]}}}
        uses = [lambda n: two.sure("PUT", f"/routers/r{n}", routes),
                lambda n: two.sure("POST", "/provider-keys", {"provider": "mine", "name": f"k{n}", "value": "sk-0123456789abcdef"})]
        seen = set()
        for n in range(60):
            assert one.sure("PUT", "/providers/mine?wait=5s", {"base-url": "http://127.0.0.1:1/v1/", "models": ["own-*"]}).status in (200, 201)
            wait_for(lambda: two.admin("GET", "/providers/mine").status == 200, 10, "the other one to know it")
            threads, got = [], {}
            for name, f in (("use", lambda: uses[n % 2](n)), ("delete", lambda: one.sure("DELETE", "/providers/mine"))):
                threads.append(threading.Thread(target=lambda name=name, f=f: got.update({name: f()})))
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            both = got["use"].status, got["delete"].status
            seen.add(both)
            assert both in ((201, 409), (409, 200), (422, 200), (201, 200)), got
            wait_for(lambda: one.admin("GET", "/config").json()["seq"] == two.admin("GET", "/config").json()["seq"], 10, "both to see the same")
            gone = one.admin("GET", "/providers/mine").status == 404
            users = [f"/{kind}/{r['id']}" for kind in ("routers", "provider-keys") for r in one.admin("GET", f"/{kind}").json()["data"]
                     if '"provider": "mine"' in json.dumps(r)]
            assert not (gone and users), (n, got)
            for path in users:
                assert one.sure("DELETE", path).status == 200
        print(seen)
    finally:
        c.stop()


def test_a_provider_is_deleted_under_other_writes(up):
    """Keys are made as fast as three writers can; that is nothing to a provider that nobody names."""
    over = threading.Event()

    def write(n):
        i = 0
        while not over.is_set():
            i += 1
            assert up.admin("POST", "/keys", {"name": f"beside-{n}-{i}"}).status in (201, 503)
    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(20):
            assert up.admin("PUT", "/providers/brief?wait=5s", {"base-url": "http://127.0.0.1:1/v1/", "models": ["own-*"]}).status == 201
            assert up.admin("DELETE", "/providers/brief").status == 200
    finally:
        over.set()
        for t in threads:
            t.join()


def test_names_of_providers(up):
    for name in ("v1", "router", "a b", "x" * 65, "-x"):
        r = up.admin("PUT", f"/providers/{name.replace(' ', '%20')}", {"base-url": "http://127.0.0.1:1/v1/"})
        assert r.status == 422, r
    assert up.admin("PUT", "/providers/ok.name", {}).status == 422  # the catalogue does not know it


def test_the_catalogue_gives_way_and_comes_back(up):
    before = up.admin("GET", "/models/gpt-4o-mini").json()
    assert before["origin"] == "file" and "where" not in before
    body = before["config"] | {"context": 1234}
    r = up.admin("PUT", "/models/gpt-4o-mini?wait=5s", body)
    assert r.status == 200 and r.json()["origin"] == "api" and r.json()["context"] == 1234, r
    listed = {m["id"]: m for m in up.get("/v1/models").json()["data"]}
    assert any(m.get("context_length") == 1234 for m in listed.values())
    # A file that says nothing of it leaves it alone; one that does takes it over.
    assert put(up, CONFIG + "  aside: {load-balance: {chat: {strategy: latency, providers: [openai]}}}\n").status == 200
    assert up.admin("GET", "/models/gpt-4o-mini").json()["context"] == 1234
    r = up.admin("DELETE", "/models/gpt-4o-mini?wait=5s", headers={"idempotency-key": "back"})
    assert r.status == 200, r
    now = up.admin("GET", "/models/gpt-4o-mini").json()
    assert now["origin"] == "file" and now["context"] == before["context"]
    again = up.admin("DELETE", "/models/gpt-4o-mini", headers={"idempotency-key": "back"})
    assert again.status == 200 and again.json()["seq"] == r.json()["seq"], again
    assert up.admin("DELETE", "/models/gpt-4o-mini", once=True).status == 409
    assert up.admin("DELETE", "/models/gpt-4o-mini", headers={"idempotency-key": "once more"}).status == 409
    assert put(up, CONFIG).status == 200
    catalog = up.admin("GET", "/catalog").json()
    assert {"openai", "anthropic"} <= {p["id"] for p in catalog["providers"] if p["configured"]}
    assert any(m["id"] == "gpt-4o-mini" for m in catalog["models"])


def test_what_the_file_names_is_its_own(up):
    r = up.admin("PUT", "/routers/production", {"load-balance": {"chat": {"strategy": "latency", "providers": ["openai"]}}})
    assert (r.status, r.code) == (409, "owned_by_file") and ".yaml:2" in r.json()["error"]["message"] or "config:2" in r.json()["error"]["message"], r
    assert up.admin("DELETE", "/routers/production").status == 409


# --- the configuration as a whole -------------------------------------------------------------------------------------


def test_effective_config_round_trip(up):
    """What GET shows, taken back as a file, changes no router and no model."""
    shown = up.admin("GET", "/config")
    config = shown.json()["config"]
    assert {"providers", "models", "routers", "auth", "dispatcher", "global"} <= set(config)
    assert config["routers"]["other"]["limits"][0]["amount"] == "2.000000001"
    assert "0123456789abcdef" not in shown.body.decode()
    text = json.dumps({"routers": config["routers"], "global": config["global"], "dispatcher": config["dispatcher"],
                       "auth": config["auth"], "discover": config["discover"], "unified-api": config["unified-api"]})
    r = put(up, text, "?dry_run=1", {"content-type": "application/json"})
    assert r.status == 200, r
    changed = [c for c in r.json()["changes"] if c.get("before") != c.get("after")]
    assert changed == [], changed


def test_hidden_values_in_a_file_stay_what_they_are(up):
    def text(value, name="x-planted"):
        return CONFIG + f"providers: {{hid: {{base-url: 'http://127.0.0.1:1/v1/', key-required: false, headers: {{{name}: '{value}'}}, models: [own-*]}}}}\n"
    assert put(up, text("planted-in-a-file-4711")).status == 200
    version = up.admin("GET", "/providers/hid").json()["version"]
    assert up.admin("GET", "/config").json()["config"]["providers"]["hid"]["headers"] == {"x-planted": "(hidden)"}
    r = put(up, text("(hidden)"))
    assert r.status == 200 and r.json()["updates"] == 0, r
    assert up.admin("GET", "/providers/hid").json()["version"] == version
    r = put(up, text("(hidden)", "x-other"))
    assert r.status == 422 and "x-other" in r.body.decode(), r
    assert put(up, CONFIG).status == 200


def test_a_change_of_the_file_is_shown_applied_and_rolled_back(up):
    key = up.admin("POST", "/keys?wait=5s", {"name": "through-it-all"}).json()["key"]
    base = up.admin("GET", "/config")
    old = revisions(up)[0]
    new = CONFIG.replace("latency, providers: [openai, anthropic]", "priority, providers: [anthropic, openai]").replace("  other:", "  another:")
    r = put(up, new, "?dry_run=1")
    assert r.status == 200 and r.json()["dry_run"] is True, r
    by = {(c["action"], c["kind"], c["id"]): c for c in r.json()["changes"]}
    assert set(by) >= {("update", "router", "production"), ("create", "router", "another"), ("delete", "router", "other")}
    assert by["update", "router", "production"]["before"]["load-balance"]["chat"]["strategy"] == "latency"
    assert by["update", "router", "production"]["after"]["load-balance"]["chat"]["strategy"] == "priority"
    assert up.admin("GET", "/config").headers["etag"] == base.headers["etag"]
    r = put(up, new, "?wait=5s&name=next.yaml", {"if-match": base.headers["etag"], "idempotency-key": "apply-1"})
    assert r.status == 200 and (r.json()["creates"], r.json()["deletes"]) == (1, 1) and r.json()["applied"]["missing"] == [], r
    seq = r.json()["seq"]
    again = put(up, new, "?wait=5s&name=next.yaml", {"if-match": base.headers["etag"], "idempotency-key": "apply-1"})
    assert again.status == 200 and again.json()["seq"] == seq and again.json()["creates"] == 1, again
    assert up.admin("GET", "/routers/another").json()["where"].startswith("next.yaml:")
    assert routed(up, "production").headers["x-sluice-provider"] == "anthropic"
    assert routed(up, "other").code == "router_not_found"
    assert put(up, CONFIG, "", {"if-match": base.headers["etag"]}).status == 412
    # The key of another request does not make a stale tag a fresh one, however the tag is written.
    for i, tag in enumerate((base.headers["etag"], "W/" + base.headers["etag"], base.headers["etag"] + ', "999999"')):
        assert put(up, CONFIG, "", {"if-match": tag, "idempotency-key": f"stale-{i}"}).status == 412, tag
    first = revisions(up)[0]
    assert first["seq"] == seq and first["current"] and first["source"] == "PUT /config" and first["actor"] == "admin-token"
    r = up.admin("POST", f"/config/revisions/{old['seq']}/rollback?dry_run=1")
    assert r.status == 200 and {c["id"] for c in r.json()["changes"]} >= {"production", "other", "another"}, r
    r = up.admin("POST", f"/config/revisions/{old['seq']}/rollback?wait=5s")
    assert r.status == 200, r
    assert routed(up, "other").status == 200 and routed(up, "another").code == "router_not_found"
    assert "rollback" in revisions(up)[0]["source"] and revisions(up)[0]["seq"] > seq
    # The keys of the environment are not part of it.
    assert len(up.admin("GET", "/provider-keys").json()["data"]) == 3
    assert routed(up, "production").status == 200
    assert up.post("/router/other/chat/completions", chat("openai/gpt-4o-mini"), {"authorization": f"Bearer {key}"}).status == 200
    r = up.admin("POST", f"/config/revisions/{old['seq']}/rollback")
    assert r.status == 200 and r.json()["updates"] == 0, r
    assert up.admin("POST", "/config/revisions/999999/rollback").status == 404
    assert up.admin("POST", "/config/revisions/x/rollback").status == 404
    audit = up.admin("GET", "/audit").json()["data"]
    assert [a["action"] for a in audit if a["action"].startswith("config.")][:2] == ["config.rollback", "config.put"] or \
        {"config.rollback", "config.put"} <= {a["action"] for a in audit}


def test_the_same_file_under_another_name_is_no_change(up):
    """Lines and names are written anew, for whom a 409 tells where to look; what is told are differences."""
    text = "# a line more\n" + CONFIG
    r = put(up, text, "?dry_run=1&name=renamed.yaml")
    assert r.status == 200 and (r.json()["changes"], r.json()["updates"]) == ([], 0), r
    r = put(up, text, "?name=renamed.yaml")
    assert r.status == 200 and (r.json()["creates"], r.json()["updates"], r.json()["deletes"]) == (0, 0, 0), r
    assert up.admin("GET", "/routers/production").json()["where"].startswith("renamed.yaml:")
    assert put(up, CONFIG).status == 200


def test_a_wrong_file_changes_nothing(up):
    seq = up.admin("GET", "/config").json()["seq"]
    for text in ("routers: {x: {load-balance: {chat: {strategy: wrong, providers: [openai]}}}}", "routers: [", "a: &x [*x]", "routers: 5",
                 "nonsense: 1", "server: {address: file:/etc/passwd}", "providers: {openai: {keys: [{file: /etc/passwd}]}}", "providers: {openai: {keys: [{value: 'file:/etc/passwd'}]}}", "routers: {a: {cache: {directive: ${NO_SUCH_VARIABLE}}}}"):
        r = put(up, text, "")
        assert r.status == 422 and r.json()["error"]["fields"], (text, r)
        v = put(up, text, "", method="POST", path="/config/validate")
        assert v.status == 200 and v.json()["valid"] is False and v.json()["errors"], (text, v)
    r = put(up, "routers:\n  x:\n    load-balance: {chat: {strategy: wrong, providers: [openai]}}\n", "")
    assert any("line 3" in f["problem"] and f["field"].startswith("routers.x") for f in r.json()["error"]["fields"]), r
    assert put(up, "", "").status == 422
    assert put(up, CONFIG, "", method="POST", path="/config/validate").json() == {"valid": True, "errors": [], "warnings": []}
    assert put(up, b"routers:\n  \xff: {}\n", "").status == 422
    assert up.admin("GET", "/config").json()["seq"] == seq


def test_a_small_text_that_makes_much_of_itself(up):
    """Aliases and variables are bounded in bytes, too: checking such a text (scope read) must not end the control plane."""
    value = "openai/" + "y" * 3900
    text = f"z: &x {value}\ndefault-model-mapping:\n" + "".join(f"  m{i}: [{', '.join(['*x'] * 20)}]\n" for i in range(1000))
    r = put(up, text, "", method="POST", path="/config/validate")
    assert r.status == 200 and any("too large" in e["problem"] for e in r.json()["errors"]), r
    assert up.admin("GET", "/config").status == 200


def test_no_text_gets_the_master_key(up):
    r = put(up, "providers: {x: {base-url: 'http://127.0.0.1:1/${SLUICE_MASTER_KEY:-none}/v1/'}}", "?dry_run=1")
    assert r.status == 200 and "/none/" in json.dumps(r.json()["changes"]) or "/v1" in json.dumps(r.json()), r


def test_no_proxy_serves_half_a_file(up):
    """Two routers are exchanged again and again; a request through either is served by the pair of one file, never of two."""
    def text(a, b, c):
        return CONFIG + f"""\
  left: {{load-balance: {{chat: {{strategy: priority, providers: [{a}]}}}}}}
  right: {{load-balance: {{chat: {{strategy: priority, providers: [{b}]}}}}}}
""" + (f"  extra-{c}: {{load-balance: {{chat: {{strategy: priority, providers: [{a}]}}}}}}\n")
    assert put(up, text("openai", "gemini", 0)).status == 200
    stop, failures = threading.Event(), []

    def traffic(router):
        while not stop.is_set():
            r = routed(up, router)
            if r.status != 200 or r.headers["x-sluice-provider"] not in ("openai", "gemini"):
                failures.append(r)
    threads = [threading.Thread(target=traffic, args=(n,)) for n in ("left", "right")]
    for t in threads:
        t.start()
    for i in range(10):
        a, b = ("gemini", "openai") if i % 2 == 0 else ("openai", "gemini")
        assert put(up, text(a, b, i)).status == 200
        assert routed(up, "left").headers["x-sluice-provider"] == a and routed(up, "right").headers["x-sluice-provider"] == b
        assert routed(up, f"extra-{i}").status == 200
        if i:
            assert routed(up, f"extra-{i - 1}").code == "router_not_found"
    stop.set()
    for t in threads:
        t.join()
    assert not failures, failures[:2]
    assert put(up, CONFIG).status == 200


def test_writers_of_whole_files_at_once(up):
    """However they fall: in the end one of the files is in force, not a mixture. Keys made meanwhile stay."""
    texts = [CONFIG + "".join(f"  w{i}-{k}: {{load-balance: {{chat: {{strategy: priority, providers: [openai]}}}}}}\n" for k in range(5)) for i in range(4)]
    results, keys = [None] * 4, []

    def write(i):
        results[i] = put(up, texts[i], "", {"idempotency-key": f"whole-{i}"})

    def make():
        for _ in range(20):
            keys.append(up.admin("POST", "/keys", {"name": "meanwhile"}).json()["id"])
    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)] + [threading.Thread(target=make)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert any(r.status == 200 for r in results) and all(r.status in (200, 412) for r in results), results
    names = [r["id"] for r in up.admin("GET", "/routers?limit=1000").json()["data"] if r["id"].startswith("w")]
    assert len(names) == 5 and len({n.split("-")[0] for n in names}) == 1, names
    assert all(up.admin("GET", f"/keys/{k}").status == 200 for k in keys)
    assert put(up, CONFIG).status == 200


def test_who_leaves_while_a_file_is_tried_again(up):
    """A difference that others overtook is made again; by then the client may be gone."""
    import socket
    import time
    stop, made = threading.Event(), []

    def make():
        while not stop.is_set():
            made.append(up.admin("POST", "/keys", {"name": "overtaking"}).status)
    threads = [threading.Thread(target=make) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(40):
        text = (CONFIG + f"  gone-{i}: {{load-balance: {{chat: {{strategy: priority, providers: [openai]}}}}}}\n").encode()
        with socket.create_connection(("127.0.0.1", up.admin_port)) as s:
            s.sendall(f"PUT /admin/v1/config HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {up.token}\r\nidempotency-key: gone-{i}\r\n"
                      f"content-type: application/yaml\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
            time.sleep(i * 0.002)  # every moment is tried
    stop.set()
    for t in threads:
        t.join()
    assert made and set(made) == {201}, set(made)
    assert put(up, CONFIG).status == 200


def test_no_strangers_by_the_api(tmp_path, mock):
    """auth.mode off, given through the API, does not open a gateway that others can reach."""
    s = sluice.Stack(tmp_path / "open", "server: {address: 0.0.0.0}\nauth: required\n" + CONFIG, mock.env())
    try:
        r = put(s, "auth: off\n" + CONFIG, "")
        assert r.status == 422 and any("auth" in f["field"] for f in r.json()["error"]["fields"]), r
        assert put(s, "auth: required\n" + CONFIG, "").status == 200
    finally:
        s.stop()


def test_a_restart_keeps_what_was_put(tmp_path, mock):
    s = sluice.Stack(tmp_path / "kept", CONFIG, mock.env())
    try:
        assert put(s, CONFIG + "  kept: {load-balance: {chat: {strategy: latency, providers: [openai]}}}\n").status == 200
        assert s.admin("PUT", "/routers/mine?wait=5s", {}).status == 201
        s.stop()
        s.start()
        assert s.admin("GET", "/routers/kept").status == 200 and s.admin("GET", "/routers/mine").status == 200
        assert routed(s, "kept").status == 200
        assert len(revisions(s)) == 2
    finally:
        s.stop()


# --- targets ----------------------------------------------------------------------------------------------------------


def test_a_drained_target_gets_nothing_new(up):
    r = up.admin("PUT", "/routers/pair?wait=5s", {"load-balance": {"chat": {"strategy": "priority", "providers": ["openai", "gemini"]}}})
    assert r.status == 201, r
    assert routed(up, "pair").headers["x-sluice-provider"] == "openai"
    target = wait_for(lambda: next(t for t in up.admin("GET", "/health/targets").json()["data"] if t["provider"] == "openai" and t["id"]), 10, "the target")
    r = up.admin("POST", f"/targets/{target['id']}/drain?wait=5s")
    assert r.status == 200 and r.json()["drained"] is True, r
    for i in range(5):
        assert routed(up, "pair", f"d{i}").headers["x-sluice-provider"] == "gemini"
    # A new file leaves it drained; it is the operator's.
    assert put(up, CONFIG + "  drained: {load-balance: {chat: {strategy: latency, providers: [openai]}}}\n").status == 200
    assert routed(up, "pair", "still").headers["x-sluice-provider"] == "gemini"
    r = up.admin("POST", f"/targets/{target['id']}/drain?wait=5s", {"drain": False})
    assert r.status == 200 and r.json()["drained"] is False, r
    assert routed(up, "pair", "back").headers["x-sluice-provider"] == "openai"
    assert up.admin("POST", "/targets/nobody/drain").status == 404
    assert up.admin("POST", f"/targets/{target['id']}/drain", {"drain": "yes"}).status == 422
    assert up.admin("GET", "/provider-keys/" + target["id"]).json()["origin"] == "env"
    assert put(up, CONFIG).status == 200 and up.admin("DELETE", "/routers/pair").status == 200


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_and_their_scopes(up):
    made = {}
    for scope in ("read", "keys", "admin"):
        r = up.admin("POST", "/tokens", {"name": f"t-{scope}", "scopes": [scope]}, {"idempotency-key": f"tok-{scope}"})
        assert r.status == 201 and r.json()["token"].startswith("sluice-admin-"), r
        again = up.admin("POST", "/tokens", {"name": f"t-{scope}", "scopes": [scope]}, {"idempotency-key": f"tok-{scope}"})
        assert again.status == 201 and again.json()["token"] == r.json()["token"], again
        made[scope] = r.json()

    def ask(scope, method, path, body=None):
        return up.admin(method, path, body, token=made[scope]["token"]).status
    team = {"name": "scoped"}
    assert [ask(s, "GET", "/keys") for s in made] == [200, 200, 200]
    assert [ask(s, "GET", "/config") for s in made] == [200, 200, 200]
    assert [ask(s, "POST", "/teams", team | {"id": f"scoped-{s}"}) for s in made] == [403, 201, 201]
    assert [ask(s, "POST", "/keys", {"name": "scoped"}) for s in made] == [403, 201, 201]
    assert [ask(s, "PUT", "/routers/scoped", {}) for s in made] == [403, 403, 201]
    assert [ask(s, "POST", "/provider-keys", {"provider": "openai", "name": "s", "value": "sk-scoped-123456"}) for s in made] == [403, 403, 201]
    assert [ask(s, "GET", "/tokens") for s in made] == [403, 403, 200]
    assert [ask(s, "DELETE", "/tokens/nobody") for s in made] == [403, 403, 404]
    r = up.admin("POST", "/keys", {"name": "x"}, token=made["read"]["token"])
    assert r.code == "forbidden" and "keys" in r.json()["error"]["message"]
    listed = up.admin("GET", "/tokens")
    assert {t["name"] for t in listed.json()["data"]} >= {"t-read", "t-keys", "t-admin"} and all(m["token"] not in listed.body.decode() for m in made.values())
    audit = up.admin("GET", "/audit?limit=200")
    assert any(a["actor"] == f"token:{made['keys']['id']}" and a["action"] == "key.create" for a in audit.json()["data"])
    stored = b"".join(data for _, data in sluice.contents(up.data / "redis"))
    for m in made.values():
        secret = m["token"].rsplit("-", 1)[1]
        assert secret not in audit.body.decode() and secret.encode() not in stored and secret not in up.process.text()
    for m in made.values():
        assert up.admin("DELETE", f"/tokens/{m['id']}").status == 200
        assert up.admin("GET", "/keys", token=m["token"]).status == 401
    assert up.admin("DELETE", f"/tokens/{made['read']['id']}").status == 404
    up.admin("DELETE", "/routers/scoped")


def test_wrong_tokens(up):
    for body in ({}, {"name": "x"}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {"name": "x", "scopes": "admin"},
                 {"name": "", "scopes": ["read"]}, {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, {"name": "x", "scopes": ["read"], "more": 1}):
        r = up.admin("POST", "/tokens", body)
        assert r.status == 422, (body, r)
    t = up.admin("POST", "/tokens", {"name": "soon", "scopes": ["read"]}).json()
    for wrong in (t["token"][:-1], t["token"] + "x", t["token"].replace(t["id"], "x" * 12), "sluice-admin-", "sluice-admin-" + t["id"]):
        assert up.admin("GET", "/keys", token=wrong).status == 401
    assert up.admin("DELETE", f"/tokens/{t['id']}").status == 200


# --- events -----------------------------------------------------------------------------------------------------------


class Events:
    def __init__(self, up, token=None):
        self.c = http.client.HTTPConnection("127.0.0.1", up.admin_port, timeout=20 * sluice.PATIENCE)
        self.c.request("GET", "/admin/v1/events", headers={"authorization": f"Bearer {token or up.token}"})
        self.r = self.c.getresponse()
        assert self.r.status == 200 and self.r.getheader("content-type") == "text/event-stream"

    def until(self, fact):
        """The first event (name, data) for which fact holds; those before it are dropped."""
        name, data = None, None
        while True:
            line = self.r.readline().decode()
            assert line != "", "the stream ended"
            line = line.rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
            elif line == "" and name is not None:
                if fact(name, data):
                    return data
                name = None

    def close(self):
        self.c.close()


def test_events_of_changes(up):
    e = Events(up)
    k = up.admin("POST", "/keys", {"name": "planted-name"}).json()
    got = e.until(lambda n, d: n == "change" and d["seq"] >= k["seq"])
    assert got["upserts"] == [{"kind": "key", "id": k["id"], "version": 1}] and "planted" not in json.dumps(got)
    seq = up.admin("DELETE", f"/keys/{k['id']}").json()["seq"]
    got = e.until(lambda n, d: n == "change" and d["seq"] >= seq)
    assert got["deletes"] == [{"kind": "key", "id": k["id"]}]
    e.close()


def test_events_of_health_and_limits(up, mock):
    key = up.admin("POST", "/keys?wait=5s", {"name": "few", "limits": [{"unit": "requests", "amount": 2, "per": "1h"}]}).json()
    assert up.admin("PUT", "/routers/alone?wait=5s", {"load-balance": {"chat": {"strategy": "priority", "providers": ["gemini", "openai"]}}}).status == 201
    routed(up, "alone")
    wait_for(lambda: any(t["provider"] == "gemini" for t in up.admin("GET", "/health/targets").json()["data"]), 10, "the target")
    e = Events(up)
    e.r.readline()
    h = {"authorization": f"Bearer {key['key']}"}
    while up.post("/router/alone/chat/completions", chat("openai/gpt-4o-mini", "x"), h).status != 429:
        pass
    got = e.until(lambda n, d: n == "limit")
    assert got == {"limit": f"k:{key['id']}:0", "state": "exhausted"}
    mock.mode(2, "down")
    for i in range(8):
        routed(up, "alone", f"down{i}")
    got = e.until(lambda n, d: n == "health" and d["provider"] == "gemini")
    assert got["to"] == "ejected", got
    mock.mode(2, "up")
    e.close()
    up.admin("DELETE", "/routers/alone")


def test_a_revoked_token_does_not_listen_on(up):
    t = up.admin("POST", "/tokens", {"name": "listener", "scopes": ["read"]}).json()
    e = Events(up, t["token"])
    assert up.admin("DELETE", f"/tokens/{t['id']}").status == 200
    while e.r.readline():
        pass
    e.close()


def test_a_stream_of_events_does_not_hold_up_the_end(tmp_path, mock):
    s = sluice.Stack(tmp_path / "ending", CONFIG, mock.env())
    e = Events(s)
    s.stop()
    assert e.until(lambda n, d: n == "end") == {"reason": "draining"}
    assert e.r.read() == b""
    e.close()


# --- the command line -------------------------------------------------------------------------------------------------


def test_cli_config(up, tmp_path):
    f = tmp_path / "next.yaml"
    f.write_text(CONFIG.replace("latency, providers: [openai, anthropic]", "priority, providers: [openai]").replace("  other:", "  renamed:"))
    old = revisions(up)[0]["seq"]
    seq = up.admin("GET", "/config").json()["seq"]
    r = up.cli("config", "diff", str(f)).stdout
    assert "+ router renamed" in r and "- router other" in r and "~ router production" in r, r
    assert '    load-balance.chat.strategy: "latency" -> "priority"' in r, r
    assert up.cli("config", "apply", str(f), "--dry-run").stdout == r
    assert up.admin("GET", "/config").json()["seq"] == seq
    r = up.cli("config", "apply", str(f), "--wait", "5s")
    assert "CREATED" in r.stdout and routed(up, "renamed").status == 200
    assert json.loads(up.cli("config", "apply", str(f), "-o", "json").stdout)["updates"] == 0
    r = up.cli("config", "revisions").stdout.splitlines()
    assert r[0].split()[:2] == ["SEQ", "CURRENT"] and any("PUT /config" in line and "true" in line for line in r)
    assert "- router renamed" in up.cli("config", "rollback", str(old), "--dry-run").stdout
    up.cli("config", "rollback", str(old), "--wait", "5s")
    assert routed(up, "renamed").code == "router_not_found" and routed(up, "other").status == 200
    assert "no changes" in up.cli("config", "rollback", str(old), "--dry-run").stdout
    assert "routers" in json.loads(up.cli("config", "show").stdout)["config"]
    f.write_text("routers: {x: {load-balance: {chat: {strategy: nope, providers: [openai]}}}}")
    r = up.cli("config", "apply", str(f), check=False)
    assert r.returncode == 1 and "routers.x.load-balance.chat.strategy" in r.stderr and "line 1" in r.stderr, r
    assert up.cli("config", "apply", str(tmp_path / "none.yaml"), check=False).returncode == 1
    assert up.cli("config", "apply", check=False).returncode == 2
    assert up.cli("config", "rollback", "1e9", check=False).returncode == 1
    assert up.cli("config", "--help").returncode == 0 and up.cli("config", "apply", "--help").returncode == 0


def test_cli_usage_and_requests(up):
    import os
    import signal
    import subprocess
    a = routed(up, "other", "for the table")
    assert a.status == 200
    id = a.headers["x-request-id"]
    wait_for(lambda: up.admin("GET", f"/requests/{id}").status == 200, 15, "the request")
    lines = up.cli("requests", "--router", "other", "--limit", "5").stdout.splitlines()
    assert lines[0].startswith("TIME") and any(id in line and "200" in line for line in lines[1:]), lines
    assert json.loads(up.cli("requests", id).stdout)["router"] == "other"
    assert up.cli("requests", "no-such-id", check=False).returncode == 1
    assert json.loads(up.cli("requests", "-o", "json").stdout)["data"]
    lines = up.cli("usage", "--by", "router,provider", "--bucket", "day").stdout.splitlines()
    assert lines[0].split()[:3] == ["BUCKET", "router", "provider"] and any(" other " in line for line in lines[1:]), lines
    assert up.cli("usage", "--by", "nothing", check=False).returncode == 1
    assert up.cli("usage", "word", check=False).returncode == 2
    env = {**os.environ, "SLUICE_ADMIN_URL": f"http://127.0.0.1:{up.admin_port}", "SLUICE_ADMIN_TOKEN": up.token}
    # (A shell's background jobs, and all they start, begin with SIGINT ignored.)
    p = subprocess.Popen(["env", "--default-signal=INT", str(sluice.BIN / "sluice"), "requests", "tail", "-o", "json", "--limit", "1"], stdout=subprocess.PIPE, env=env, text=True)
    try:
        assert json.loads(p.stdout.readline())["id"]
        ids = [routed(up, "other", f"tailed {i}").headers["x-request-id"] for i in range(3)]
        # Each of them, once; workers tell at times of their own, so that neither their order is fixed nor that none of before comes late.
        seen = []
        while not set(ids) <= set(seen):
            seen.append(json.loads(p.stdout.readline())["id"])
        assert len(seen) == len(set(seen)), (seen, ids)
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(20 * sluice.PATIENCE)
