# SPDX-License-Identifier: Apache-2.0
"""What the catalogue is for: prices in answers, headers, limits and reports; GET /v1/models; names; and a vendor
added by the YAML of docs/providers.md, as it stands there."""
import json
import re

import pytest

import sluice
from sluice import Mock, Stack, chat, wait_for

# gpt-4o-mini: 0.15 in, 0.075 cached, 0.60 out. One model of each sort that matters, all at the mock.
CONFIG = """\
providers:
  paid: {base-url: "http://127.0.0.1:%d/v1/"}
  telling: {base-url: "http://127.0.0.1:%d/v1/", quirks: {reports-cost: true}}
  metered: {base-url: "http://127.0.0.1:%d/v1/"}
  claude: {dialect: anthropic, base-url: "http://127.0.0.1:%d/v1/"}
models:
  known: {at: [{provider: paid, id: usage-1000-500, price: {input: 2, output: 10}}], equivalents: [other],
          aliases: [best], context: 4096, max-output: 1024, modalities: [text, image], released: "2026-01-02"}
  tiered: {at: [{provider: paid, id: usage-1001-1, price: {input: 1, output: 1, tiers: [{above: 1000, input: 3, output: 7}]}}]}
  counted: {at: [{provider: paid, id: usage-70-31, price: {input: 100, output: 0}}]}
  metered: {at: [{provider: metered, id: usage-70-30, price: {input: 100, output: 0}}]}
  unmetered: {at: [{provider: metered, id: usage-20-20}]}
  foreign: {at: [{provider: claude, id: usage-400-20, price: {input: 2, output: 10}}], context: 1000, max-output: 100}
  caching: {at: [{provider: paid, id: usage-1000-500+cached-600-200, price: {input: 2, cached: 0.2, cache-write: 2.5, output: 10}}]}
  caching-too: {at: [{provider: claude, id: usage-1000-500+cached-600-200, price: {input: 2, cached: 0.2, cache-write: 2.5, output: 10}}]}
  whole: {at: [{provider: paid, id: usage-1000-500+no-stream, price: {input: 2, output: 10}}]}
  free: {at: [{provider: paid, id: usage-10-10, price: {input: 0, output: 0}}]}
  unknown: {at: [{provider: paid, id: usage-20-20}]}
  changed: {at: [{provider: paid, id: usage-30-30, price: {input: 1, output: 1},
            changes: [{from: "2020-01-01", price: {input: 2, output: 2}}, {from: "2999-01-01", price: {input: 9, output: 9}}]}]}
  other: {at: [{provider: telling, id: usage-7-7}], kind: chat, context: 10, modalities: [text]}
routers:
  mapped:
    load-balance: {chat: {strategy: priority, providers: [telling]}}
  cached:
    load-balance: {chat: {strategy: priority, providers: [paid]}}
    cache: {directive: "max-age=600"}
  cached-foreign:
    load-balance: {chat: {strategy: priority, providers: [claude]}}
    cache: {directive: "max-age=600"}
  renamed:
    load-balance: {chat: {strategy: priority, providers: [paid]}}
    model-mappings: {gpt-4o-mini: [paid/usage-1000-500]}
default-model-mapping: {gpt-4o: [telling/usage-7-7]}
"""


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = Mock(tmp_path_factory.mktemp("mock"), 1)
    yield m
    m.stop()


@pytest.fixture(scope="module")
def up(tmp_path_factory, mock):
    s = Stack(tmp_path_factory.mktemp("up"), CONFIG % ((mock.ports[0],) * 4), {"CLAUDE_API_KEY": "sk-ant-0123456789"})
    yield s
    s.stop()


INCLUDE = {"usage": {"include": True}}


@pytest.mark.parametrize("model,cost", [
    ("paid/known", 0.007), ("best", 0.007), ("paid/usage-1000-500", 0.007), ("tiered", 0.00301), ("free", 0.0), ("unknown", None), ("foreign", 0.001),
    ("changed", 0.00012), ("paid/usage-5-5", None)])
def test_cost_where_asked(up, model, cost):
    """In the body when asked, in the header when known, in neither when nobody knows it; never 0 for unknown."""
    for stream in (False, True):
        r = up.post("/ai/chat/completions", {**chat(model), **INCLUDE, "stream": stream})
        assert r.status == 200, r
        if stream:
            usage = [json.loads(e)["usage"] for e in r.events() if '"usage":{' in e]
            assert len(usage) == 1, r
            usage = usage[0]
        else:
            usage = r.json()["usage"]
            header = r.headers.get("x-sluice-cost")
            assert header is None if cost is None else float(header) == cost, r
        assert "cost" in usage and usage["cost"] == cost, usage
        plain = up.post("/ai/chat/completions", {**chat(model), "stream": stream})
        assert b'"cost"' not in plain.body, plain


@pytest.mark.parametrize("stream", [False, True])
def test_a_hit_costs_nothing(up, stream):
    body = {**chat("known", text=f"cached {stream}"), **INCLUDE, "stream": stream}
    for state, cost in (("miss", 0.007), ("hit", 0.0), ("hit", 0.0)):
        r = up.post("/router/cached/chat/completions", body)
        assert r.headers["x-sluice-cache"] == state, r
        usage = [json.loads(e)["usage"] for e in r.events() if '"usage":{' in e] if stream else [r.json()["usage"]]
        assert [u["cost"] for u in usage] == [cost], usage
    assert stream or r.headers["x-sluice-cost"] == "0.0"
    plain = up.post("/router/cached/chat/completions", {**chat("known", text=f"cached {stream}"), "stream": stream})
    assert plain.headers["x-sluice-cache"] == "hit" and b'"cost"' not in plain.body, plain


def test_a_document_in_place_of_a_stream_has_its_cost(up):
    r = up.post("/ai/chat/completions", {**chat("whole"), **INCLUDE, "stream": True})
    usage = [json.loads(e)["usage"] for e in r.events() if '"usage":{' in e]
    assert [u["cost"] for u in usage] == [0.007], r


def test_a_translated_answer_is_kept_for_whom_it_fits(up):
    """It was written for one client: another may ask for the usage event, or for the cost inside the usage."""
    def post(body, **more):
        r = up.post("/router/cached-foreign/chat/completions", {**body, **more})
        return r.headers["x-sluice-cache"], r.body.count(b'"usage":{'), re.findall(rb'"cost":([0-9.]+)', r.body)

    body = {**chat("foreign", text="for two"), "stream": True}
    shows = {**body, "stream_options": {"include_usage": True}}
    assert [post(b) for b in (body, body, shows, shows, body)] == [
        ("miss", 0, []), ("hit", 0, []), ("miss", 1, []), ("hit", 1, []), ("hit", 0, [])]
    for stream in (False, True):
        body = {**chat("foreign", text=f"costs {stream}"), "stream": stream}
        assert post(body, **INCLUDE) == ("miss", 1, [b"0.001"])
        assert post(body) == ("miss", 0 if stream else 1, [])
        assert post(body) == ("hit", 0 if stream else 1, [])
    body = {**chat("foreign", text="costs False"), "stream": False}
    assert post(body, **INCLUDE) == ("hit", 1, [b"0.0"])


@pytest.mark.parametrize("model", ["caching", "caching-too"])
def test_cached_and_written_tokens_have_their_prices(up, model):
    """Whether the provider counts them inside the prompt (OpenAI) or beside it (Anthropic)."""
    for stream in (False, True):
        r = up.post("/ai/chat/completions", {**chat(model), **INCLUDE, "stream": stream})
        usage = [json.loads(e)["usage"] for e in r.events() if '"usage":{' in e][0] if stream else r.json()["usage"]
        details = usage["prompt_tokens_details"]
        read, written = details["cached_tokens"], details["cache_write_tokens"]
        assert (read, written) == (600, 200), usage
        expected = (usage["prompt_tokens"] - 800) * 2 + 600 * 0.2 + 200 * 2.5 + usage["completion_tokens"] * 10
        assert abs(usage["cost"] - expected / 1e6) < 1e-12, usage


def test_cost_is_exact(up):
    """Its digits, not a rounded float's."""
    r = up.post("/ai/chat/completions", {**chat("tiered"), **INCLUDE})
    assert re.search(rb'"cost":0\.00301\}', r.body), r
    assert r.headers["x-sluice-cost"] == "0.00301"


def test_reports_carry_the_cost(up):
    def spent():
        rows = up.admin("GET", "/usage?group_by=model").json()["data"]
        return {row["model"]: row for row in rows if row.get("model")}
    for i in range(3):
        assert up.post("/ai/chat/completions", chat("counted", text=f"r {i}")).status == 200
    wait_for(lambda: float(spent()["usage-70-31"]["cost_usd"]) == 0.021, 15, "three reports of 0.007 USD")


def test_metrics_and_access_lines(up):
    assert up.post("/ai/chat/completions", chat("metered", text="metric")).status == 200
    assert up.post("/ai/chat/completions", chat("unmetered", text="metric")).status == 200
    wait_for(lambda: abs(up.metric('sluice_cost_usd_total{provider="metered"}') - 0.007) < 1e-9, 10, "the cost in the metrics")
    wait_for(lambda: up.metric('sluice_unpriced_total{provider="metered"}') == 1, 10, "one unpriced request")
    def lines():
        found = [json.loads(l) for l in up.process.text().splitlines() if '"event":"access"' in l and '"model":"metered"' in l]
        return found and found[-1]
    line = wait_for(lines, 10, "an access line")
    assert line["cost_usd"] == "0.007" and re.fullmatch(r"20\d\d-\d\d-\d\d", line["prices_as_of"]), line


def test_names(up, mock):
    """Aliases, mappings of the router, of the whole file, of the catalogue; unknown models of a known provider."""
    for path, model, sent in [
            ("/ai/", "best", "usage-1000-500"), ("/ai/", "paid/brand-new", "brand-new"), ("/ai/", "telling/other", "usage-7-7"),
            ("/router/mapped/", "known", "usage-7-7"), ("/router/mapped/", "paid/known", "usage-7-7"),
            ("/router/mapped/", "gpt-4o", "usage-7-7"), ("/router/renamed/", "gpt-4o-mini", "usage-1000-500"),
            ("/router/renamed/", "openai/gpt-4o-mini", "usage-1000-500"), ("/ai/", "known:nitro", "usage-1000-500"),
            ("/ai/", "known:floor", "usage-1000-500")]:
        mock.reset()
        r = up.post(path + "chat/completions", chat(model))
        assert r.status == 200, (model, r)
        assert mock.last()["model"] == sent, model
    r = up.post("/router/mapped/chat/completions", chat("nobody-knows-it"))
    assert (r.status, r.code) == (404, "model_not_found"), r


def test_models(up):
    data = {m["id"]: m for m in up.get("/v1/models").json()["data"]}
    m = data["paid/usage-1000-500"]
    assert (m["object"], m["owned_by"], m["canonical_slug"], m["context_length"]) == ("model", "paid", "known", 4096), m
    assert m["created"] == 1767312000 and m["top_provider"] == {"context_length": 4096, "max_completion_tokens": 1024}
    assert m["architecture"] == {"input_modalities": ["text", "image"], "output_modalities": ["text"]}
    assert m["pricing"] == {"prompt": "0.000002", "completion": "0.00001"}, m
    assert data["paid/usage-10-10"]["pricing"] == {"prompt": "0.0", "completion": "0.0"}
    assert data["paid/usage-20-20"]["pricing"] == {"prompt": None, "completion": None}
    assert data["paid/usage-30-30"]["pricing"]["prompt"] == "0.000002" # since 2020
    for name in ("known", "best", "paid/usage-1000-500", "paid%2Fusage-1000-500"):
        assert up.get(f"/v1/models/{name}").json()["id"] == "paid/usage-1000-500", name
    assert up.get("/v1/models/nope").status == 404


def test_vendor_of_the_docs(tmp_path, mock):
    """The ten lines of docs/providers.md as they stand there, but for the address and what the mock calls its models."""
    page = (sluice.ROOT / "docs/providers.md").read_text()
    lines = re.search(r"<!-- test: tests/integration/test_57_catalog.py -->\n```yaml\n(.*?)```", page, re.S)[1]
    assert len(lines.splitlines()) <= 10, "ten lines are promised"
    text = lines.replace("https://api.acme.example", f"http://127.0.0.1:{mock.ports[0]}").replace("acme-large-2", "usage-100-50")
    assert text != lines
    s = Stack(tmp_path, text, {"ACME_API_KEY": "acme-key-0123456789"})
    try:
        mock.reset()
        body = {**chat("acme-large"), "seed": 7, "store": True, "metadata": {"a": "b"}, "max_completion_tokens": 60, "temperature": 0.7}
        body["messages"].insert(0, {"role": "developer", "content": "Be brief."})
        r = s.post("/v1/chat/completions", body)
        assert r.status == 200, r
        assert r.headers["x-sluice-provider"] == "acme" and float(r.headers["x-sluice-cost"]) == 0.00015, r
        assert "store" in r.headers["x-sluice-dropped-params"], r
        seen = mock.last()
        assert seen["model"] == "usage-100-50" and seen["headers"]["authorization"].startswith("Bearer "), seen
        sent = json.loads(seen["body"])
        assert sent["random_seed"] == 7 and sent["max_tokens"] == 60 and sent["messages"][0]["role"] == "system", sent
        assert not {"seed", "store", "metadata", "max_completion_tokens"} & set(sent), sent
        assert s.post("/v1/chat/completions", chat("acme/brand-new")).headers["x-sluice-model"] == "brand-new"
        shown = s.get("/v1/models/acme-large").json()
        assert shown["context_length"] == 131072 and shown["pricing"]["input_cache_read"] == "0.00000005", shown
    finally:
        s.stop()
