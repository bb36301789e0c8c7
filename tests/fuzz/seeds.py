#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds of a fuzz target out of the translation vectors.

usage: seeds.py VECTORS OUT KIND DIRECTION...

KIND: requests (bodies of clients), answers (bodies of providers, errors too), events (the data of a stream, a line
each). DIRECTION: as in the vectors, "openai->anthropic". Each seed is a zero byte (the target's options) and the text."""
import glob
import json
import os
import sys

vectors, out, kind, directions = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
os.makedirs(out, exist_ok=True)


def request_of(v):
    return json.dumps(v.get("openai_request") or v.get("anthropic_request"), ensure_ascii=False)


def answer_of(v):
    body = v.get("provider_response", {}).get("body")
    return body if body is None or isinstance(body, str) else json.dumps(body, ensure_ascii=False)


def events_of(v):
    lines = v.get("provider_stream")
    if lines is None:
        return None
    if v.get("provider_stream_format") == "ndjson":
        return "\n".join(lines)
    return "\n".join(line[5:].strip() for line in lines if line.startswith("data:"))


def put(name, first, text):
    if text is not None:
        with open(os.path.join(out, name), "wb") as f:
            f.write(bytes([first]) + text.encode())


for path in sorted(glob.glob(os.path.join(vectors, "*.json"))):
    with open(path, encoding="utf-8") as f:
        v = json.load(f)
    if v.get("direction") not in directions:
        continue
    if kind == "all":
        put(v["name"] + "-answer", 0, answer_of(v))
        put(v["name"] + "-events", 1, events_of(v))
        put(v["name"] + "-request", 3 if "anthropic_request" in v else 2, request_of(v))
    else:
        put(v["name"], 0, {"requests": request_of, "answers": answer_of, "events": events_of}[kind](v))
