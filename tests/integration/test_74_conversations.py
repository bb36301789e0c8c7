# SPDX-License-Identifier: Apache-2.0
"""Conversations put together at random, as clients of both dialects might have them after many turns: whatever their order of roles,
blank texts, ids, arguments and results, each provider accepts what sluice makes of them. A seed makes the same conversation again."""
import json
import random

import pytest

from test_72_models import mock, up  # noqa: F401  (fixtures)

SEEDS = range(1, 81)
VERSION = {"anthropic-version": "2023-06-01"}
PNG = "data:image/png;base64,iVBORw0KGgo="
NAMES = ["get_weather", "f", "A-b_9"]
TEXTS = ["a", "hello world", " lead", " trail ", "é漢字😀", "\n", "", "  ", '{"json":1}', "[1,2]", "null", "12", '"q"', "x" * 3000, "<think>no</think>", "\u2028"]
ARGUMENTS = ["{}", "", "  ", '{"a":1}', '{"a":{"b":[1,2,null,1.50,1e5]}}', '{ "k" : "v\\n\\u00e9" }']


class OpenAI:
    """Messages of a chat, with parallel calls answered in any order."""
    path = "/v1/chat/completions"
    tools = [{"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}} for n in NAMES]

    def __init__(self, seed):
        self.r, self.calls, self.messages = random.Random(seed), 0, []
        for _ in range(self.r.randint(1, 9)):
            self.r.choices([self.system, self.user, self.assistant, self.loop], [15, 35, 20, 30])[0]()
        self.messages.append({"role": "user", "content": "and so?"})

    def text(self):
        return self.r.choice(TEXTS)

    def texts(self, n):
        return [{"type": "text", "text": self.text()} for _ in range(n)]

    def system(self):
        self.messages.append({"role": self.r.choice(["system", "developer"]), "content": self.r.choice([self.text(), self.texts(1)])})

    def user(self):
        image = {"type": "image_url", "image_url": self.r.choice([PNG, {"url": PNG, "detail": "low"}])}
        self.messages.append({"role": "user", "content": self.r.choice([self.text(), self.texts(3), [*self.texts(1), image], [image]])})

    def assistant(self):
        more = self.r.choice([{}, {}, {"tool_calls": []}, {"reasoning_content": "hm"}, {"refusal": None}])
        self.messages.append({"role": "assistant", "content": self.r.choice([self.text(), self.texts(1), [{"type": "refusal", "refusal": "no"}]]), **more})

    def loop(self):
        ids = []
        for _ in range(self.r.randint(1, 3)):
            i = self.calls = self.calls + 1
            ids.append(self.r.choice([f"call_{i}", f"functions.x:{i}", f"a/b/{i}", f"toolu_{i}-Z", f"é{i}", "L" * 45 + str(i), f"call.{i}"]))
        self.messages.append({"role": "assistant", "content": self.r.choice([None, "", self.text()]), "tool_calls": [
            {"id": i, "type": "function", "function": {"name": self.r.choice(NAMES), "arguments": self.r.choice(ARGUMENTS)}} for i in ids]})
        self.r.shuffle(ids)
        self.messages += [{"role": "tool", "tool_call_id": i, "content": self.r.choice([self.text(), self.texts(2)])} for i in ids]

    def body(self, model):
        more = {"tools": self.tools} if self.r.random() < 0.8 else {}
        if self.r.random() < 0.3:
            more["reasoning_effort"] = self.r.choice(["none", "low", "high"])
        return {"model": model, "messages": self.messages, "stream": self.r.random() < 0.3, **more}

    @staticmethod
    def is_whole(answer):
        return b"[DONE]" in answer


class Anthropic(OpenAI):
    path = "/v1/messages"
    tools = [{"name": n, "input_schema": {"type": "object", "properties": {}}} for n in NAMES]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG.split(",")[1]}}

    def text(self):
        return super().text().strip() or "t"  # Anthropic takes no blank ones

    def system(self):
        self.user()

    def user(self):
        self.messages.append({"role": "user", "content": self.r.choice([self.text(), self.texts(3), [*self.texts(1), self.picture], [self.picture]])})

    def assistant(self):
        if not self.messages:
            self.user()
        thinking = {"type": "thinking", "thinking": "x", "signature": "of somebody"}
        self.messages.append({"role": "assistant", "content": self.r.choice([self.text(), self.texts(2), [thinking, *self.texts(1)]])})

    def loop(self):
        if not self.messages or self.messages[-1]["role"] == "assistant":
            self.user()
        ids = [f"toolu_{self.calls + k}" for k in range(self.r.randint(1, 3))]
        self.calls += 3
        blocks = [{"type": "thinking", "thinking": "x", "signature": "y"}] if self.r.random() < 0.4 else []
        blocks += self.texts(1) if self.r.random() < 0.4 else []
        self.messages.append({"role": "assistant", "content": blocks + [
            {"type": "tool_use", "id": i, "name": self.r.choice(NAMES), "input": self.r.choice([{}, {"a": [1, {}]}])} for i in ids]})
        self.r.shuffle(ids)
        answers = [{}, {"content": self.text()}, {"content": self.texts(2)}, {"content": [*self.texts(1), self.picture]}, {"content": "bad", "is_error": True}]
        self.messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, **self.r.choice(answers)} for i in ids] +
                              (self.texts(1) if self.r.random() < 0.4 else [])})

    def body(self, model):
        more = {"tools": self.tools} if self.r.random() < 0.8 else {}
        return {"model": model, "max_tokens": 2000, "messages": self.messages, "stream": self.r.random() < 0.3, **more}

    @staticmethod
    def is_whole(answer):
        return b"message_stop" in answer


@pytest.mark.parametrize("client,model", [
    (OpenAI, "anthropic/claude-sonnet-4-5"), (OpenAI, "anthropic/claude-opus-5-5"), (OpenAI, "gemini/gemini-3.5-flash"), (OpenAI, "gemini/gemini-2.5-flash"),
    (OpenAI, "ollama/llama3.2"), (Anthropic, "openai/gpt-4o"), (Anthropic, "gemini/gemini-3.5-flash"), (Anthropic, "ollama/llama3.2")])
def test_any_conversation_is_accepted(up, client, model):  # noqa: F811
    for seed in SEEDS:
        talk = client(seed)
        body = talk.body(model)
        r = up.post(client.path, body, VERSION)
        assert r.status == 200 and (not body["stream"] or talk.is_whole(r.body)), f"seed {seed}: {r}\n{json.dumps(body)[-3000:]}"
