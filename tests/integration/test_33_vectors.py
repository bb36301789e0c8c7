# SPDX-License-Identifier: Apache-2.0
"""The translation vectors (tests/vectors) through the real programs: a provider that says what the vector says, a
client that asks what it asks. Beyond what unit/vectors compares: method, path and headers upstream, the catalogue's
facts about the models, headers and statuses toward the client."""
import glob
import http.server
import json
import os
import pathlib
import sys
import threading

import pytest

import sluice

VECTORS = sluice.ROOT / "tests" / "vectors"
sys.path.insert(0, str(VECTORS))
import vectors_test as rules  # noqa: E402  (comparison of FORMAT.md)

KEYS = {"openai": "sk-TEST", "anthropic": "sk-ant-TEST", "gemini": "AIzaTEST"}
BASE = {"openai": "v1/", "anthropic": "v1/", "gemini": "v1beta/", "ollama": "api/"}


def load():
    found = []
    for path in sorted(glob.glob(str(VECTORS / "*.json"))):
        v = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if "kind" not in v:
            found.append(v)
    return found


ALL = load()
# A provider of its own for each error, so that cool-downs and ejections of one leave the next alone.
ERRORS = {v["name"]: "e%d" % i for i, v in enumerate(ALL) if v.get("provider_response", {}).get("status", 200) >= 400
          or "error" in v["name"]}


class Upstream(http.server.ThreadingHTTPServer):
    """Answers every request with what the current vector says; keeps what came."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.vector, self.seen = None, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        v = self.server.vector
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append({"path": self.path, "headers": {k.lower(): x for k, x in self.headers.items()}, "body": body})
        if "provider_stream" in v:
            lines = v.get("provider_stream_format") == "ndjson"
            data = rules.stream_text(v, "\n").encode()
            self.answer(200, {"content-type": "application/x-ndjson" if lines else "text/event-stream"}, data)
        else:
            r = v["provider_response"]
            data = r["body"] if isinstance(r["body"], str) else json.dumps(r["body"])
            self.answer(r["status"], {"content-type": "application/json", **r.get("headers", {})}, data.encode())

    def answer(self, status, headers, data):
        self.send_response(status)
        for k, x in headers.items():
            self.send_header(k, x)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    upstream = Upstream()
    url = "http://127.0.0.1:%d/" % upstream.server_address[1]
    lines = ["providers:"]
    for name, path in BASE.items():
        more = ", dialect: ollama" if name == "ollama" else ""
        lines.append("  %s: {base-url: '%s%s'%s}" % (name, url, path, more))
    for v in ALL:
        if v["name"] in ERRORS:
            dialect = rules.SIDES[v["direction"]][1]
            lines.append("  %s: {dialect: %s, base-url: '%s%s', keys: [{value: sk-TEST}]}" % (ERRORS[v["name"]], dialect, url, BASE[dialect]))
    config = "\n".join(lines) + "\nrouters: {one: {load-balance: {chat: {strategy: priority, providers: [openai]}}}}\n"
    env = {"OPENAI_API_KEY": KEYS["openai"], "ANTHROPIC_API_KEY": KEYS["anthropic"], "GEMINI_API_KEY": KEYS["gemini"]}
    stack = sluice.Stack(tmp_path_factory.mktemp("vectors"), config, env)
    yield stack, upstream
    stack.stop()
    upstream.shutdown()


def check_sent(v, seen, provider, request):
    want = v.get("provider_request")
    if v["name"] in ERRORS or want == "$skip":
        return
    if want is None:
        assert not seen, "something was sent upstream"
        return
    assert len(seen) == 1, f"{len(seen)} requests were sent" # an error may be asked twice, but those are not here
    got = seen[0]
    assert got["path"] == want["path"]
    for k, x in want.get("headers", {}).items():
        assert got["headers"].get(k.lower()) == x, f"header {k}: {got['headers'].get(k.lower())!r}, wanted {x!r}"
    body, wanted = json.loads(got["body"]), json.loads(json.dumps(want["body"]))
    if provider == "anthropic" and not {"max_tokens", "max_completion_tokens"} & set(request):
        # The vector names a default; here it is the catalogue's maximum of the model.
        assert body["max_tokens"] >= wanted["max_tokens"]
        wanted["max_tokens"] = body["max_tokens"]
    rules.same(wanted, body, "provider_request")


def check_dropped(v, answer):
    if isinstance(v.get("provider_request"), dict) and "dropped_params" in v and v["name"] not in ERRORS:
        got = [x for x in answer.headers.get("x-sluice-dropped-params", "").split(",") if x]
        assert sorted(got) == sorted(v["dropped_params"])


def without_attempts(body):
    body.get("error", {}).pop("attempts", None)
    return body


def check_whole(v, answer):
    want = v.get("openai_response") or v.get("anthropic_response")
    assert answer.status == want["status"], answer
    rules.same(want["body"], without_attempts(rules.strict(answer.body.decode())), "answer")
    for k, x in want.get("headers", {}).items():
        assert answer.headers.get(k) == x, f"header {k}: {answer.headers.get(k)!r}, wanted {x!r}"


@pytest.mark.parametrize("v", ALL, ids=[v["name"] for v in ALL])
def test_vector(gateway, v):
    stack, upstream = gateway
    client, provider = rules.SIDES[v["direction"]]
    if v["direction"] == "openai->openai-compatible" and "provider_response" not in v:
        pytest.skip("nothing to answer")
    request = dict(v.get("anthropic_request") or v["openai_request"])
    model = v.get("config", {}).get("model") or (v.get("provider_request") or {}).get("body", {}).get("model", request["model"]) \
        if isinstance(v.get("provider_request"), dict) else v.get("config", {}).get("model", request["model"])
    if v.get("config", {}).get("openai") is False:
        pytest.skip("a vendor that is not in this file's configuration")
    request["model"] = "%s/%s" % (ERRORS.get(v["name"], provider), model)
    upstream.vector, upstream.seen = v, []
    path = "/ai/v1/messages" if client == "anthropic" else "/ai/v1/embeddings" if "input" in request else "/ai/v1/completions" if "prompt" in request \
        else "/ai/v1/chat/completions"
    answer = stack.post(path, request)
    try:
        check_sent(v, upstream.seen, provider, request)
        check_dropped(v, answer)
        if "openai_stream" in v or "anthropic_stream" in v:
            assert answer.status == 200, answer
            rules.check_stream(v, {"events": answer.body.decode()}, client)
        else:
            check_whole(v, answer)
    except rules.Differs as e:
        pytest.fail(str(e))
    if "status" in v.get("provider_response", {}) and v["provider_response"]["status"] >= 400:
        assert answer.headers["x-sluice-upstream-status"] == str(v["provider_response"]["status"])
