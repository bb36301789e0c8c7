# SPDX-License-Identifier: Apache-2.0
"""Bad input against every admin route. The routes, their methods, their bodies and the statuses they may answer with come
from the server's own openapi.json, so a route that is not swept fails here (VALID knows what its path wants). After each
sweep the state is what it was."""
import http.client
import json
import re
import threading
import urllib.parse

import pytest

import sluice
from sluice import request

CONFIG = """\
routers:
  production:
    load-balance:
      chat: {strategy: latency, providers: [openai, anthropic, gemini]}
"""
JSON, YAML = "application/json", "application/yaml"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Names that somebody may try, as they stand in a path.
HOSTILE = ["nope", "%00", "a%00b", "%0a", "%1b%5b31m", "%e2%80%ae", "%ef%bb%bf", "%ed%a0%80", "%c0%af", "%ff", "%f5%80%80%80", "..%2f..%2fetc",
           "%2e%2e", "%", "%zz", "%25", "a" * 129, "a" * 600, "'%22%3b--", "%7b%7d", "*", "key:x", "%24%7bHOME%7d", "%F0%9F%92%A9"]
# Values of each JSON type; the sweep takes those that a member may not have.
SAMPLES = {"string": ["x\u0001y"], "integer": [5, -1, 0, 2 ** 63 - 1], "number": [1.5, 1e300], "boolean": [True], "array": [[], [5], [[]], [{}]],
           "object": [{"x": {}}], "null": [None]}
NOT_JSON = [b"{", b"nope", b'{"a":1}x', b'{"a":1,"a":2}', b"{'a':1}", b'{"a":\xff}', b'{"a":"\xc0\xaf"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}',
            b'{"a":"\\u0000"}', b'{"a":1e999}', b'{"a":99999999999999999999}', b"[" * 40 + b"]" * 40, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"\xef\xbb\xbf{}", b"\x00"]


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    mock = sluice.Mock(tmp_path_factory.mktemp("mock"))
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG, mock.env())
    s.spec = request(s.admin_port, "GET", "/openapi.json").json()
    # One of everything, so that a wrong body meets a resource that is there.
    s.key = s.admin("POST", "/keys", {"name": "swept"}).json()["id"]
    s.provider_key = s.admin("POST", "/provider-keys", {"provider": "openai", "name": "swept", "value": "sk-swept-0123456789"}).json()["id"]
    s.token_id = s.admin("POST", "/tokens", {"name": "swept", "scopes": ["read"]}).json()["id"]
    assert s.admin("POST", "/teams", {"name": "swept"}).status == 201 and s.admin("POST", "/users", {"name": "swept"}).status == 201
    assert s.admin("PUT", "/routers/swept", {}).status == 201
    assert s.admin("PUT", "/providers/swept", {"base-url": "http://127.0.0.1:1/v1/"}).status == 201
    assert s.admin("PUT", "/models/swept", {"at": [{"provider": "swept"}]}).status == 201
    s.seq = s.admin("GET", "/config/revisions").json()["data"][0]["seq"]
    yield s
    s.stop()
    mock.stop()


# What {id} is in each path that has one.
VALID = {"/keys": lambda s: s.key, "/provider-keys": lambda s: s.provider_key, "/teams": lambda s: "swept", "/users": lambda s: "swept",
         "/routers": lambda s: "swept", "/providers": lambda s: "swept", "/models": lambda s: "swept", "/tokens": lambda s: s.token_id,
         "/config/revisions": lambda s: str(s.seq), "/targets": lambda s: s.provider_key, "/requests": lambda s: "nope"}


class Route:
    def __init__(self, up, path, method, op):
        self.up, self.path, self.method, self.op = up, path, method.upper(), op
        self.head, brace, self.tail = path.partition("/{id")
        self.tail = self.tail.partition("}")[2]
        self.has_id = brace != ""
        self.body = op.get("requestBody")
        self.types = list(self.body["content"]) if self.body else []
        self.names = {p.get("name") for p in (resolve(up.spec, p) for p in op.get("parameters", []))}

    def url(self, id=None, query=""):
        if not self.has_id:
            return self.path + query
        id = VALID[self.head[len("/admin/v1"):]](self.up) if id is None else id
        return f"{self.head}/{id}{self.tail}{query}"

    def schema(self):
        return resolve(self.up.spec, next(iter(self.body["content"].values()))["schema"])

    def ask(self, body=None, headers=None, id=None, query="", token=True, method=None):
        h = {"authorization": f"Bearer {self.up.token}"} if token else {}
        if body is not None and self.types:
            h["content-type"] = self.types[0]
        def once():
            return request(self.up.admin_port, method or self.method, self.url(id, query), body, {**h, **(headers or {})})
        # What has to ask Redis may be too late on a busy machine; nothing is changed here that a repeat would change twice.
        r = sluice.wait_for(lambda: (lambda r: None if sluice.is_late(r) else r)(once()), 10, "an answer in time", 0.05)
        r.route = self
        return r

    def __repr__(self):
        return f"{self.method} {self.path}"


def resolve(spec, node):
    while "$ref" in node:
        at = spec
        for part in node["$ref"][2:].split("/"):
            at = at[part]
        node = at
    return node


def routes(up, admin=True):
    return [Route(up, p, m, op) for p, ops in up.spec["paths"].items() for m, op in ops.items() if p.startswith("/admin/v1") == admin]


def fingerprint(up):
    """Everything that a change would show in."""
    lists = ("/tokens", "/config/revisions", "/keys", "/provider-keys", "/teams", "/users", "/routers")
    return {"seq": json.loads(request(up.admin_port, "GET", "/readyz").body)["seq"], **{p: up.admin("GET", p).body for p in lists},
            "audit": len(up.admin("GET", "/audit?limit=1000").json()["data"])}


def assert_untouched(up, before):
    after = fingerprint(up)
    assert {k: v for k, v in after.items() if v != before[k]} == {k: v for k, v in before.items() if v != after[k]}


@pytest.fixture
def untouched(up):
    before = fingerprint(up)
    yield
    assert_untouched(up, before)
    proxy = sluice.wait_for(lambda: next(p for p in up.admin("GET", "/proxies").json()["data"] if p["live"]), 10, "the proxy to be heard of")
    assert proxy["errors"] == []


def check(r, *statuses):
    """The documented error: a status of the table and of the route's own description, and the body of an error."""
    assert r.status in statuses, (r.route, statuses, r)
    general = {400, 401, 404, 405, 414, 431}
    assert r.status in general or str(r.status) in r.route.op["responses"], (r.route, "does not document", r.status)
    error = r.json()["error"]
    assert error["code"] and error["message"], (r.route, r)
    if r.status == 422 and error["code"] != "idempotency_key_reused":
        assert error["fields"] and all(set(f) == {"field", "problem"} for f in error["fields"]), (r.route, r)
    return error


def fails(up, fn):
    """All that is wrong, not only the first."""
    bad = []
    for route in routes(up):
        try:
            fn(route)
        except AssertionError as e:
            bad.append(str(e)[:600])
    assert not bad, "\n".join(bad)


def test_every_route_is_swept(up):
    found = routes(up)
    assert len(found) > 50
    for r in found:
        assert not r.has_id or r.head[len("/admin/v1"):] in VALID, r
        if r.path.endswith("/events"):
            continue  # a stream without end
        a = r.ask(method="GET")  # what this file asks for is there
        assert a.status == 405 or (a.status == 404) == r.path.endswith("/requests/{id}"), (r, a)


def test_without_a_token(up, untouched):
    def one(r):
        check(r.ask(token=False), 401)
        for wrong in ("Bearer x", "Bearer", "Basic " + up.token, up.token, "Bearer " + up.token + "x", "Bearer sluice-admin-x-y", "Bearer \u00e9"):
            check(r.ask(token=False, headers={"authorization": wrong.encode("latin-1").decode("latin-1")}), 401)
    fails(up, one)


def test_with_too_small_a_token(up):
    """Each route that changes something wants its scope: what is documented with 403 answers 403 to a reader."""
    reader = up.admin("POST", "/tokens", {"name": "reader", "scopes": ["read"]}).json()
    before = fingerprint(up)

    def one(r):
        a = r.ask(body=b"{}" if r.body else None, headers={"authorization": f"Bearer {reader['token']}"}) if "/events" not in r.path else None
        if a is not None and "403" in r.op["responses"]:
            check(a, 403)
        elif a is not None:
            assert a.status != 403 and (r.method == "GET" or r.path.endswith("/validate")), (r, a)
    fails(up, one)
    assert_untouched(up, before)
    assert up.admin("DELETE", f"/tokens/{reader['id']}").status == 200


def test_wrong_methods(up, untouched):
    by = {}
    for r in routes(up):
        by.setdefault(r.path, []).append(r)
    for path, ops in by.items():
        have = {r.method for r in ops}
        for m in set(METHODS) - have | {"HEAD", "OPTIONS", "BREW"}:
            a = ops[0].ask(method=m, body=b"{}" if m in ("POST", "PUT", "PATCH") else None)
            assert a.status == 405 and set(a.headers["allow"].split(", ")) == have, (path, m, a)


def test_unknown_paths(up, untouched):
    for path in ("/", "/nothing", "/keys/x/y", "/keys/", "/keys//rotate", "/config/", "/config/revisions/1", "/targets", "/targets/x", "/tokens/a/b", "//keys"):
        a = up.admin("GET", path)
        assert a.status in (404, 405), (path, a)


def test_ids_that_nobody_has(up, untouched):
    def one(r):
        if not r.has_id:
            return
        body = {"PATCH": b"{}", "POST": b"{}"}.get(r.method)
        for id in HOSTILE:
            if r.method == "PUT":
                continue
            check(r.ask(body=body if r.body else None, id=id), 404)
        assert r.ask(body=body if r.body else None, id="a" * 20000).status in (404, 414, 431), r
    fails(up, one)


def test_names_that_may_not_be_made(up, untouched):
    for r in routes(up):
        if r.method != "PUT" or not r.has_id:
            continue
        for id in HOSTILE:
            text = urllib.parse.unquote_to_bytes(id)
            if "/routers/" in r.path and re.fullmatch(rb"[A-Za-z0-9_-]{1,64}", text):
                continue
            # Names of models are those of vendors: nearly anything goes; but a body of {} makes no model.
            check(r.ask(body=b"{}", id=id), 404, 422)
    body = {"at": [{"provider": "swept"}]}
    for id in ("%e2%80%ae", "a%0ab", "%ef%bb%bfx", "a%e2%80%8bb"):
        a = up.admin("PUT", f"/models/{id}", body)
        assert a.status == 422 and a.json()["error"]["fields"][0]["field"] == "id", a


def test_not_json(up, untouched):
    def one(r):
        if r.body and r.types == [JSON]:
            for text in NOT_JSON:
                check(r.ask(body=text), 400)
    fails(up, one)


def test_not_a_file(up, untouched):
    """Routes that take a configuration: 422, or told as invalid where that is the answer."""
    texts = [t for t in NOT_JSON if not t.startswith((b'{"a":1}x', b"\xef"))] + \
        [b"a: &x [*x, *x]", b"a: &x [1,1,1,1,1,1,1,1]\nb: &y [*x,*x,*x,*x,*x,*x,*x]\nc: &z [*y,*y,*y,*y,*y,*y]\nd: [*z,*z,*z,*z,*z,*z]", b"%YAML 9.9\n---\n{}",
         b"--- a\n--- b", b"!!python/object:os.system x", b"\tx: 1", b"routers: !!binary x", b"? [a]\n: b", b"- " * 3000, b"routers: {" + b"a: {" * 2000]
    for r in routes(up):
        if not r.body or YAML not in r.types:
            continue
        for text in texts:
            a = r.ask(body=text)
            if r.path.endswith("/validate") and a.status == 200:
                assert a.json()["valid"] is False and a.json()["errors"], (r, text[:40], a)
            else:
                check(a, 422)


def test_too_large(up, untouched):
    def one(r):
        if not r.body:
            return
        most = (4 if YAML in r.types else 1) << 20
        filler = b'{"name":"' + b"x" * most + b'"}'
        check(r.ask(body=filler), 413)
        # The same without saying so beforehand.
        c = http.client.HTTPConnection("127.0.0.1", up.admin_port, timeout=30 * sluice.SLOW)
        try:
            c.request(r.method, r.url(), body=iter([filler[i:i + 65536] for i in range(0, len(filler), 65536)]), encode_chunked=True,
                      headers={"authorization": f"Bearer {up.token}", "content-type": r.types[0], "transfer-encoding": "chunked"})
            assert c.getresponse().status == 413, r
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while it was still being sent
        finally:
            c.close()
    fails(up, one)


def test_wrong_content_types(up, untouched):
    def one(r):
        if not r.body:
            return
        for t in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "text/html", "x", ""):
            check(r.ask(body=b"{}", headers={"content-type": t}), 415)
        check(r.ask(body=b"{}", headers={"content-encoding": "gzip"}), 415)
        if YAML not in r.types:
            check(r.ask(body=b"{}", headers={"content-type": YAML}), 415)
    fails(up, one)


def test_wrong_top_level(up, untouched):
    def one(r):
        if r.body and r.types == [JSON]:
            for value in (b"[]", b"5", b'"x"', b"true", b"null", b"1.5", b"[{}]"):
                check(r.ask(body=value), 422)
            if r.body.get("required"):
                check(r.ask(body=b""), 422)
    fails(up, one)


def test_unknown_and_missing_members(up, untouched):
    def one(r):
        if not r.body or r.types != [JSON]:
            return
        for name in ("nonsense", "", "__proto__", "a.b", "\u202ename", "x" * 500, "Name", "id "):
            e = check(r.ask(body={name: 1}), 422)
            assert any("nonsense" in f["field"] for f in e["fields"]) or name != "nonsense", (r, e)
        for name in r.schema().get("required", []):
            e = check(r.ask(body={}), 422)
            assert any(f["field"] == name or name in f["problem"] for f in e["fields"]), (r, name, e)
    fails(up, one)


def wrong_values(schema, yaml):
    """Values that a member with this schema may not have."""
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if not types:
        return []
    kinds = {"string": [[], {"x": {}}, [5]] if yaml else [5, True, [], {}, 1.5], "integer": [[], {"x": {}}, "x", "", True, 1.5, -1],
             "number": [[], {"x": {}}, "x"], "boolean": [[], {"x": {}}, "maybe", 5], "array": [{"x": {}}, 5, True][:1 if yaml else 3], "object": [[5], "x"][:1 if yaml else 2]}
    out = None
    for t in types:
        if t != "null":
            out = [v for v in kinds[t] if out is None or v in out]
    out = list(out or [])
    if "null" not in types and not yaml:
        out.append(None)
    if "string" in types:
        out += ["x" * 300000]
        if "enum" in schema:
            out += ["nonsense", ""]
        elif not yaml:
            out += ["a\u0000b", "a\u202eb", "a\nb"]
    if "array" in types:
        out += [[{"x": 5}], [[[]]], [5] * 3000]
    return out


def test_wrong_types(up, untouched):
    n = 0

    def one(r):
        nonlocal n
        if not r.body or r.types != [JSON]:
            return
        yaml = r.path.rsplit("/", 1)[0] in ("/admin/v1/routers", "/admin/v1/providers", "/admin/v1/models")
        for name, schema in r.schema().get("properties", {}).items():
            schema = resolve(up.spec, schema)
            for value in wrong_values(schema, yaml):
                e = check(r.ask(body={name: value}), 400, 422)
                if e["code"] == "invalid_fields":
                    assert any(f["field"].split("[")[0].split(".")[0] == name or f["field"] == "" for f in e["fields"]), (r, name, str(value)[:50], e)
                n += 1
    fails(up, one)
    assert n > 300


def test_members_that_nest_deeply(up, untouched):
    deep = 5
    for _ in range(29):
        deep = [deep]

    def one(r):
        if r.body and r.types == [JSON]:
            for name in r.schema().get("properties", {}):
                check(r.ask(body={name: deep}), 422)
    fails(up, one)


def test_stale_versions(up, untouched):
    good = {"/keys": {"name": "swept2"}, "/provider-keys": {"weight": 2}, "/teams": {"name": "swept2"}, "/users": {"name": "swept2"},
            "/routers": {"forward-unknown": True}, "/providers": {"base-url": "http://127.0.0.1:2/v1/"}, "/models": {"at": [{"provider": "swept"}]}}

    def one(r):
        if "If-Match" not in r.names:
            return
        body = None
        if r.body:
            body = good.get(r.head[len("/admin/v1"):], {}) if r.method in ("PUT", "PATCH") else {}
            body = {"value": "sk-swept-9876543210"} if r.path.endswith("provider-keys/{id}/rotate") else body
            body = CONFIG.replace("latency", "priority") if YAML in r.types else body
        for tag in ('"999999"', "abc", '""', 'W/"0"', '"-1"', '"1" "2"', "999999", '"18446744073709551616"'):
            check(r.ask(body=body.encode() if isinstance(body, str) else body, headers={"if-match": tag}), 412)
    fails(up, one)


def test_wrong_parameters(up, untouched):
    wrong = {"wait": ["", "soon", "0x5", "-1s", "61s", "1h", "%00", "%ff"], "limit": ["0", "-1", "1001", "x", "", "1.5", "99999999999999999999"],
             "cursor": ["", "%00", "%ff", "x" * 200], "dry_run": ["2", "yes", ""], "name": ["", "a%20b", "x" * 101, "%0a"]}

    def one(r):
        for name in r.names & set(wrong):
            for value in wrong[name]:
                body = CONFIG.encode() if YAML in r.types else b"{}" if r.body else None
                check(r.ask(body=body, query=f"?{name}={value}"), 422)
    fails(up, one)


def test_wrong_idempotency_keys(up, untouched):
    def one(r):
        if "Idempotency-Key" in r.names:
            body = CONFIG.encode() if YAML in r.types else b"{}" if r.body else None
            for key in ("", "x" * 256, "\u00e9", "a\tb"):
                check(r.ask(body=body, headers={"idempotency-key": key.encode("latin-1").decode("latin-1")}), 422)
    fails(up, one)


def test_one_idempotency_key_for_two_requests(up):
    h = {"idempotency-key": "two-requests"}
    assert up.admin("POST", "/teams", {"name": "two"}, h).status == 201
    before = fingerprint(up)
    for method, path, body in (("POST", "/teams", {"name": "three"}), ("POST", "/users", {"name": "two"}), ("PUT", "/routers/two", {}), ("POST", "/tokens", {"name": "t", "scopes": ["read"]}),
                               ("POST", "/keys", {"name": "two"}), ("DELETE", "/teams/two", None), ("PUT", "/models/two", {"at": [{"provider": "swept"}]})):
        r = up.admin(method, path, body, h)
        assert (r.status, r.code) == (422, "idempotency_key_reused"), (path, r)
    r = up.admin("PUT", "/config", CONFIG.encode(), {**h, "content-type": YAML})
    assert (r.status, r.code) == (422, "idempotency_key_reused"), r
    assert_untouched(up, before)


@pytest.mark.parametrize("method,path,body", [
    ("PATCH", "/keys/{key}", {"name": "race-%d"}), ("PATCH", "/teams/swept", {"name": "race-%d"}), ("PATCH", "/users/swept", {"name": "race-%d"}),
    ("PATCH", "/provider-keys/{provider_key}", {"name": "race-%d"}), ("PUT", "/routers/swept", {"model-mappings": {"m%d": "openai/gpt-4o"}}),
    ("PUT", "/providers/swept", {"base-url": "http://127.0.0.1:1/v%d/"}), ("PUT", "/models/swept", {"at": [{"provider": "swept", "id": "m%d"}]}),
    ("POST", "/keys/{key}/rotate", {"grace": "%ds"}), ("PUT", "/config", None)])
def test_writers_at_once(up, method, path, body):
    """The same version in the hands of eight: one wins, the others are told; what he wrote is what is there."""
    path = path.format(key=up.key, provider_key=up.provider_key)
    read = path.replace("/rotate", "")
    tag = up.admin("GET", read).headers["etag"]
    results = [None] * 8

    def write(i):
        text = (CONFIG + f"  race-{i}: {{}}\n").encode() if body is None else json.dumps(body).replace("%d", str(i + 2)).encode()
        # Under a key of one's own: on a busy machine an answer may be 503, and its repeat must know of the first.
        h = {"if-match": tag, "content-type": YAML if body is None else JSON, "idempotency-key": f"race {path} {tag} {i}"}
        results[i] = up.admin(method, path, text, h)
    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    won = [i for i, r in enumerate(results) if r.status == 200]
    assert len(won) == 1 and all(r.status in (200, 412) for r in results), results
    assert all(r.code == "version_conflict" for r in results if r.status == 412)
    now = up.admin("GET", read)
    if body is None:
        names = [r["id"] for r in up.admin("GET", "/routers").json()["data"] if r["id"].startswith("race-")]
        assert names == [f"race-{won[0]}"]
        assert up.admin("PUT", "/config", CONFIG.encode(), {"content-type": YAML}).status == 200
    else:
        assert now.json()["version"] == int(tag.strip('"')) + 1
        assert "grace" in body or str(won[0] + 2) in json.dumps(now.json())


def test_makers_at_once(up):
    """A name that does not exist yet, for eight: one makes it, the others change it or are told 412."""
    results = [None] * 8

    def write(i):
        results[i] = up.admin("PUT", "/routers/fresh", {"model-mappings": {f"m{i}": "openai/gpt-4o"}}, {"idempotency-key": f"fresh-{i}"})
    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(r.status == 201 for r in results) == 1 and all(r.status in (200, 201, 412) for r in results), results
    assert up.admin("GET", "/routers/fresh").json()["version"] == sum(r.status in (200, 201) for r in results)


def test_open_routes(up, untouched):
    """Those without a token: other methods are refused, and nothing about them is secret."""
    for r in routes(up, admin=False):
        for m in ("POST", "PUT", "DELETE", "PATCH"):
            assert r.ask(method=m, token=False, body=b"{}").status == 405, (r, m)
        assert r.ask(token=False).status == 200
        assert up.token not in r.ask(token=False).body.decode()


def test_framing(up, untouched):
    import socket
    for text in (b"GET /admin/v1/keys HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET /admin/v1/keys HTTP/1.1\r\n\r\n",
                 b"GET " + b"/" * 70000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"POST /admin/v1/keys HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", up.admin_port), timeout=20 * sluice.SLOW) as c:
            answer = b""
            try:
                c.sendall(text)
                c.shutdown(socket.SHUT_WR)
                while part := c.recv(65536):
                    answer += part
            except OSError:
                pass  # closed while we were still sending
            assert answer == b"" or answer.split(b" ")[1] in (b"400", b"401", b"404", b"414", b"431", b"413"), answer[:200]
