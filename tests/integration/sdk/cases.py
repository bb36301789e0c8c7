# SPDX-License-Identifier: Apache-2.0
"""What the Python clients share: the tool, the schema, the values sluice-mock makes from them, and running cases.

A client's program gets one JSON argument {"openai": base URL, "anthropic": base URL, "providers": [{"name", "kind",
"model", "embed"}]} and prints {"provider": {"case": null or why it failed}}."""
import json
import sys
import traceback

TOOL = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"],
        "additionalProperties": False}
EMPTY = {"type": "object", "properties": {}, "additionalProperties": False}
ARGS = {"city": "Zürich", "days": 7}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"},
                                           "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}},
          "required": ["name", "n", "tags"], "additionalProperties": False}
VALUE = {"name": "Zürich", "n": 7, "tags": ["a"]}
HELLO = "Hello, grüezi"
ANSWER = "Mock answer to: " + HELLO
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def same(got, wanted, what=""):
    assert got == wanted, f"{what}: {got!r}, wanted {wanted!r}"


def begins(text, what=""):
    assert isinstance(text, str) and text.startswith(ANSWER), f"{what}: {text!r}"


def raises(kind, fn):
    try:
        fn()
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


def run(cases):
    """cases(provider) -> {name: function}. Only those named on the command line, if any are."""
    want = json.loads(sys.argv[1])
    out = {}
    for p in want["providers"]:
        out[p["name"]] = {}
        for name, fn in cases(want, p).items():
            if sys.argv[2:] and name not in sys.argv[2:]:
                continue
            try:
                fn()
                out[p["name"]][name] = None
            except BaseException as e:  # a case that fails must not hide the others
                where = "".join(traceback.format_exception(e)[-2:]).strip()
                out[p["name"]][name] = f"{type(e).__name__}: {e}"[:1500] + " | " + where[-500:]
    print(json.dumps(out))
