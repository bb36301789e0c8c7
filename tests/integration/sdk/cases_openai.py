# SPDX-License-Identifier: Apache-2.0
"""The unmodified OpenAI SDK for Python, all cases for each provider (see cases.py)."""
import asyncio
import base64
import json
import struct
import typing

import openai
import pydantic

from cases import ARGS, EMPTY, HELLO, PNG, SCHEMA, TOOL, VALUE, begins, raises, run, same

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": TOOL}},
         {"type": "function", "function": {"name": "get_time", "parameters": EMPTY}}]


class Value(pydantic.BaseModel):
    name: str
    n: int
    tags: list[typing.Literal["a", "b"]]


def results(message):
    return [{"role": "tool", "tool_call_id": t.id, "content": x} for t, x in zip(message.tool_calls, ("sunny", "noon"))]


def cases(want, p):
    client = openai.OpenAI(base_url=want["openai"], api_key="not-a-sluice-key", max_retries=0)
    user = [{"role": "user", "content": HELLO}]

    def ask(words="", messages=user, **more):
        return client.chat.completions.create(model=p["model"] + words, messages=messages, **more)

    def collect(words="", messages=user, **more):
        """The message a stream makes, as an SDK's user would put it together."""
        message = {"role": "assistant", "content": None}
        calls, reason, usage, ids = [], None, None, set()
        for chunk in ask(words, messages, stream=True, stream_options={"include_usage": True}, **more):
            ids.add(chunk.id)
            assert chunk.object == "chat.completion.chunk"
            if chunk.usage:
                same(chunk.choices, [], "choices beside usage")
                usage = chunk.usage
            for c in chunk.choices:
                d = c.delta.model_dump()
                reason = c.finish_reason or reason
                for key in ("content", "reasoning_content", "refusal"):
                    if d.get(key):
                        message[key] = (message.get(key) or "") + d[key]
                for b in d.get("thinking_blocks") or []:
                    if b["type"] == "thinking":  # its text came before, as reasoning_content
                        b["thinking"] = message["reasoning_content"]
                    message.setdefault("thinking_blocks", []).append(b)
                for t in d.get("tool_calls") or []:
                    if t["index"] == len(calls):
                        assert t["id"] and t["type"] == "function"
                        calls.append({k: v for k, v in t.items() if k != "index" and v is not None})
                    else:
                        calls[t["index"]]["function"]["arguments"] += t["function"]["arguments"]
        same(len(ids), 1, "ids of one stream")
        assert usage and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        if calls:
            message["tool_calls"] = calls
        return message, reason

    def plain():
        r = ask()
        begins(r.choices[0].message.content)
        same(r.choices[0].finish_reason, "stop")
        same(r.usage.total_tokens, r.usage.prompt_tokens + r.usage.completion_tokens)
        assert r.id and r.created and r.model and r.object == "chat.completion"

    def stream():
        message, reason = collect()
        same(message["content"], ask().choices[0].message.content)
        same(reason, "stop")

    def length():
        same(ask(max_tokens=5).choices[0].finish_reason, "length")
        same(collect(max_tokens=5)[1], "length")

    def params():
        r = ask(messages=[{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Now."}, *user,
                          {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": [{"type": "text", "text": HELLO}]}],
                temperature=0.5, stop=["###"], seed=1, user="u1", presence_penalty=0.1, max_completion_tokens=200)
        begins(r.choices[0].message.content)

    def image():
        begins(ask(messages=[{"role": "user", "content": [{"type": "text", "text": HELLO}, {"type": "image_url", "image_url": {
            "url": "data:image/png;base64," + PNG}}]}]).choices[0].message.content)

    def tools():
        m = ask(tools=TOOLS).choices[0]
        same(m.finish_reason, "tool_calls")
        same(m.message.content, None)
        same(json.loads(m.message.tool_calls[0].function.arguments), ARGS)
        final = ask(messages=[*user, m.message, *results(m.message)], tools=TOOLS)
        same(final.choices[0].message.content, "Tool results: sunny")

    def tools_stream():
        m, reason = collect(tools=TOOLS)
        same(reason, "tool_calls")
        same(json.loads(m["tool_calls"][0]["function"]["arguments"]), ARGS)
        back = [{"role": "tool", "tool_call_id": m["tool_calls"][0]["id"], "content": "sunny"}]
        same(collect(messages=[*user, m, *back], tools=TOOLS)[0]["content"], "Tool results: sunny")

    def parallel():
        m = ask("+parallel", tools=TOOLS).choices[0].message
        same([t.function.name for t in m.tool_calls], ["get_weather", "get_time"])
        final = ask("+parallel", messages=[*user, m, *results(m)], tools=TOOLS)
        same(final.choices[0].message.content, "Tool results: sunny; noon")
        s, _ = collect("+parallel", tools=TOOLS)
        same([t["function"]["name"] for t in s["tool_calls"]], ["get_weather", "get_time"])
        same(len({t["id"] for t in s["tool_calls"]}), 2)

    def one_call():
        if p["kind"] in ("gemini", "ollama"):
            return  # they have no such switch
        same(len(ask("+parallel", tools=TOOLS, parallel_tool_calls=False).choices[0].message.tool_calls), 1)

    def choice():
        if p["kind"] == "ollama":
            return  # has no tool_choice
        r = ask(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}})
        same(r.choices[0].message.tool_calls[0].function.name, "get_time")
        begins(ask(tools=TOOLS, tool_choice="none").choices[0].message.content)
        same(ask(tools=TOOLS, tool_choice="required").choices[0].finish_reason, "tool_calls")

    def preface():
        m = ask("+preface", tools=TOOLS).choices[0].message
        begins(m.content)
        same(len(m.tool_calls), 1)
        s, reason = collect("+preface", tools=TOOLS)
        same((s["content"], reason), (m.content, "tool_calls"))

    def structured():
        r = client.chat.completions.parse(model=p["model"], messages=user, response_format=Value)
        same(r.choices[0].message.parsed.model_dump(), VALUE)
        fmt = {"type": "json_schema", "json_schema": {"name": "v", "schema": SCHEMA, "strict": True}}
        same(json.loads(collect(response_format=fmt)[0]["content"]), VALUE)

    def helpers():
        """The SDK's stream helper, with a tool and a format it parses by itself."""
        class GetWeather(pydantic.BaseModel):
            city: str
            days: int
        with client.chat.completions.stream(model=p["model"], messages=user, tools=[openai.pydantic_function_tool(GetWeather)]) as s:
            kinds = {e.type for e in s}
            m = s.get_final_completion().choices[0].message
        same(m.tool_calls[0].function.parsed_arguments.model_dump(), ARGS)
        assert "tool_calls.function.arguments.done" in kinds, kinds
        with client.chat.completions.stream(model=p["model"], messages=user, response_format=Value) as s:
            same(s.get_final_completion().choices[0].message.parsed.model_dump(), VALUE)

    def concurrent():
        """Many at once on one connection pool: each gets its own answer."""
        async def all_of_them():
            async with openai.AsyncOpenAI(base_url=want["openai"], api_key="x", max_retries=0) as c:
                async def one(i):
                    text = ""
                    async for chunk in await c.chat.completions.create(model=p["model"], messages=[{"role": "user", "content": f"number {i}."}], stream=True):
                        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
                    assert text.startswith(f"Mock answer to: number {i}. bravo"), (i, text)
                await asyncio.gather(*(one(i) for i in range(20)))
        asyncio.run(all_of_them())

    def json_object():
        r = ask(messages=[{"role": "user", "content": "Say it in JSON"}], response_format={"type": "json_object"})
        if p["kind"] != "anthropic":  # there it is asked for in words
            assert isinstance(json.loads(r.choices[0].message.content), dict)

    def reasoning():
        if p["kind"] == "openai":
            same(ask("+think-3").choices[0].message.model_dump().get("reasoning_content"), " hmm hmm hmm")
            return
        m = ask(messages=user, reasoning_effort="low", tools=TOOLS, max_tokens=4000).choices[0].message
        same(m.model_dump().get("reasoning_content"), " hmm hmm hmm")
        again = ask(messages=[*user, m, *results(m)], tools=TOOLS, reasoning_effort="low", max_tokens=4000)
        same(again.choices[0].message.content, "Tool results: sunny")
        bare = {"role": "assistant", "content": None, "tool_calls": [
            {"id": t.id, "type": "function", "function": {"name": t.function.name, "arguments": t.function.arguments}} for t in m.tool_calls]}
        again = ask(messages=[*user, bare, *results(m)], tools=TOOLS, reasoning_effort="low", max_tokens=4000)
        same(again.choices[0].message.content, "Tool results: sunny")
        s, _ = collect(reasoning_effort="low", max_tokens=4000)
        same(s["reasoning_content"], " hmm hmm hmm")
        begins(s["content"])

    def usage():
        if p["kind"] == "ollama":
            return
        u = ask("+usage-200-7+cached-80-0").usage
        same((u.prompt_tokens, u.completion_tokens, u.prompt_tokens_details.cached_tokens), (200, 7, 80))

    def refusal():
        r = ask("+refusal").choices[0]
        if p["kind"] == "openai":
            begins(r.message.refusal)
        elif p["kind"] in ("anthropic", "gemini"):
            same(r.finish_reason, "content_filter")

    def framing():
        """However the bytes come, the message is the same."""
        plain_message = ask("+parallel", tools=TOOLS).choices[0].message
        for words in ("+split", "+piece-1", "+empty-deltas-3", "+keepalive-comments-5ms+ttft-30ms", "+args-size-60k", "+preface+think-2"):
            s, reason = collect("+parallel" + words, tools=TOOLS)
            same(reason, "tool_calls", words)
            same(len(s["tool_calls"]), 2, words)
            if "args" not in words:
                same([t["function"] for t in s["tool_calls"]], [t.function.model_dump() for t in plain_message.tool_calls], words)
            else:
                assert len(json.loads(s["tool_calls"][0]["function"]["arguments"])["city"]) > 59000
        begins(ask("+chunked").choices[0].message.content)
        begins(collect("+event-size-5k")[0]["content"])

    def redacted():
        if p["kind"] != "anthropic":
            return
        for get in (lambda **k: ask("+redacted", **k).choices[0].message.model_dump(exclude_none=True), lambda **k: collect("+redacted", **k)[0]):
            m = get(reasoning_effort="low", tools=TOOLS, max_tokens=4000)
            same([b["type"] for b in m["thinking_blocks"]], ["thinking", "redacted_thinking"])
            back = [{"role": "tool", "tool_call_id": m["tool_calls"][0]["id"], "content": "sunny"}]
            r = ask("+redacted", messages=[*user, m, *back], reasoning_effort="low", tools=TOOLS, max_tokens=4000)
            same(r.choices[0].message.content, "Tool results: sunny")

    def bad_answers():
        # Equal dialects are not read, only passed on.
        for words, status in (("+html-200", 502), ("+bad-json", 502))[:1 if p["kind"] == "openai" else 2]:
            e = raises(openai.APIStatusError, lambda w=words: ask(w))
            same(e.status_code, status, words)
        raises(openai.APIError, lambda: ask("+short-body"))
        raises(ValueError if p["kind"] == "openai" else openai.APIError, lambda: list(ask("+bad-json", stream=True)))
        raises(openai.APIError, lambda: list(ask("+end-after-3", stream=True)))

    def errors():
        base = p["model"].split("/")[0] + "/"
        for name, kind, status in (("status-400", openai.BadRequestError, 400), ("status-401", openai.AuthenticationError, 401),
                                   ("status-403", openai.PermissionDeniedError, 403), ("status-404", openai.NotFoundError, 404),
                                   ("status-429-retry-after-1", openai.RateLimitError, 429), ("status-500", openai.InternalServerError, 500)):
            for streamed in (False, True):
                e = raises(kind, lambda n=name, s=streamed: client.chat.completions.create(model=base + n, messages=user, stream=s))
                same(e.status_code, status, name)
                assert isinstance(e.body, dict) and e.body.get("message") and "type" in e.body, f"{name}: {e.body!r}"
                if status == 429:
                    same(e.response.headers.get("retry-after"), "1" if p["kind"] != "gemini" else e.response.headers.get("retry-after"))

    def broken_streams():
        raises(openai.APIError, lambda: list(ask("+cut-after-3", stream=True)))
        raises(openai.APIError, lambda: list(ask("+error-event-after-3", stream=True)))

    def embeddings():
        if not p.get("embed"):
            return
        made = client.embeddings.create(model=p["embed"], input=["a", "b"])
        raw = client.embeddings.create(model=p["embed"], input=["a", "b"], encoding_format="base64").data[0].embedding
        floats = client.embeddings.create(model=p["embed"], input=["a", "b"], encoding_format="float").data[0].embedding
        same(len(made.data), 2)
        same(made.data[0].embedding, floats)
        data = base64.b64decode(raw)
        same(list(struct.unpack(f"<{len(data) // 4}f", data)), floats)

    def completions():
        """The old endpoint, also where the provider knows chats only."""
        r = client.completions.create(model=p["model"], prompt=HELLO, max_tokens=500)
        begins(r.choices[0].text)
        same((r.object, r.choices[0].finish_reason), ("text_completion", "stop"))
        chunks = list(client.completions.create(model=p["model"], prompt=HELLO, max_tokens=500, stream=True))
        same("".join(c.choices[0].text for c in chunks if c.choices), r.choices[0].text)
        same([c.choices[0].finish_reason for c in chunks if c.choices][-1], "stop")

    def many():
        """n > 1: an error that says so, where the provider makes one answer only."""
        if p["kind"] in ("anthropic", "ollama"):
            e = raises(openai.BadRequestError, lambda: ask(n=2))
            same((e.code, e.param), ("unsupported_parameter", "n"))

    def dropped():
        """Hints that the provider cannot take are named."""
        r = client.chat.completions.with_raw_response.create(model=p["model"], messages=user, seed=1, logit_bias={"5": 1})
        names = set(filter(None, (r.headers.get("x-sluice-dropped-params") or "").replace(" ", "").split(",")))
        same(names, {"openai": set(), "anthropic": {"seed", "logit_bias"}, "gemini": {"logit_bias"}, "ollama": {"logit_bias"}}[p["kind"]])

    def models():
        assert any(m.id for m in client.models.list().data)

    return {f.__name__: f for f in (plain, stream, length, params, image, tools, tools_stream, parallel, one_call, choice, preface, structured, helpers, concurrent,
                                    json_object, reasoning, redacted, usage, refusal, framing, errors, bad_answers, broken_streams, embeddings,
                                    completions, many, dropped, models)}


if __name__ == "__main__":
    run(cases)
