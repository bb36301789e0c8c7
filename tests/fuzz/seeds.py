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
for path in sorted(glob.glob(os.path.join(vectors, "*.json"))):
    with open(path, encoding="utf-8") as f:
        v = json.load(f)
    if v.get("direction") not in directions:
        continue
    text = None
    if kind == "requests":
        text = json.dumps(v.get("openai_request") or v.get("anthropic_request"), ensure_ascii=False)
    elif kind == "answers" and "provider_response" in v:
        body = v["provider_response"]["body"]
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    elif kind == "events" and "provider_stream" in v:
        text = "\n".join(line[5:].strip() for line in v["provider_stream"] if line.startswith("data:"))
    if text is not None:
        with open(os.path.join(out, v["name"]), "wb") as f:
            f.write(b"\0" + text.encode())
