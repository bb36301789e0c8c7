# SPDX-License-Identifier: Apache-2.0
"""Every kind of request of both client dialects for models of every family: what sluice makes of it must be accepted by the
mock, which refuses by model what the provider refuses (max_tokens, sampling, forced tools, thinking, structured output, prefill).
Between equal dialects nothing is translated, so that is not looked at here."""
import json

import pytest

import sluice
from test_71_clients import CONFIG, PROVIDERS

MODELS = {
    "openai": ["gpt-4o", "gpt-4.1-mini", "o3", "gpt-5.4", "gpt-5", "gpt-6-luna", "gpt-6.2-sol"],
    "anthropic": ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5", "claude-opus-5", "claude-opus-4-8", "claude-opus-4-6",
                  "claude-sonnet-4-5", "claude-opus-4-1", "claude-sonnet-4-0", "claude-3-7-sonnet-latest", "claude-3-5-haiku-latest", "claude-new-9"],
    "gemini": ["gemini-3.5-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-4-argon"], "ollama": ["llama3.2"]}

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "minLength": 1}, "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 9}},
          "required": ["city", "n"], "additionalProperties": False}
PLAIN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": SCHEMA, "strict": True}},
         {"type": "function", "function": {"name": "noargs"}}]
USER = [{"role": "user", "content": "Hi in JSON"}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}


def called(*calls, **more):
    return {"role": "assistant", "content": None, "tool_calls": [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls], **more}


OPENAI = {
    "plain": {}, "stream": {"stream": True, "stream_options": {"include_usage": True}}, "tools": {"tools": TOOLS},
    "required": {"tools": TOOLS, "tool_choice": "required"}, "named": {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "noargs"}}},
    "allowed": {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
        {"type": "function", "function": {"name": "noargs"}}]}}},
    "max": {"max_tokens": 100}, "huge": {"max_completion_tokens": 10 ** 8},
    "sampling": {"temperature": 1.7, "top_p": 0.5, "presence_penalty": 0.5, "frequency_penalty": 0.2, "seed": 4, "logit_bias": {"5": 1},
                 "stop": ["a", "b", "", "c", "d", "e"]},
    **{f"effort-{e}": {"reasoning_effort": e} for e in ("none", "minimal", "low", "medium", "high", "xhigh", "max")},
    "effort-tools": {"reasoning_effort": "medium", "tools": TOOLS, "tool_choice": "required", "temperature": 0.3},
    "schema": {"response_format": FORMAT}, "schema-tools": {"response_format": FORMAT, "tools": TOOLS}, "json": {"response_format": {"type": "json_object"}},
    "schema-effort": {"response_format": FORMAT, "reasoning_effort": "high"}, "logprobs": {"logprobs": True, "top_logprobs": 3},
    "hints": {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "verbosity": "low", "parallel_tool_calls": True, "tools": TOOLS,
              "prompt_cache_key": "x", "safety_identifier": "y"},
    "messages": {"messages": [
        {"role": "developer", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": "first "},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "JSON"}, {"type": "image_url", "image_url": {"url": PNG}}], "name": "bob"},
        {"role": "user", "content": " "}, {"role": "user", "content": "x"}]},
    "prefill": {"messages": [*USER, {"role": "assistant", "content": "Sure: "}]},
    "loop": {"tools": TOOLS, "messages": [
        *USER, called(("functions.x:0", "get_weather", '{"city":"x","n":1}'), ("call/2", "noargs", ""), content=""),
        {"role": "tool", "tool_call_id": "call/2", "content": [{"type": "text", "text": "B"}]}, {"role": "tool", "tool_call_id": "functions.x:0", "content": ""}]},
    "loop-effort": {"reasoning_effort": "low", "tools": TOOLS, "messages": [
        *USER, called(("a", "get_weather", '{"city":"x","n":1}'), reasoning_content="hm"), {"role": "tool", "tool_call_id": "a", "content": '{"k":1}'},
        {"role": "user", "content": "and?"}]},
    "loop-without-tools": {"messages": [*USER, called(("a", "get_weather", "{}")), {"role": "tool", "tool_call_id": "a", "content": "[1]"}]},
}

A_TOOLS = [{"name": "get_weather", "description": "d", "input_schema": SCHEMA}, {"name": "noargs", "input_schema": {"type": "object"}}]


def said(*blocks):
    return {"messages": [{"role": "user", "content": [*blocks, {"type": "text", "text": "x"}]}]}


ANTHROPIC = {
    "plain": {}, "stream": {"stream": True}, "tools": {"tools": A_TOOLS}, "any": {"tools": A_TOOLS, "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    "named": {"tools": A_TOOLS, "tool_choice": {"type": "tool", "name": "noargs"}},
    "sampling": {"temperature": 0.5, "top_k": 5, "stop_sequences": ["a", "b", "c", "d", "e", "f"]}, "top_p": {"top_p": 0.9},
    "enabled": {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "adaptive": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
    "disabled": {"thinking": {"type": "disabled"}}, "enabled-tools": {"thinking": {"type": "enabled", "budget_tokens": 2000}, "tools": A_TOOLS, "stream": True},
    "schema": {"output_config": {"format": {"type": "json_schema", "schema": PLAIN}}}, "system": {"system": "s"},
    "systems": {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]},
    "loop": {"tools": A_TOOLS, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "of somebody"}, {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "ok"},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "x", "n": 1}}, {"type": "tool_use", "id": "toolu_2", "name": "noargs", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True, "content": "bad"},
                                     {"type": "tool_result", "tool_use_id": "toolu_1"}, {"type": "text", "text": "go"}]}]},
    "prefill": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Sure"}]},
    "document": said({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}}),
    "image": said({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG.split(",")[1]}}),
    "system-later": {"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "be"}]},
    "agent": {"tools": [*A_TOOLS, {"type": "web_search_20250305", "name": "web_search"}], "metadata": {"user_id": "u"}, "service_tier": "auto",
              "context_management": {"edits": []}},
}


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = sluice.Mock(tmp_path_factory.mktemp("mock"), n=5)
    m.scenario(f"{m.ports[0]} * strict\n")
    yield m
    m.stop()


@pytest.fixture(scope="module")
def up(mock, tmp_path_factory):
    env = {f"{name.upper()}_API_KEY": f"sk-test-{name}-0123456789abcdef" for name, _, _ in PROVIDERS}
    s = sluice.Stack(tmp_path_factory.mktemp("up"), CONFIG.format(*mock.ports), env)
    yield s
    s.stop()


def refusals(up, path, cases, base, provider, model, headers=None):
    """{case: what was said} of those not answered well."""
    out = {}
    for name, more in cases.items():
        r = up.post(path, {"model": f"{provider}/{model}", **base, **more}, headers)
        if r.status != 200 or (more.get("stream") and b'"error"' in r.body):
            out[name] = r.body[:300]
        elif more.get("stream"):
            assert r.events() and (r.events()[-1] == "[DONE]" or json.loads(r.events()[-1])["type"] == "message_stop")
    return out


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "ollama"])
def test_openai_clients(up, provider):
    for model in MODELS[provider]:
        refused = refusals(up, "/v1/chat/completions", OPENAI, {"messages": USER}, provider, model)
        if provider == "gemini":
            assert b"max_output_tokens" in refused.pop("huge")
        assert not refused, model


@pytest.mark.parametrize("provider", ["openai", "gemini", "ollama"])
def test_anthropic_clients(up, provider):
    base = {"max_tokens": 3000, "messages": [{"role": "user", "content": "Hi"}]}
    for model in MODELS[provider]:
        refused = refusals(up, "/v1/messages?beta=true", ANTHROPIC, base, provider, model, {"anthropic-version": "2023-06-01", "anthropic-beta": "x"})
        assert not refused, model
