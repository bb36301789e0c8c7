# SPDX-License-Identifier: Apache-2.0
"""LangChain with ChatOpenAI, OpenAIEmbeddings and ChatAnthropic: each case with both chat models."""
import langchain_anthropic
import langchain_openai
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from cases import ARGS, HELLO, PNG, SCHEMA, VALUE, begins, raises, run, same


@tool
def get_weather(city: str, days: int) -> str:
    """Weather"""
    return f"{city} {days}"


@tool
def get_time() -> str:
    """Time"""
    return "noon"


TOOLS = [get_weather, get_time]
BY_NAME = {t.name: t for t in TOOLS}


def text_of(message):
    c = message.content
    return c if isinstance(c, str) else "".join(b.get("text", "") for b in c)


def cases(want, p):
    def openai(words="", **more):
        return langchain_openai.ChatOpenAI(base_url=want["openai"], api_key="x", model=p["model"] + words, max_retries=0, stream_usage=True, **more)

    def anthropic(words="", **more):
        return langchain_anthropic.ChatAnthropic(base_url=want["anthropic"], api_key="x", model=p["model"] + words, max_retries=0,
                                                 max_tokens=3000, stream_usage=True, **more)
    both = {"ChatOpenAI": openai, "ChatAnthropic": anthropic}

    def each(fn):
        def case():
            for name, make in both.items():
                try:
                    fn(make)
                except BaseException as e:
                    raise AssertionError(f"[{name}] {type(e).__name__}: {e}") from e
        case.__name__ = fn.__name__
        return case

    def streamed(model, messages):
        whole = None
        for chunk in model.stream(messages):
            whole = chunk if whole is None else whole + chunk
        return whole

    @each
    def plain(make):
        r = make().invoke([SystemMessage("Be brief."), HumanMessage(HELLO)])
        begins(text_of(r))
        assert r.usage_metadata["output_tokens"] > 0

    @each
    def stream(make):
        r = streamed(make(), [HumanMessage(HELLO)])
        begins(text_of(r))
        assert r.usage_metadata["output_tokens"] > 0, r.usage_metadata

    def loop(get, make, words=""):
        model = make(words).bind_tools(TOOLS)
        talk = [HumanMessage(HELLO)]
        talk.append(get(model, talk))
        names = []
        for call in talk[-1].tool_calls:
            names.append(call["name"])
            talk.append(ToolMessage(BY_NAME[call["name"]].invoke(call["args"]), tool_call_id=call["id"]))
        same(talk[1].tool_calls[0]["args"], ARGS)
        return names, text_of(get(model, talk))

    @each
    def tools(make):
        same(loop(lambda m, t: m.invoke(t), make), (["get_weather"], "Tool results: Zürich 7"))

    @each
    def tools_stream(make):
        same(loop(streamed, make), (["get_weather"], "Tool results: Zürich 7"))

    @each
    def parallel(make):
        same(loop(streamed, make, "+parallel"), (["get_weather", "get_time"], "Tool results: Zürich 7; noon"))

    @each
    def image(make):
        begins(text_of(make().invoke([HumanMessage([{"type": "text", "text": HELLO}, {
            "type": "image", "source_type": "base64", "mime_type": "image/png", "data": PNG}])])))

    @each
    def choice(make):
        if p["kind"] != "ollama":
            r = make().bind_tools(TOOLS, tool_choice="get_time").invoke(HELLO)
            same([c["name"] for c in r.tool_calls], ["get_time"])
            same(len(make().bind_tools(TOOLS, tool_choice="any").invoke(HELLO).tool_calls), 1)

    def thinking():
        """ChatAnthropic keeps the blocks of its messages, signatures included."""
        if p["kind"] == "openai":
            return

        def make(words=""):
            return anthropic(words, thinking={"type": "enabled", "budget_tokens": 1024})
        same(loop(lambda m, t: m.invoke(t), make), (["get_weather"], "Tool results: Zürich 7"))
        same(loop(streamed, make), (["get_weather"], "Tool results: Zürich 7"))

    @each
    def structured(make):
        schema = {"title": "value", "description": "A value", **SCHEMA}
        same(make().with_structured_output(schema, method="json_schema").invoke(HELLO), VALUE)
        if p["kind"] != "ollama":  # a tool that is forced
            same(make().with_structured_output(schema, method="function_calling").invoke(HELLO), VALUE)

    @each
    def errors(make):
        def broken():
            model = make()
            name = "model_name" if hasattr(model, "model_name") else "model"
            setattr(model, name, p["model"].split("/")[0] + "/status-429")
            model.invoke(HELLO)
        same(getattr(raises(Exception, broken), "status_code", None), 429)

    def embeddings():
        if p.get("embed"):
            e = langchain_openai.OpenAIEmbeddings(base_url=want["openai"], api_key="x", model=p["embed"], check_embedding_ctx_length=False, max_retries=0)
            same(len(e.embed_documents(["a", "b"])), 2)

    return {f.__name__: f for f in (plain, stream, tools, tools_stream, parallel, image, choice, thinking, structured, errors, embeddings)}


if __name__ == "__main__":
    run(cases)
