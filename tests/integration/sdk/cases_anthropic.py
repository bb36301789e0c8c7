# SPDX-License-Identifier: Apache-2.0
"""The unmodified Anthropic SDK for Python, all cases for each provider (see cases.py)."""
import json
import typing

import anthropic
import pydantic

from cases import ARGS, EMPTY, HELLO, PNG, SCHEMA, TOOL, VALUE, begins, raises, run, same

TOOLS = [{"name": "get_weather", "description": "Weather", "input_schema": TOOL}, {"name": "get_time", "input_schema": EMPTY}]


def text_of(message):
    return "".join(b.text for b in message.content if b.type == "text")


def uses(message):
    return [b for b in message.content if b.type == "tool_use"]


def results(message):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": b.id, "content": x}
                                        for b, x in zip(uses(message), ("sunny", "noon"))]}


def turn(message):
    return {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in message.content]}


def cases(want, p):
    client = anthropic.Anthropic(base_url=want["anthropic"], api_key="not-a-sluice-key", max_retries=0)
    user = [{"role": "user", "content": HELLO}]

    def ask(words="", messages=user, **more):
        return client.messages.create(model=p["model"] + words, messages=messages, **{"max_tokens": 3000, **more})

    def streamed(words="", messages=user, **more):
        with client.messages.stream(model=p["model"] + words, messages=messages, **{"max_tokens": 3000, **more}) as s:
            names = [e.type for e in s]
            assert "message_start" in names and names[-1] == "message_stop", names[-3:]
            return s.get_final_message()

    def plain():
        m = ask()
        begins(text_of(m))
        same((m.type, m.role, m.stop_reason), ("message", "assistant", "end_turn"))
        assert m.id and m.model and m.usage.input_tokens > 0 and m.usage.output_tokens > 0

    def stream():
        m = streamed()
        same(text_of(m), text_of(ask()))
        same(m.stop_reason, "end_turn")
        assert m.usage.output_tokens > 0, m.usage

    def length():
        same(ask(max_tokens=5).stop_reason, "max_tokens")
        same(streamed(max_tokens=5).stop_reason, "max_tokens")

    def params():
        m = ask(system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], stop_sequences=["###"],
                metadata={"user_id": "u1"}, messages=[*user, {"role": "assistant", "content": "Yes?"},
                                                      {"role": "user", "content": [{"type": "text", "text": HELLO}]}])
        begins(text_of(m))

    def image():
        begins(text_of(ask(messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, {"type": "text", "text": HELLO}]}])))

    def loop(get, words=""):
        m = get(words, tools=TOOLS)
        same(m.stop_reason, "tool_use")
        same(uses(m)[0].input, ARGS)
        final = get(words, messages=[*user, turn(m), results(m)], tools=TOOLS)
        same(final.stop_reason, "end_turn")
        return m, text_of(final)

    def tools():
        same(loop(ask)[1], "Tool results: sunny")

    def tools_stream():
        same(loop(streamed)[1], "Tool results: sunny")

    def parallel():
        for get in (ask, streamed):
            m, text = loop(get, "+parallel")
            same([b.name for b in uses(m)], ["get_weather", "get_time"])
            same(text, "Tool results: sunny; noon")
            same(len({b.id for b in uses(m)}), 2)

    def error_result():
        m = ask(tools=TOOLS)
        back = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": uses(m)[0].id, "is_error": True,
                                             "content": [{"type": "text", "text": "broken"}]}, {"type": "text", "text": HELLO}]}
        same(ask(messages=[*user, turn(m), back], tools=TOOLS).type, "message")

    def choice():
        if p["kind"] == "ollama":
            return
        same(uses(ask(tools=TOOLS, tool_choice={"type": "tool", "name": "get_time"}))[0].name, "get_time")
        same(ask(tools=TOOLS, tool_choice={"type": "any"}).stop_reason, "tool_use")
        begins(text_of(ask(tools=TOOLS, tool_choice={"type": "none"})))

    def thinking():
        if p["kind"] == "openai":
            m = ask("+think-3")
            same([b.type for b in m.content], ["thinking", "text"])
            same([b.type for b in streamed("+think-3").content], ["thinking", "text"])
            return
        more = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": TOOLS}
        for get in (ask, streamed):
            m = get(**more)
            same([b.type for b in m.content], ["thinking", "tool_use"])
            same(m.content[0].thinking, " hmm hmm hmm")
            same(text_of(get(messages=[*user, turn(m), results(m)], **more)), "Tool results: sunny")

    def structured():
        fmt = {"format": {"type": "json_schema", "schema": SCHEMA}}
        same(json.loads(text_of(ask(output_config=fmt))), VALUE)
        same(json.loads(text_of(streamed(output_config=fmt))), VALUE)

    def parsed():
        """The SDK's own way to structured output."""
        class Value(pydantic.BaseModel):
            name: str
            n: int
            tags: list[typing.Literal["a", "b"]]
        m = client.messages.parse(model=p["model"], max_tokens=3000, messages=user, output_format=Value)
        same(m.parsed_output.model_dump(), VALUE)

    def raw_stream():
        """Events as they come, without the helper."""
        names = [e.type for e in ask("+preface", tools=TOOLS, stream=True)]
        same((names[0], names[-2:]), ("message_start", ["message_delta", "message_stop"]))
        same(names.count("content_block_start"), 2)
        same(names.count("content_block_stop"), 2)

    def usage():
        if p["kind"] == "ollama":
            return
        u = ask("+usage-200-7+cached-80-0").usage
        same((u.input_tokens, u.cache_read_input_tokens, u.output_tokens), (120, 80, 7))
        u = streamed("+usage-200-7+cached-80-0").usage
        same((u.input_tokens, u.cache_read_input_tokens, u.output_tokens), (120, 80, 7))

    def models():
        assert any(m.id and m.display_name for m in client.models.list())

    def count_tokens():
        assert client.messages.count_tokens(model=p["model"], messages=user, tools=TOOLS).input_tokens > 0

    def framing():
        """However the bytes come, the message is the same."""
        plain_message = ask("+parallel", tools=TOOLS)
        for words in ("+split", "+piece-1", "+empty-deltas-3", "+keepalive-comments-5ms+ttft-30ms", "+args-size-60k", "+preface+think-2"):
            m = streamed("+parallel" + words, tools=TOOLS)
            same(m.stop_reason, "tool_use", words)
            same(len(uses(m)), 2, words)
            if "args" not in words:
                same([(b.name, b.input) for b in uses(m)], [(b.name, b.input) for b in uses(plain_message)], words)
            else:
                assert len(uses(m)[0].input["city"]) > 59000
        begins(text_of(streamed("+event-size-5k")))

    def beta():
        """As Claude Code asks: beta headers and ?beta=true, a typed tool beside the others, cache marks, a system of several blocks."""
        m = client.beta.messages.create(
            model=p["model"] + "+preface", max_tokens=3000, betas=["interleaved-thinking-2025-05-14", "fine-grained-tool-streaming-2025-05-14"],
            system=[{"type": "text", "text": "You are an agent."}, {"type": "text", "text": "Be good.", "cache_control": {"type": "ephemeral"}}],
            messages=[{"role": "user", "content": [{"type": "text", "text": HELLO, "cache_control": {"type": "ephemeral"}}]}],
            tools=[*TOOLS, {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}], metadata={"user_id": "u1"})
        begins(text_of(m))
        same(uses(m)[0].name, "get_weather")

    def runner():
        """The SDK's own tool loop, plain and streamed."""
        @anthropic.beta_tool
        def get_weather(city: str, days: int) -> str:
            """Weather"""
            return f"{city} {days}"
        for is_stream in (False, True):
            run_ = client.beta.messages.tool_runner(model=p["model"], max_tokens=3000, messages=user, tools=[get_weather], stream=is_stream)
            last = run_.until_done()
            same(text_of(last), "Tool results: Zürich 7")

    def documents():
        if p["kind"] in ("openai", "ollama"):
            return
        pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}}
        begins(text_of(ask(messages=[{"role": "user", "content": [pdf, {"type": "text", "text": HELLO}]}])))

    def image_result():
        m = ask(tools=TOOLS)
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        back = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": uses(m)[0].id, "content": [
            {"type": "text", "text": "see"}, picture]}]}
        same(ask(messages=[*user, turn(m), back], tools=TOOLS).type, "message")

    def bad_answers():
        for words in ("+html-200", "+bad-json"):
            raises(anthropic.InternalServerError, lambda w=words: ask(w))
        for words in ("+bad-json", "+end-after-3"):
            raises(Exception, lambda w=words: streamed(w))

    def errors():
        base = p["model"].split("/")[0] + "/"
        for name, kind, status in (("status-400", anthropic.BadRequestError, 400), ("status-401", anthropic.AuthenticationError, 401),
                                   ("status-403", anthropic.PermissionDeniedError, 403), ("status-404", anthropic.NotFoundError, 404),
                                   ("status-429-retry-after-1", anthropic.RateLimitError, 429),
                                   ("status-500", anthropic.InternalServerError, 500), ("status-503", anthropic.InternalServerError, None)):
            e = raises(kind, lambda n=name: client.messages.create(model=base + n, messages=user, max_tokens=10))
            assert status is None or e.status_code == status, f"{name}: {e.status_code}"
            assert e.body["type"] == "error" and e.body["error"]["type"] and e.body["error"]["message"], f"{name}: {e.body!r}"

    def broken_streams():
        raises(anthropic.APIError, lambda: streamed("+error-event-after-3"))
        try:
            streamed("+cut-after-3")
        except Exception:  # of the SDK or of its transport
            return
        raise AssertionError("a stream that was cut ended well")

    return {f.__name__: f for f in (plain, stream, length, params, image, tools, tools_stream, parallel, error_result, choice, thinking, structured, parsed, raw_stream, framing, beta, runner, documents, image_result, bad_answers,
                                    usage, models, count_tokens, errors, broken_streams)}


if __name__ == "__main__":
    run(cases)
