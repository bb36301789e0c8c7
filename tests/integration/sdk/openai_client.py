# SPDX-License-Identifier: Apache-2.0
"""Drives the unmodified OpenAI SDK; prints one JSON object. Arguments: base URL, model."""
import json
import sys

import openai

base, model = sys.argv[1:3]
client = openai.OpenAI(base_url=base, api_key="not-a-sluice-key", max_retries=0)
messages = [{"role": "user", "content": "Hello from the Python SDK"}]
out = {"version": openai.__version__}
out["plain"] = client.chat.completions.create(model=model, messages=messages).choices[0].message.content
stream = client.chat.completions.create(model=model, messages=messages, stream=True)
out["stream"] = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
with_usage = list(client.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True}))
out["usage"] = with_usage[-1].usage.completion_tokens
out["embedding"] = len(client.embeddings.create(model="openai/text-embedding-3-small", input="x").data[0].embedding)
out["models"] = [m.id for m in client.models.list().data][:3] if base.rstrip("/").endswith(("/v1", "/ai")) else []
tool = client.chat.completions.create(model="openai/tool-call", messages=messages, tools=[{"type": "function", "function": {
    "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
out["tool"] = tool.choices[0].message.tool_calls[0].function.name
errors = {}
for name, wanted in (("openai/status-429-retry-after-1", openai.RateLimitError), ("openai/status-400", openai.BadRequestError),
                     ("no-such/model", openai.NotFoundError)):
    try:
        client.chat.completions.create(model=name, messages=messages)
    except wanted as e:
        errors[name] = e.status_code
out["errors"] = errors
try:
    list(client.chat.completions.create(model="openai/cut-after-3", messages=messages, stream=True))
    out["cut"] = "no error"
except openai.APIError as e:
    out["cut"] = str(e)
print(json.dumps(out))
