# SPDX-License-Identifier: Apache-2.0
"""The strategies, over real targets: shares, speed, order, price; and the cache's buckets and scopes."""
import collections

import pytest

import sluice
from sluice import chat

CONFIG = """\
routers:
  weighted:
    load-balance:
      chat:
        strategy: weighted
        providers:
          - {provider: openai, weight: 0.75}
          - {provider: anthropic, weight: 0.25}
  model-weighted:
    load-balance:
      chat:
        strategy: model-weighted
        models:
          - {model: openai/gpt-4o-mini, weight: 0.2}
          - {model: openai/gpt-4o, weight: 0.8}
  model-latency:
    load-balance:
      chat:
        strategy: model-latency
        models: [openai/delay-700ms, anthropic/quick]
  latency:
    load-balance:
      chat: {strategy: latency, providers: [openai, anthropic]}
  priority:
    load-balance:
      chat: {strategy: priority, providers: [gemini, openai, anthropic]}
  buckets:
    load-balance:
      chat: {strategy: latency, providers: [openai]}
    cache: {directive: "max-age=60", buckets: 2}
"""


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG, mock.env())
    yield s
    s.stop()


def answered(up, router, n, by="x-sluice-provider", model="openai/gpt-4o-mini"):
    seen = collections.Counter()
    for i in range(n):
        r = up.post(f"/router/{router}/chat/completions", chat(model, text=f"{router} {i}"))
        assert r.status == 200, r
        seen[r.headers[by]] += 1
    return seen


def test_weighted(up):
    """300 picks at 3:1; five standard deviations (37) either way."""
    seen = answered(up, "weighted", 300)
    assert set(seen) == {"openai", "anthropic"} and abs(seen["openai"] - 225) < 38, seen


def test_model_weighted(up):
    seen = answered(up, "model-weighted", 200, by="x-sluice-model")
    assert set(seen) == {"gpt-4o-mini", "gpt-4o"} and abs(seen["gpt-4o"] - 160) < 29, seen


@pytest.mark.parametrize("router", ["model-latency", "latency"])
def test_the_faster_one_is_preferred(up, mock, router):
    """Once both are measured, the one that answers so much later gets few of the requests. (The best of some rounds: the faster one
    may have stood still for so long itself. A choice that takes no notice gets there once in a thousand.)"""
    if router == "latency":
        mock.mode(0, "delay-700ms")
    try:
        model = "anthropic/claude-haiku-4-5" if router == "latency" else "openai/gpt-4o-mini"
        answered(up, router, 10, model=model)
        for last in (False, False, True):
            seen = answered(up, router, 40, model=model)
            print(seen)
            if seen["anthropic"] >= 30:
                break
            assert not last, seen
    finally:
        mock.mode(0, "up")


def test_priority_spills_in_order(up, mock):
    assert set(answered(up, "priority", 5)) == {"gemini"}
    mock.mode(2, "down")
    try:
        r = up.post("/router/priority/chat/completions", chat(text="spill"))
        assert r.status == 200 and r.headers["x-sluice-provider"] == "openai", r
    finally:
        mock.mode(2, "up")


def test_buckets_hold_so_many_answers(up, mock):
    """Two misses fill two buckets; from then on everything is a hit."""
    states = [up.post("/router/buckets/chat/completions", chat(text="same")).headers["x-sluice-cache"] for _ in range(8)]
    assert states == ["miss", "miss"] + ["hit"] * 6, states


def test_cache_is_not_shared_between_keys(up):
    """The default scope is the team; a key without one is its own."""
    a, b = (up.admin("POST", "/keys?wait=5s", {"name": n}).json()["key"] for n in "ab")
    ask = lambda key: up.post("/router/buckets/chat/completions", chat(text="private"), {"authorization": f"Bearer {key}"}).headers["x-sluice-cache"]
    assert [ask(a), ask(a), ask(a)] == ["miss", "miss", "hit"]
    assert ask(b) == "miss"


def test_weight_of_a_dead_provider_goes_to_the_others(up, mock):
    """Last in the file: the target stays ejected for a while."""
    mock.mode(0, "down")
    try:
        assert set(answered(up, "weighted", 20)) == {"anthropic"}
    finally:
        mock.mode(0, "up")
