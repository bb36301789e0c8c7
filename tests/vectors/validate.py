#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Structural checks of the vectors: JSON, members, SSE payloads, frame CRCs, SigV4 hashes, placeholders."""
import base64, glob, hashlib, hmac, json, os, struct, sys, zlib
here = os.path.dirname(os.path.abspath(__file__))
DIRS = {"openai->anthropic", "openai->gemini", "openai->vertex", "openai->bedrock-converse",
        "openai->bedrock-invoke-anthropic", "openai->azure", "openai->ollama", "openai->cohere-v2",
        "openai->openai-compatible", "openai->openai-responses", "anthropic-client->openai"}
FINISH = {"stop", "length", "tool_calls", "content_filter", "function_call"}
errs = []

def need(c, f, m):
    if not c:
        errs.append("%s: %s" % (f, m))

def frames(buf, f):
    o, n = 0, 0
    while o < len(buf):
        tl, hl, pc = struct.unpack(">III", buf[o:o + 12])
        need(zlib.crc32(buf[o:o + 8]) == pc, f, "prelude crc")
        need(zlib.crc32(buf[o:o + tl - 4]) == struct.unpack(">I", buf[o + tl - 4:o + tl])[0], f, "message crc")
        o += tl
        n += 1
    return n

def chat(b, f):
    need(b.get("object") in ("chat.completion", "text_completion", "list"), f, "object")
    for c in b.get("choices", []):
        need(c["finish_reason"] in FINISH, f, "finish_reason %r" % c["finish_reason"])
        if "text" in c:
            continue
        for t in c["message"].get("tool_calls") or []:
            need(isinstance(json.loads(t["function"]["arguments"]), dict), f, "arguments")
        if c["message"].get("tool_calls"):
            need(c["finish_reason"] in ("tool_calls", "length", "content_filter"), f, "finish with tool calls")
    u = b.get("usage", {})
    if isinstance(u.get("prompt_tokens"), int):
        need(u["total_tokens"] == u["prompt_tokens"] + u.get("completion_tokens", 0), f, "usage sum")

def err(b, f):
    e = b["error"]
    need(set(("message", "type", "param", "code")) <= set(e), f, "error members")

def ostream(s, f):
    ids, args, fin = set(), {}, False
    for i, e in enumerate(s):
        if e == "[DONE]":
            need(i == len(s) - 1 and fin, f, "[DONE] position")
            continue
        if "error" in e:
            err(e, f)
            need(i == len(s) - 1, f, "error must be last")
            continue
        ids.add(e["id"])
        for c in e["choices"]:
            for t in c.get("delta", {}).get("tool_calls") or []:
                args[t["index"]] = args.get(t["index"], "") + t["function"].get("arguments", "")
            if c["finish_reason"]:
                need(c["finish_reason"] in FINISH, f, "finish_reason")
                fin = True
    need(len(ids - {""}) <= 1, f, "one id per stream")
    if s[-1] == "[DONE]":
        for a in args.values():
            need(isinstance(json.loads(a), dict), f, "streamed arguments %r" % a)

def astream(s, f):
    opened = {}
    for e in s:
        d = e["data"]
        need(e["event"] == d["type"], f, "event name")
        if d["type"] == "content_block_start":
            opened[d["index"]] = True
        if d["type"] == "content_block_delta":
            need(opened.get(d["index"]), f, "delta outside a block")
        if d["type"] == "content_block_stop":
            need(opened.pop(d["index"], None), f, "stop without start")
    if s[-1]["event"] == "message_stop":
        need(not opened and s[-2]["event"] == "message_delta", f, "stream end")
    else:
        need(s[-1]["event"] == "error", f, "stream must end with message_stop or error")

n = 0
for p in sorted(glob.glob(os.path.join(here, "*.json"))):
    f = os.path.basename(p)
    v = json.load(open(p, encoding="utf-8"))
    need(v["name"] == f[:-5], f, "name")
    k = v.get("kind")
    if k == "sigv4":
        for c in v["cases"]:
            need(hashlib.sha256(c["canonical_request"].encode()).hexdigest() == c["string_to_sign"].split("\n")[3], f, c["name"])
            key = ("AWS4" + v["secret_access_key"]).encode()
            for part in c["scope"].split("/"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            need(hmac.new(key, c["string_to_sign"].encode(), hashlib.sha256).hexdigest() == c["signature"], f, c["name"])
        continue
    if k == "eventstream":
        for c in v["frames"]:
            if "error" not in c:
                need(frames(bytes.fromhex(c["hex"]), f) == 1, f, c["name"])
        continue
    if k:
        continue
    n += 1
    need(v["direction"] in DIRS, f, "direction")
    need("provider_request" in v, f, "provider_request")
    if "provider_stream" in v and v.get("provider_stream_format") == "ndjson":
        [json.loads(x) for x in v["provider_stream"]]
    elif "provider_stream" in v:
        for x in v["provider_stream"]:
            if x.startswith("data:") and not x[5:].strip().startswith("[DONE]"):
                json.loads(x[5:])
    if "provider_stream_frames_b64" in v:
        raw = b"".join(base64.b64decode(x) for x in v["provider_stream_frames_b64"])
        need(frames(raw, f) == len(v["provider_stream_decoded"]), f, "frame count")
        if "provider_stream_reads_b64" in v:
            need(raw == b"".join(base64.b64decode(x) for x in v["provider_stream_reads_b64"]), f, "reads")
    if "openai_response" in v:
        b = v["openai_response"]["body"]
        (chat if v["openai_response"]["status"] == 200 else err)(b, f)
    if "openai_stream" in v:
        ostream(v["openai_stream"], f)
    if "anthropic_stream" in v:
        astream(v["anthropic_stream"], f)
    need(any(x in v for x in ("openai_response", "openai_stream", "anthropic_response", "anthropic_stream")), f, "no expectation")
print("%d vectors, %d problems" % (n, len(errs)))
print("\n".join(errs))
sys.exit(bool(errs))
