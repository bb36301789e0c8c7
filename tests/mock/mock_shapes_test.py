# SPDX-License-Identifier: Apache-2.0
"""What the mock says and refuses in the words of each provider: tool loops to their end, thinking that must come back
as it was, structured output, errors. Run as mock_test.py is."""
import http.client
import json

import pytest

from mock_test import Mock, events, request

TOOL = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
ARGS = {"city": "Zürich", "days": 7}
OTHER = {"city": "Köln", "days": 8}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}, "tags": {
    "type": "array", "items": {"type": "string", "enum": ["a", "b"]}}}, "required": ["name", "n", "tags"],
    "additionalProperties": False}
VALUE = {"name": "Zürich", "n": 7, "tags": ["a"]}


@pytest.fixture(scope="module")
def shared():
    m = Mock()
    yield m
    assert m.stop() == 0


@pytest.fixture
def mock(shared):
    shared.reset()
    return shared


def post(mock, path, body, headers=None):
    """status, parsed body (None: not JSON), raw bytes."""
    status, _, raw = request(mock.port, "POST", path, json.dumps(body), {"content-type": "application/json", **(headers or {})})
    try:
        return status, json.loads(raw), raw
    except ValueError:
        return status, None, raw


# --- Anthropic ------------------------------------------------------------------------------------

CLAUDE = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
A_TOOLS = [{"name": "get_weather", "description": "w", "input_schema": TOOL},
           {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}]


def claude(mock, headers=None, path="/v1/messages", **more):
    body = {"model": "claude-sonnet-4-5", "max_tokens": 2048, "messages": [{"role": "user", "content": "Hi there"}], **more}
    return post(mock, path, {k: v for k, v in body.items() if v is not None}, CLAUDE if headers is None else headers)


def claude_stream(raw):
    """Puts a message together as the SDK does; checks the order of the events on the way."""
    message, args, names = None, {}, []
    for block in raw.decode().split("\n\n"):
        if not block:
            continue
        first, second = block.split("\n")
        name, data = first[len("event: "):], json.loads(second[len("data: "):])
        assert data["type"] == name
        names.append(name)
        if name == "message_start":
            message = data["message"]
            assert message["content"] == [] and message["stop_reason"] is None
        elif name == "content_block_start":
            assert data["index"] == len(message["content"])
            message["content"].append(data["content_block"])
        elif name == "content_block_delta":
            b, d = message["content"][data["index"]], data["delta"]
            if d["type"] == "text_delta":
                b["text"] += d["text"]
            elif d["type"] == "thinking_delta":
                b["thinking"] += d["thinking"]
            elif d["type"] == "signature_delta":
                b["signature"] = d["signature"]
            else:
                args[data["index"]] = args.get(data["index"], "") + d["partial_json"]
        elif name == "content_block_stop":
            if data["index"] in args:
                message["content"][data["index"]]["input"] = json.loads(args[data["index"]])
        elif name == "message_delta":
            message.update(data["delta"])
            message["usage"].update(data["usage"])
    assert names.count("content_block_start") == names.count("content_block_stop")
    return message, names


def without_ids(blocks):
    return [{k: v for k, v in b.items() if k not in ("id", "citations")} for b in blocks]


@pytest.mark.parametrize("more", [
    {}, {"tools": A_TOOLS}, {"model": "claude-sonnet-4-5+parallel+preface", "tools": A_TOOLS},
    {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    {"model": "claude-sonnet-4-5+redacted+parallel", "thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": A_TOOLS},
    {"model": "claude-opus-5-5", "thinking": {"type": "adaptive"}}, {"model": "claude-haiku-4-5+refusal"},
    {"model": "claude-haiku-4-5+cached-80-20"}, {"max_tokens": 5},
    {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    {"model": "claude-haiku-4-5+piece-1", "tools": A_TOOLS}, {"model": "claude-haiku-4-5+args-size-100k", "tools": A_TOOLS}])
def test_anthropic_stream_says_what_the_plain_answer_says(mock, more):
    status, plain, _ = claude(mock, **more)
    assert status == 200 and plain["type"] == "message"
    message, names = claude_stream(claude(mock, stream=True, **more)[2])
    assert names[:2] == ["message_start", "ping"] and names[-2:] == ["message_delta", "message_stop"]
    assert without_ids(message["content"]) == without_ids(plain["content"])
    assert message["stop_reason"] == plain["stop_reason"]
    assert {k: message["usage"][k] for k in ("output_tokens", "cache_read_input_tokens")} == \
        {k: plain["usage"][k] for k in ("output_tokens", "cache_read_input_tokens")}


def test_anthropic_tool_loop_with_thinking(mock):
    more = {"model": "claude-sonnet-4-5+parallel", "tools": A_TOOLS, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    _, a, _ = claude(mock, **more)
    thinking, one, two = a["content"]
    assert a["stop_reason"] == "tool_use" and thinking["signature"]
    assert (one["name"], one["input"], two["name"], two["input"]) == ("get_weather", ARGS, "get_time", {})
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": a["content"]}]
    results = [{"type": "tool_result", "tool_use_id": one["id"], "content": "sunny"},
               {"type": "tool_result", "tool_use_id": two["id"], "content": [{"type": "text", "text": "noon"}]}]
    status, b, _ = claude(mock, messages=turn + [{"role": "user", "content": results}], **more)
    assert status == 200 and b["content"][-1]["text"] == "Tool results: sunny; noon" and b["stop_reason"] == "end_turn"
    for broken, why in (({"thinking": " hmm hmm"}, "Invalid `signature`"), ({"signature": "abc"}, "Invalid `signature`")):
        content = [{**thinking, **broken}, one, two]
        status, e, _ = claude(mock, messages=[turn[0], {"role": "assistant", "content": content}, {"role": "user", "content": results}], **more)
        assert status == 400 and why in e["error"]["message"]
    status, e, _ = claude(mock, messages=[turn[0], {"role": "assistant", "content": [one, two]}, {"role": "user", "content": results}], **more)
    assert status == 400 and "Expected `thinking`" in e["error"]["message"]
    status, e, _ = claude(mock, messages=turn + [{"role": "user", "content": results}], **{**more, "model": "claude-opus-4-5"})
    assert status == 400 and "Invalid `signature`" in e["error"]["message"]  # another model's
    status, e, _ = claude(mock, messages=turn + [{"role": "user", "content": results[:1]}], **more)
    assert status == 400 and "without `tool_result`" in e["error"]["message"]
    late = [{"type": "text", "text": "x"}, *results]
    assert claude(mock, messages=turn + [{"role": "user", "content": late}], **more)[0] == 400
    assert claude(mock, messages=turn + [{"role": "user", "content": results}, {"role": "user", "content": "And now?"}], **more)[0] == 200


@pytest.mark.parametrize("more,why", [
    ({"max_tokens": None}, "max_tokens: Field required"), ({"max_tokens": 64001}, "max_tokens: 64001 > 64000"),
    ({"frequency_penalty": 1}, "frequency_penalty: Extra inputs"), ({"n": 1}, "n: Extra inputs"),
    ({"stop": ["x"]}, "stop: Extra"), ({"stop_sequences": [" "]}, "non-whitespace"), ({"temperature": 1.5}, "temperature"),
    ({"temperature": 0.5, "top_p": 0.5}, "cannot both"), ({"model": "claude-opus-5", "temperature": 0.5}, "deprecated"),
    ({"messages": []}, "at least one"), ({"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
    ({"messages": [{"role": "user", "content": ""}]}, "non-empty"), ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "non-whitespace"),
    ({"messages": [{"role": "system", "content": "x"}]}, "role 'system'"), ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "name: Extra"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "Input tag 'image_url'"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": "x"}}]}]}, "media_type"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "pre "}]}, "trailing whitespace"),
    ({"model": "claude-opus-4-6", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "pre"}]}, "prefill"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]}, "unexpected `tool_use_id`"),
    ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "name"), ({"tools": [{"name": "a"}]}, "input_schema"),
    ({"tools": [{"name": "a", "input_schema": {"properties": {}}}]}, "type"), ({"tools": [{"type": "function", "function": {}}]}, "tools.0"),
    ({"tool_choice": {"type": "auto"}}, "while providing `tools`"), ({"tools": A_TOOLS, "tool_choice": "auto"}, "tool_choice"),
    ({"tools": A_TOOLS, "tool_choice": {"type": "tool", "name": "no"}}, "not found"),
    ({"model": "claude-opus-5-5", "tools": A_TOOLS, "tool_choice": {"type": "any"}}, "forcing"),
    ({"thinking": {"type": "adaptive"}}, "not supported"), ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "must be greater"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0.5}, "temperature"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": A_TOOLS, "tool_choice": {"type": "any"}}, "forces tool"),
    ({"output_config": {"effort": "minimal"}}, "effort"), ({"model": "claude-sonnet-4-0", "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, "structured"),
    ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}}, "additionalProperties"),
    ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "integer", "minimum": 1}}}}}}, "minimum"),
    ({"metadata": {"a": "b"}}, "metadata.a"), ({"service_tier": "default"}, "service_tier"), ({"system": ""}, None), ({"system": [{"type": "text", "text": ""}]}, "system"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}, None),
    ({"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]}, None)])
def test_anthropic_refuses(mock, more, why):
    status, e, raw = claude(mock, **more)
    if why is None:
        assert status == 200, raw
        return
    assert status == 400 and e["type"] == "error" and e["error"]["type"] == "invalid_request_error", raw
    assert why in e["error"]["message"]


def test_anthropic_threads(mock):
    """The mock keeps no conversations; the words of the refusal make an SDK send all of it."""
    assert "thread: Extra" in claude(mock, thread={"type": "create"})[1]["error"]["message"]
    e = claude(mock, thread={"type": "create"}, headers={**CLAUDE, "anthropic-beta": "x,message-threads-2026-08-12"})[1]["error"]
    assert e["details"] == {"error_code": "thread_unsupported_request", "unsupported": []}


def test_anthropic_head(mock):
    assert claude(mock, headers={"anthropic-version": "2023-06-01"})[1]["error"]["type"] == "authentication_error"
    assert "header is required" in claude(mock, headers={"x-api-key": "k"})[1]["error"]["message"]
    assert claude(mock, headers={**CLAUDE, "anthropic-version": "2024-01-01"})[0] == 400
    bearer = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
    assert claude(mock, headers=bearer)[0] == 200 and claude(mock, headers=bearer, temperature=1)[0] == 400
    status, head, _ = request(mock.port, "POST", "/v1/messages", json.dumps({"model": "status-429-retry-after-2", "max_tokens": 5, "messages": [
        {"role": "user", "content": "x"}]}), CLAUDE)
    assert status == 429 and head["retry-after"] == "2" and head["anthropic-ratelimit-requests-remaining"] == "3999" and head["request-id"]


@pytest.mark.parametrize("status,kind", [(401, "authentication_error"), (404, "not_found_error"), (429, "rate_limit_error"),
                                         (500, "api_error"), (529, "overloaded_error")])
def test_anthropic_errors(mock, status, kind):
    got, e, _ = claude(mock, model=f"status-{status}")
    assert got == status and e["error"]["type"] == kind


def test_anthropic_scripts(mock):
    with pytest.raises(http.client.IncompleteRead):
        claude(mock, model="tokens-9+cut-after-3", stream=True)
    _, _, raw = claude(mock, model="tokens-9+error-event-after-2", stream=True)
    assert raw.decode().strip().split("\n\n")[-1].startswith("event: error\n")
    assert b"message_stop" not in claude(mock, model="no-done", stream=True)[2]
    assert b"message_delta" not in claude(mock, model="no-finish", stream=True)[2]
    _, a, _ = claude(mock, model="claude-haiku-4-5+cached-80-20+usage-200-7")
    assert (a["usage"]["input_tokens"], a["usage"]["cache_read_input_tokens"], a["usage"]["cache_creation_input_tokens"],
            a["usage"]["output_tokens"]) == (100, 80, 20, 7)


def test_anthropic_count_tokens_and_models(mock):
    path = "/v1/messages/count_tokens"
    assert claude(mock, path=path, max_tokens=None)[1]["input_tokens"] > 0
    assert claude(mock, path=path)[0] == 400
    status, _, raw = request(mock.port, "GET", "/v1/models?limit=20", None, CLAUDE)
    assert status == 200 and json.loads(raw)["data"][0]["type"] == "model"
    status, _, raw = request(mock.port, "GET", "/v1/models/claude-x", None, CLAUDE)
    assert json.loads(raw)["id"] == "claude-x"


# --- Gemini ---------------------------------------------------------------------------------------

GOOGLE = {"x-goog-api-key": "k"}
G_TOOLS = [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": TOOL}, {"name": "get_time"}]}]


def said(text, role="user"):
    return {"role": role, "parts": [{"text": text}]}


def gemini(mock, model="gemini-3.5-flash", what="generateContent", headers=None, **more):
    body = {"contents": [said("Hi there")], **more}
    return post(mock, f"/v1beta/models/{model}:{what}", {k: v for k, v in body.items() if v is not None}, GOOGLE if headers is None else headers)


def gemini_stream(raw):
    parts, reason = [], None
    blocks = [b for b in raw.decode().split("\r\n\r\n") if b]
    for i, block in enumerate(blocks):
        data = json.loads(block[len("data: "):])
        c = data["candidates"][0]
        parts += c["content"]["parts"]
        reason = c.get("finishReason", reason)
        assert ("finishReason" in c) == (i == len(blocks) - 1)
    return parts, reason, data


def joined(parts):
    out = []
    for p in parts:
        if "text" in p and out and "text" in out[-1] and out[-1].get("thought") == p.get("thought"):
            out[-1] = {**out[-1], "text": out[-1]["text"] + p["text"]}
        elif p != {"text": ""}:
            out.append({k: ({n: x for n, x in v.items() if n != "id"} if k == "functionCall" else v) for k, v in p.items()})
    return out


@pytest.mark.parametrize("model,more", [
    ("gemini-3.5-flash", {}), ("gemini-3.5-flash+parallel", {"tools": G_TOOLS}), ("gemini-2.5-flash", {"tools": G_TOOLS}),
    ("gemini-3.5-flash", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}}}),
    ("gemini-3.5-flash+preface", {"tools": G_TOOLS}), ("gemini-3.5-flash+refusal", {}), ("gemini-3.5-flash", {"generationConfig": {"maxOutputTokens": 5}}),
    ("gemini-3.5-flash", {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}})])
def test_gemini_stream_says_what_the_plain_answer_says(mock, model, more):
    status, a, raw = gemini(mock, model, **more)
    assert status == 200, raw
    c = a["candidates"][0]
    parts, reason, last = gemini_stream(gemini(mock, model, "streamGenerateContent?alt=sse", **more)[2])
    assert joined(parts) == joined(c["content"]["parts"]) and reason == c["finishReason"]
    assert last["usageMetadata"] == a["usageMetadata"] and a["modelVersion"] == model and a["responseId"]
    assert mock.log()[-1]["model"] == model and mock.log()[-1]["stream"] is True


def test_gemini_tool_loop(mock):
    _, a, _ = gemini(mock, "gemini-3.5-flash+parallel", tools=G_TOOLS)
    turn = a["candidates"][0]["content"]
    one, two = turn["parts"]
    assert one["functionCall"]["args"] == ARGS and one["thoughtSignature"] and "thoughtSignature" not in two
    back = {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"output": "sunny"}}},
                                      {"functionResponse": {"name": "get_time", "response": {"hour": 12}}}]}
    status, b, _ = gemini(mock, "gemini-3.5-flash+parallel", tools=G_TOOLS, contents=[said("x"), turn, back])
    assert status == 200 and b["candidates"][0]["content"]["parts"][0]["text"] == 'Tool results: sunny; {"hour":12}'

    def again(first, model="gemini-3.5-flash+parallel", contents=None):
        return gemini(mock, model, tools=G_TOOLS, contents=contents or [said("x"), {"role": "model", "parts": [first, two]}, back])
    bare = {"functionCall": one["functionCall"]}
    assert "missing a thought_signature" in again(bare)[1]["error"]["message"]
    assert again({**bare, "thoughtSignature": "skip_thought_signature_validator"})[0] == 200
    assert "Corrupted" in again({**bare, "thoughtSignature": "c2ln"})[1]["error"]["message"]
    assert "Corrupted" in again({**one, "functionCall": {**one["functionCall"], "args": OTHER}})[1]["error"]["message"]
    assert again(bare, "gemini-2.5-flash+parallel")[0] == 200
    old = [said("x"), {"role": "model", "parts": [bare, two]}, back, said("ok", "model"), said("and now?")]
    assert again(None, contents=old)[0] == 200  # an earlier turn's need not be signed
    short = {"role": "user", "parts": back["parts"][:1]}
    assert "number of function response parts" in again(None, contents=[said("x"), turn, short])[1]["error"]["message"]
    assert "number of function response parts" in again(None, contents=[said("x"), turn])[1]["error"]["message"]


@pytest.mark.parametrize("more,why", [
    ({"messages": []}, 'Unknown name "messages"'), ({"stream": True}, 'Unknown name "stream"'), ({"contents": []}, "contents is not specified"),
    ({"contents": [said("x", "assistant")]}, "valid role"), ({"contents": [said("x", "model"), said("y")]}, None),
    ({"contents": [{"role": "user", "parts": []}]}, "parts"), ({"contents": [{"role": "user", "parts": [{}]}]}, "one of"),
    ({"contents": [{"role": "user", "parts": [{"text": "a", "inlineData": {"mimeType": "a/b", "data": "x"}}]}]}, "oneof"),
    ({"contents": [{"role": "user", "parts": [{"type": "text", "text": "a"}]}]}, 'Unknown name "type"'),
    ({"generationConfig": {"max_tokens": 5}}, 'Unknown name "max_tokens"'), ({"generationConfig": {"stopSequences": list("abcdef")}}, "at most 5"),
    ({"generationConfig": {"responseJsonSchema": SCHEMA}}, "application/json"),
    ({"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}}, "additionalProperties"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 5}}}, "only one"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "none"}}}, "Thinking level"),
    ({"tools": [{"functionDeclarations": [{"name": "1x"}]}]}, "function name"), ({"tools": [{"type": "function"}]}, "Unknown name"),
    ({"tools": [{"functionDeclarations": [{"name": "x", "parameters": TOOL, "parametersJsonSchema": TOOL}]}]}, "exclude"),
    ({"tools": G_TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "auto"}}}, "mode"),
    ({"tools": G_TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["get_time"]}}}, "only when"),
    ({"systemInstruction": {"parts": []}}, "system_instruction"), ({"systemInstruction": {"parts": [{"text": "x"}]}}, None),
    ({"tools": G_TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_time"]}}}, None)])
def test_gemini_refuses(mock, more, why):
    status, e, raw = gemini(mock, **more)
    if why is None:
        assert status == 200, raw
    else:
        assert status == 400 and e["error"]["status"] == "INVALID_ARGUMENT" and why in e["error"]["message"], raw


def test_gemini_rest(mock):
    assert gemini(mock, headers={})[0] == 403 and gemini(mock, headers={"authorization": "Bearer k"})[0] == 403
    assert gemini(mock, "status-429")[1]["error"]["details"][0]["retryDelay"] == "2.4s"
    assert gemini(mock, "status-503")[1]["error"]["status"] == "UNAVAILABLE"
    assert gemini(mock, what="streamGenerateContent")[0] == 400
    assert gemini(mock, what="countTokens")[1]["totalTokens"] > 0
    inner = {"generateContentRequest": {"model": "models/gemini-3.5-flash", "contents": [said("x")]}, "contents": None}
    assert gemini(mock, what="countTokens", **inner)[0] == 200
    one = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "x"}]}, "outputDimensionality": 8}
    _, a, raw = post(mock, "/v1beta/models/gemini-embedding-001:batchEmbedContents", {"requests": [one, one]}, GOOGLE)
    assert [len(e["values"]) for e in a["embeddings"]] == [8, 8], raw
    assert post(mock, "/v1beta/models/other:batchEmbedContents", {"requests": [one]}, GOOGLE)[0] == 400
    status, _, raw = request(mock.port, "GET", "/v1beta/models?pageSize=50", None, GOOGLE)
    assert json.loads(raw)["models"][0]["name"] == "models/gemini-2.5-flash"
    _, _, raw = gemini(mock, "tokens-9%2Berror-event-after-2", "streamGenerateContent?alt=sse")
    assert b'"UNAVAILABLE"' in raw.split(b"\r\n\r\n")[-2]


def test_gemini_key_that_is_wrong():
    m = Mock("--require-key", "good")
    try:
        status, e, _ = gemini(m)
        assert status == 400 and e["error"]["details"][0]["reason"] == "API_KEY_INVALID"
        assert claude(m)[1]["error"]["type"] == "authentication_error"
        assert gemini(m, headers={"x-goog-api-key": "good"})[0] == 200
    finally:
        assert m.stop() == 0


# --- Ollama ---------------------------------------------------------------------------------------

O_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}},
           {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}]


def ollama(mock, **more):
    return post(mock, "/api/chat", {"model": "llama3.2", "messages": [{"role": "user", "content": "Hi there"}], "stream": False, **more})


@pytest.mark.parametrize("more", [{}, {"tools": O_TOOLS, "model": "llama3.2+parallel"}, {"think": True}, {"think": "low"}, {"format": "json"},
                                  {"format": SCHEMA}, {"options": {"num_predict": 5}}])
def test_ollama_stream_says_what_the_plain_answer_says(mock, more):
    status, a, raw = ollama(mock, **more)
    assert status == 200 and a["done"] is True, raw
    lines = [json.loads(x) for x in ollama(mock, **more, stream=True)[2].split(b"\n") if x]
    assert [x["done"] for x in lines] == [False] * (len(lines) - 1) + [True]
    m = {"role": "assistant", "content": "".join(x["message"]["content"] for x in lines)}
    for key, empty in (("thinking", ""), ("tool_calls", [])):
        value = sum((x["message"].get(key, empty) for x in lines), []) if key == "tool_calls" else "".join(x["message"].get(key, "") for x in lines)
        if value:
            m[key] = value
    assert m == a["message"] and lines[-1]["done_reason"] == a["done_reason"] == ("length" if "options" in more else "stop")
    assert lines[-1]["eval_count"] == a["eval_count"] and lines[-1]["prompt_eval_count"] > 0


def test_ollama_tool_loop_and_the_rest(mock):
    _, a, _ = ollama(mock, tools=O_TOOLS)
    assert a["message"]["tool_calls"][0]["function"]["arguments"] == ARGS
    talk = [{"role": "user", "content": "x"}, a["message"], {"role": "tool", "content": "sunny", "tool_name": "get_weather"}]
    assert ollama(mock, tools=O_TOOLS, messages=talk)[1]["message"]["content"] == "Tool results: sunny"
    text = {**a["message"], "tool_calls": [{"function": {"name": "get_weather", "arguments": "{}"}}]}
    for more, why in (({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "messages.content"),
                      ({"messages": [{"role": "developer", "content": "x"}]}, "role"), ({"messages": [talk[0], text]}, "arguments"),
                      ({"messages": [{"role": "user", "content": "x", "images": ["data:image/png;base64,x"]}]}, "base64"),
                      ({"think": "none"}, "think"), ({"format": "xml"}, "format"), ({"model": ""}, "model")):
        status, e, raw = ollama(mock, **more)
        assert status == 400 and why in e["error"], raw
    assert ollama(mock, model="unknown-model")[0] == 404
    assert ollama(mock, stream=None)[2].count(b"\n") > 5  # it streams unless told otherwise
    assert len(post(mock, "/api/embed", {"model": "e", "input": ["a", "b"]})[1]["embeddings"]) == 2
    assert json.loads(request(mock.port, "GET", "/api/tags")[2])["models"][0]["name"] == "llama3.2:latest"


# --- OpenAI ---------------------------------------------------------------------------------------


def openai(mock, **more):
    return post(mock, "/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi there"}], **more})


def openai_stream(raw):
    m, reason = {"content": None, "tool_calls": []}, None
    for e in events(raw.replace(b"data:{", b"data: {"))[:-1]:
        for c in json.loads(e)["choices"]:
            d, reason = c["delta"], c["finish_reason"] or reason
            for key in ("content", "refusal", "reasoning_content", "reasoning"):
                if d.get(key):
                    m[key] = (m.get(key) or "") + d[key]
            for t in d.get("tool_calls", []):
                if "id" in t:
                    assert t.get("index", len(m["tool_calls"])) == len(m["tool_calls"])
                    m["tool_calls"].append({"type": t["type"], "function": dict(t["function"])})
                else:
                    m["tool_calls"][t["index"]]["function"]["arguments"] += t["function"]["arguments"]
    return m, reason


@pytest.mark.parametrize("more", [{"tools": O_TOOLS}, {"model": "parallel+preface", "tools": O_TOOLS}, {"model": "refusal"}, {"model": "think-3"},
                                  {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
                                  {"model": "piece-1+parallel", "tools": O_TOOLS}, {"model": "vendor+parallel+think-2", "tools": O_TOOLS}])
def test_openai_stream_says_what_the_plain_answer_says(mock, more):
    status, a, raw = openai(mock, **more)
    assert status == 200, raw
    c = a["choices"][0]
    m, reason = openai_stream(openai(mock, stream=True, **more)[2])
    assert m["content"] == c["message"]["content"] and m.get("refusal") == c["message"]["refusal"] and reason == c["finish_reason"]
    assert m["tool_calls"] == [{"type": t["type"], "function": t["function"]} for t in c["message"].get("tool_calls", [])]
    assert [m.get(k) for k in ("reasoning_content", "reasoning")] == [c["message"].get(k) for k in ("reasoning_content", "reasoning")]


def test_openai_tool_loop_and_formats(mock):
    _, a, _ = openai(mock, model="parallel", tools=O_TOOLS)
    m = a["choices"][0]["message"]
    assert json.loads(m["tool_calls"][0]["function"]["arguments"]) == ARGS and m["content"] is None
    results = [{"role": "tool", "tool_call_id": t["id"], "content": x} for t, x in zip(m["tool_calls"], ("sunny", "noon"))]
    talk = [{"role": "user", "content": "x"}, m, *results]
    assert openai(mock, tools=O_TOOLS, messages=talk)[1]["choices"][0]["message"]["content"] == "Tool results: sunny; noon"
    assert openai(mock, tools=O_TOOLS, messages=talk[:3])[0] == 400 and openai(mock, tools=O_TOOLS, messages=[talk[0], *results])[0] == 400
    one = openai(mock, model="parallel", tools=O_TOOLS, parallel_tool_calls=False)[1]["choices"][0]["message"]["tool_calls"]
    assert len(one) == 1
    named = {"type": "function", "function": {"name": "get_time"}}
    assert openai(mock, tools=O_TOOLS, tool_choice=named)[1]["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_time"
    assert openai(mock, tools=O_TOOLS, tool_choice="none")[1]["choices"][0]["message"]["content"].startswith("Mock answer")
    fmt = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    assert json.loads(openai(mock, response_format=fmt)[1]["choices"][0]["message"]["content"]) == VALUE
    assert json.loads(openai(mock, response_format={"type": "json_object"})[1]["choices"][0]["message"]["content"])
    lp = openai(mock, logprobs=True, top_logprobs=1)[1]["choices"][0]
    assert "".join(t["token"] for t in lp["logprobs"]["content"]) == lp["message"]["content"]


@pytest.mark.parametrize("more,why", [
    ({"tools": []}, "empty array"), ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "pattern"),
    ({"tools": O_TOOLS, "tool_choice": "any"}, "'any'"), ({"tools": O_TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "not found"),
    ({"response_format": {"type": "xml"}}, "'xml'"), ({"model": "strict", "top_k": 5}, "top_k"), ({"top_k": 5}, None),
    ({"model": "gpt-5+strict", "max_tokens": 5}, "max_tokens"), ({"model": "strict", "stream_options": {"include_usage": True}}, "stream_options"),
    ({"model": "strict", "messages": [{"role": "assistant", "content": "x", "thinking_blocks": []}]}, "thinking_blocks"),
    ({"model": "strict", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}}]}]}, "extra_content"),
    ({"model": "strict", "response_format": {"type": "json_object"}}, "word 'json'")])
def test_openai_refuses(mock, more, why):
    status, e, raw = openai(mock, **more)
    assert (status == 200) if why is None else (status == 400 and why in e["error"]["message"]), raw


# --- all ------------------------------------------------------------------------------------------


def test_the_log_says_shape_and_tokens(mock):
    claude(mock)
    gemini(mock)
    ollama(mock)
    openai(mock, tools=O_TOOLS)
    post(mock, "/v1/other", {})
    log = mock.log()
    assert [a["shape"] for a in log] == ["anthropic", "gemini", "ollama", "openai", "echo"]
    assert all(a["input_tokens"] > 9 and a["output_tokens"] > 0 for a in log[:4]) and log[4]["output_tokens"] == 0


def test_schemas(mock):
    def value(schema):
        return json.loads(ollama(mock, format=schema)[1]["message"]["content"])
    for schema, wanted in (
            ({"const": 5}, 5), ({"enum": ["x", "y"]}, "x"), ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
            ({"type": ["null", "integer"], "minimum": 3}, 3), ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [1.5, 1.5]),
            ({"$ref": "#/$defs/p", "$defs": {"p": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}}}}, {"d": "2026-11-25"}),
            ({"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}, {"a": 7})):
        assert value(schema) == wanted
    tree = {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#"}}}}
    assert value(tree)["kids"][0]["v"] == 7
