#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the vectors of this folder (FORMAT.md) through the translators, by vector_tool.

usage: vectors_test.py VECTOR_TOOL [name...]

Every stream also runs cut in two at each byte, a byte at a time, and with \\r\\n line ends; every
error is checked in the client's shape. A vector that cannot be run is a failure."""
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SIDES = {"openai->anthropic": ("openai", "anthropic"), "openai->gemini": ("openai", "gemini"),
         "openai->ollama": ("openai", "ollama"), "openai->openai-compatible": ("openai", "openai"),
         "anthropic-client->openai": ("anthropic", "openai")}
# Base paths that a provider's base-url ends in (catalog/providers.yaml).
BASES = {"anthropic": "/v1/", "openai": "/v1/", "gemini": "/v1beta/", "ollama": "/api/"}


class Differs(Exception):
    pass


def check(ok, why, *args):
    if not ok:
        raise Differs(why % args)


def same(want, got, where="", ids=None):
    """Structural comparison with placeholders; numbers by value."""
    if isinstance(want, str) and want.startswith("$any:"):
        kind = {"int": int, "string": str}[want[5:]]
        check(isinstance(got, kind) and got != "" and not isinstance(got, bool), "%s: wanted %s, got %r", where, want, got)
        return
    if isinstance(want, dict):
        check(isinstance(got, dict), "%s: wanted an object, got %r", where, got)
        for k in sorted(set(want) | set(got)):
            check(k in got, "%s.%s is missing (wanted %r)", where, k, want.get(k))
            check(k in want, "%s.%s = %r is too much", where, k, got.get(k))
            same(want[k], got[k], where + "." + k)
    elif isinstance(want, list):
        check(isinstance(got, list) and len(want) == len(got), "%s: wanted %s, got %s", where,
              json.dumps(want)[:600], json.dumps(got)[:600])
        for i, (a, b) in enumerate(zip(want, got)):
            same(a, b, "%s[%d]" % (where, i))
    else:
        check(type(want) is type(got) or (isinstance(want, (int, float)) and isinstance(got, (int, float))
                                         and not isinstance(want, bool) and not isinstance(got, bool)),
              "%s: wanted %r, got %r", where, want, got)
        check(want == got, "%s: wanted %r, got %r", where, want, got)


def strict(text):
    """JSON whose objects have no name twice."""
    def pairs(items):
        check(len(dict(items)) == len(items), "a member occurs twice in %s", text[:300])
        return dict(items)
    return json.loads(text, object_pairs_hook=pairs)


def events(text):
    out = []
    check(text == "" or text.endswith("\n\n"), "the stream does not end with a blank line: %r", text[-60:])
    for block in text.split("\n\n")[:-1]:
        event, data = None, []
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "event":
                event = value
            elif name == "data":
                data.append(value)
        if data:
            out.append((event, "\n".join(data)))
    return out


def target(config, provider):
    caps = config.get("caps", {})
    return {"model": config.get("model", "gpt-4.1"), "default_max_tokens": config.get("default_max_tokens", 4096),
            "no_sampling": not caps.get("sampling", True), "thinks": caps.get("thinking", "manual"),
            "no_structured": not caps.get("structured", True), "no_xhigh": not caps.get("xhigh", False),
            "no_forced_tools": not caps.get("forced_tools", True),
            "thinking_off": caps.get("disable_thinking", "disabled"),
            "gemini3": config.get("gemini3", False),
            # what the catalogue's families say of Google's ids
            "gemini_low": re.search(r"gemini-(3\.[7-9]-flash|4.*flash|flash-latest|4-argon)", config.get("model", "")) is not None,
            "gemini_schema": re.search(r"gemini-(1|2\.0)", config.get("model", "")) is not None,
            "openai": config.get("openai", provider == "openai"),
            # what the catalogue's families say of OpenAI's ids
            "reasoning_model": config.get("openai", provider == "openai") and
            re.match(r"(o\d|gpt-5|gpt-6|codex|computer-use)", config.get("model", "")) is not None}


class Tool:
    def __init__(self, path):
        self.p = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, **command):
        self.p.stdin.write(json.dumps(command) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        check(line != "", "vector_tool died (exit %s)", self.p.wait() if line == "" else None)
        got = json.loads(line)
        check("bad_command" not in got, "%s", got.get("bad_command"))
        check("malformed" not in got, "malformed: %s", got.get("malformed"))
        return got


def stream_text(v, end):
    return "".join(line + end for line in v["provider_stream"]) + end


def check_request(v, got, provider):
    want = v.get("provider_request")
    if want == "$skip" or (v["direction"] == "openai->openai-compatible"):
        return
    if want is None:
        check("body" not in got, "something was sent upstream: %s", got.get("body"))
        return
    check("body" in got, "nothing was sent upstream: %s", json.dumps(got)[:400])
    same(want["path"], BASES[provider] + got["path"], "path")
    same(want["body"], strict(got["body"]), "provider_request")
    if "dropped_params" in v:
        same(sorted(v["dropped_params"]), sorted(got["dropped"]), "dropped_params")


def check_stream(v, got, client):
    check("differs" not in got, "the events differ: %s", got.get("differs"))
    check("events" in got, "no events: %s", json.dumps(got)[:400])
    seen = events(got["events"])
    if client == "anthropic":
        have = [{"event": e, "data": strict(d)} for e, d in seen]
        for h in have:
            # request ids are the gateway's own
            if h["event"] == "error":
                h["data"].pop("request_id", None)
        same(v["anthropic_stream"], have, "stream")
    else:
        have = [d if d == "[DONE]" else strict(d) for _, d in seen]
        same(v["openai_stream"], have, "stream")
        check(len({h["id"] for h in have if isinstance(h, dict) and "id" in h}) <= 1, "several ids in one stream")


def run(tool, v):
    client, provider = SIDES[v["direction"]]
    config = v.get("config", {})
    request = v.get("anthropic_request") or v.get("openai_request")
    if not config.get("model"):
        config = dict(config, model=(v.get("provider_request") or {}).get("body", {}).get("model", request.get("model", "m"))
                      if isinstance(v.get("provider_request"), dict) else request.get("model", "m"))
    command = {"client": client, "provider": provider, "target": target(config, provider), "body": json.dumps(request),
               "endpoint": "messages" if client == "anthropic" else "embeddings" if "input" in request
               else "completions" if "prompt" in request else "chat"}
    response = v.get("provider_response")
    if response is not None:
        body = response["body"]
        command.update(status=response["status"], answer=body if isinstance(body, str) else json.dumps(body))
    want = v.get("openai_response") or v.get("anthropic_response")
    if "provider_stream" not in v:
        got = tool.run(**command)
        check_request(v, got, provider)
        if "openai_stream" in v or "anthropic_stream" in v:
            check_stream(v, got, client)  # a document where a stream was asked for
        if want is not None:
            check("answer" in got, "no answer: %s", json.dumps(got)[:400])
            same(want["status"], got["status"], "status")
            same(want["body"], strict(got["answer"]), "answer")
            if "retry-after" in want.get("headers", {}) and "retry-after" not in response.get("headers", {}):
                same(int(want["headers"]["retry-after"]), -(-got["retry_after_us"] // 1000000), "retry-after")
        return
    ends = ["\n"] if v.get("provider_stream_format") == "ndjson" else ["\n", "\r\n", "\r"]
    for end in ends:
        got = tool.run(stream=stream_text(v, end), **command)
        check_request(v, got, provider)
        check_stream(v, got, client)


def main():
    tool, names, failed = Tool(sys.argv[1]), sys.argv[2:], []
    count = 0
    for path in sorted(glob.glob(os.path.join(HERE, "*.json"))):
        with open(path, encoding="utf-8") as f:
            v = json.load(f)
        if "kind" in v or (names and not any(n in v["name"] for n in names)):
            continue
        count += 1
        try:
            run(tool, v)
        except Differs as e:
            failed.append(v["name"])
            print("FAILED %s\n       %s" % (v["name"], e))
            if tool.p.poll() is not None:
                tool = Tool(sys.argv[1])
    print("%d vectors, %d failed" % (count, len(failed)))
    return 1 if failed or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
