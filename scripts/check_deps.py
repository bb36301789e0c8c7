#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules of the tree that a compiler does not: who may include whom, which file may include
which library, banned functions, guards, that every header compiles alone, and that the files a
comment or a page names are there.

    scripts/check_deps.py [--root DIR] [--build DIR] [--cc CC] [--no-compile]

--build names a build directory; headers generated there (proto/*.pb-c.h) are found in it. A header
that needs a generated one is skipped, and said so, when there is no build directory.
Exits 1 and prints file:line: message for each finding.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

# Dependencies point one way: base <- io <- proto <- {dataplane, controlplane}. The planes never
# include each other; the command-line tool uses the shared layers only; tests may use anything.
LAYERS = {
    "common/base": ["common/base"],
    "common/io": ["common/base", "common/io"],
    "proto": ["common/base", "common/io", "proto"],
    "dataplane": ["common/base", "common/io", "proto", "dataplane"],
    "controlplane": ["common/base", "common/io", "proto", "controlplane"],
    "cli": ["common/base", "common/io", "proto", "cli"],
    "tests": ["common/base", "common/io", "proto", "dataplane", "controlplane", "cli", "tests"],
}

# Each library has one adapter: its headers appear in one file below common/io and nowhere else.
LIBRARIES = {
    "libmicrohttpd": r"microhttpd\.h",
    "libcurl": r"curl/.*",
    "jansson": r"jansson(_config)?\.h",
    "hiredis": r"hiredis/.*",
    "libyaml": r"yaml\.h",
    "nanomsg": r"nanomsg/.*",
    "libsodium": r"sodium(/.*)?(\.h)?",
    "epoll": r"sys/epoll\.h",
    "openssl": r"openssl/.*",
}

# Further files that include a library, each with its reason.
LIBRARY_EXCEPTIONS = {}

# Libraries that belong to one folder instead.
FOLDER_LIBRARIES = {
    "protobuf-c": (r"(protobuf-c/.*|(.*/)?[^/]+\.pb-c\.h)", "proto"),
    "cmocka": (r"cmocka\.h", "tests"),
}

# Decisions without I/O: time and randomness come in as arguments, so nothing of common/io but these.
PURE = {"auth", "balance", "check", "compile", "health", "retry", "route", "scan", "sse"}
PURE_MAY_USE = {"common/io/crypto.h", "common/io/json.h"}

BANNED = {
    "strcpy": "buf or snprintf",
    "strcat": "buf or snprintf",
    "strncpy": "memcpy with a checked length",
    "strncat": "buf or snprintf",
    "sprintf": "snprintf or buf_printf",
    "vsprintf": "vsnprintf",
    "strtok": "slice_cut",
    "atoi": "slice_to_u64",
    "atol": "slice_to_u64",
    "gets": "read with a length",
    "scanf": "slices",
    "sscanf": "slices",
    "fscanf": "slices",
    "alloca": "an arena",
    "setjmp": "err and early returns",
    "longjmp": "err and early returns",
}
ALLOCATION = {
    "malloc": "mem_alloc",
    "calloc": "mem_zalloc",
    "realloc": "mem_realloc_array",
    "reallocarray": "mem_realloc_array",
    "free": "mem_free",
    "strdup": "mem_strdup",
    "strndup": "mem_strndup",
    "asprintf": "buf_printf",
    "vasprintf": "buf_printf",
}
# Files that may call them, each with the functions and the reason.
ALLOCATION_EXCEPTIONS = {
    "common/base/mem.c": {"malloc", "calloc", "realloc", "free"},  # the one caller of malloc
    "common/io/httpd.c": {"free"},  # libmicrohttpd hands over what free() must take back
    "common/io/json.c": {"free"},  # json_dumps() allocates with malloc
    "common/io/redis.c": {"free"},  # hiredis formats commands with malloc
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.M)
CALL = re.compile(r"(?<![\w.>])(\w+)[ \t\n]*\(")
GUARD = re.compile(r"^#ifndef (\w+)\n#define (\w+)\n", re.M)
# What a comment or a page of ours names; "_turns.c" is short for one of a family.
NAMED_FILE = re.compile(r"(?<![\w*{}<>$/.-])(?:[\w-]+/)*(?!_)[\w-][\w.-]*\.(?:c|h|md|lua|py|proto|sh|def)\b(?![\w/(])")
LINK = re.compile(r"\]\(((?!https?:)[^)#\s]+)[^)]*\)")
LIBRARY_HEADER = "|".join([*LIBRARIES.values(), *(p for p, _ in FOLDER_LIBRARIES.values()), r"sys/\w+\.h"])
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX)\b")
# Comments, strings and character constants, in the order the compiler would find them.
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(match):
    """The same number of lines, without the content."""
    return re.sub(r"[^\n]", " ", match.group())


def layer_of(path):
    for layer in LAYERS:
        if path.startswith(layer + "/"):
            return layer
    return None


class Checker:
    def __init__(self, root):
        self.root = Path(root)
        self.findings = []
        self.library_users = {name: [] for name in LIBRARIES}
        self.guards = {}

    def say(self, path, line, message):
        self.findings.append(f"{path}:{line}: {message}")

    def files(self):
        """Our .c and .h files, as paths from the root. Anything under a build tree is not ours."""
        found = []
        for top in sorted({layer.split("/")[0] for layer in LAYERS}):
            for at, dirs, names in os.walk(self.root / top):
                dirs[:] = sorted(d for d in dirs if not d.startswith(".") and d not in ("build", "node_modules"))
                found += [
                    (Path(at) / n).relative_to(self.root).as_posix()
                    for n in sorted(names)
                    if n.endswith((".c", ".h"))
                ]
        return found

    def names(self):
        """All files of the tree, each by its path and by every end of it ("a/b.c", "b.c")."""
        found = set()
        for at, dirs, names in os.walk(self.root):
            dirs[:] = [d for d in dirs if not d.startswith(".") and d not in ("build", "node_modules")]
            for name in names:
                parts = (Path(at) / name).relative_to(self.root).parts
                found |= {"/".join(parts[i:]) for i in range(len(parts))}
        return found

    def check_named(self, paths):
        """The files that comments, and our pages, name are there (also after a rename)."""
        known = self.names()
        pages = ["README.md"] + [p.relative_to(self.root).as_posix() for p in sorted(self.root.glob("docs/**/*.md"))]
        for path in paths + [p for p in pages if (self.root / p).exists()]:
            text = (self.root / path).read_text(encoding="utf-8")
            parts = [(m.start(), m.group()) for m in TOKEN.finditer(text) if m.group()[0] == "/"]
            for m in LINK.finditer(text) if path.endswith(".md") else []:
                if not ((self.root / path).parent / m.group(1)).exists():
                    self.say(path, text.count("\n", 0, m.start()) + 1, f"links to {m.group(1)}, which is not there")
            for at, part in [(0, text)] if path.endswith(".md") else parts:
                for m in NAMED_FILE.finditer(part):
                    name = m.group()
                    if name not in known and not re.fullmatch(LIBRARY_HEADER, name):
                        self.say(path, text.count("\n", 0, at + m.start()) + 1, f"names {name}, which is not there")

    def check_file(self, path):
        text = (self.root / path).read_text(encoding="utf-8")
        code = TOKEN.sub(blank, text)
        layer = layer_of(path)
        if layer is None:
            self.say(path, 1, "belongs to no layer (common/base, common/io, proto, ...)")
            return
        if not text.startswith("// SPDX-License-Identifier: Apache-2.0\n"):
            self.say(path, 1, "must start with the SPDX line")
        for m in INCLUDE.finditer(text):
            if code[m.start() : m.end()].lstrip().startswith("#"):
                line = text.count("\n", 0, m.start()) + 1 + m.group().count("\n")
                self.check_include(path, layer, line, m.group(1), m.group(2))
        self.check_calls(path, layer, code)
        for m in LEFTOVER.finditer(text):
            self.say(path, text.count("\n", 0, m.start()) + 1, f"leftover {m.group()}")
        if path.endswith(".h"):
            self.check_guard(path, text)

    def check_include(self, path, layer, line, system, own):
        name = system or own
        for library, (pattern, folder) in FOLDER_LIBRARIES.items():
            if re.fullmatch(pattern, name):
                if layer != folder:
                    self.say(path, line, f"{library} may be included in {folder}/ only")
                return
        for library, pattern in LIBRARIES.items():
            if system and re.fullmatch(pattern, name):
                self.library_users[library].append((path, line))
                return
        if own:
            self.check_own_include(path, layer, line, own)

    def check_own_include(self, path, layer, line, own):
        target = layer_of(own)
        if target is None:
            self.say(path, line, f'"{own}" is not a path from the root into one of the layers')
        elif target not in LAYERS[layer]:
            self.say(path, line, f"{layer} may not include {target} ({own})")
        elif own.endswith("_priv.h") and layer != "tests" and Path(own).parent != Path(path).parent:
            self.say(path, line, f"{own} is private to its folder")
        elif own.endswith(".c") and layer != "tests":
            self.say(path, line, "only tests may include a .c file")
        elif (
            layer in ("dataplane", "controlplane")
            and Path(path).stem in PURE
            and target == "common/io"
            and own not in PURE_MAY_USE
        ):
            self.say(path, line, f"{Path(path).stem} is pure: it may not include {own}")

    def check_calls(self, path, layer, code):
        allowed = ALLOCATION_EXCEPTIONS.get(path, set())
        for m in CALL.finditer(code):
            name = m.group(1)
            better = BANNED.get(name) or (ALLOCATION.get(name) if name not in allowed else None)
            if better:
                self.say(path, code.count("\n", 0, m.start()) + 1, f"{name}() is banned: use {better}")

    def check_guard(self, path, text):
        m = GUARD.search(text)
        if m is None or m.group(1) != m.group(2) or not text.rstrip().endswith("#endif"):
            self.say(path, 1, "has no include guard")
        elif not re.fullmatch(r"SLUICE_[A-Z0-9_]+_H", m.group(1)):
            self.say(path, 1, f"guard {m.group(1)} is not of the form SLUICE_..._H")
        elif m.group(1) in self.guards:
            self.say(path, 1, f"guard {m.group(1)} is also used by {self.guards[m.group(1)]}")
        else:
            self.guards[m.group(1)] = path

    def check_libraries(self):
        for library, users in self.library_users.items():
            allowed = LIBRARY_EXCEPTIONS.get(library, {})
            adapters = sorted({p for p, _ in users if p not in allowed and p.startswith("common/io/")})
            for path, line in users:
                if path in allowed:
                    continue
                if not path.startswith("common/io/"):
                    self.say(path, line, f"{library} may be included by its adapter in common/io only")
                elif len(adapters) > 1:
                    others = ", ".join(a for a in adapters if a != path)
                    self.say(path, line, f"{library} has more than one adapter (also {others})")

    def check_headers_compile(self, paths, cc, build):
        """Compiles a .c per header that includes it twice: alone, and its guard holds."""
        generated = self.generated_includes(build)
        headers, skipped = [], []
        for path in paths:
            if path.endswith(".h"):
                (skipped if build is None and self.needs_generated(path, set()) else headers).append(path)
        if skipped:
            print("skipped without --build:", ", ".join(skipped))
        base = cc.split() + ["-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
        base += [f'-DSLUICE_SOURCE_DIR="{self.root}"', "-fsyntax-only", f"-I{self.root}"] + generated + package_flags()

        def compile_one(path):
            source = f'#include "{path}"\n#include "{path}"\n'
            done = subprocess.run(
                base + ["-x", "c", "-"], input=source, capture_output=True, text=True, check=False
            )
            return path, done.returncode, done.stderr.strip()

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, code, err in pool.map(compile_one, headers):
                if code != 0:
                    self.say(path, 1, "does not compile alone:\n    " + err.replace("\n", "\n    "))

    def needs_generated(self, path, seen):
        if path in seen or not (self.root / path).exists():
            return False
        seen.add(path)
        for m in INCLUDE.finditer((self.root / path).read_text(encoding="utf-8")):
            name = m.group(1) or m.group(2)
            if name.endswith(".pb-c.h") or (m.group(2) and self.needs_generated(name, seen)):
                return True
        return False

    @staticmethod
    def generated_includes(build):
        if build is None:
            return []
        folders = {h.parent for h in Path(build).glob("**/*.pb-c.h")}
        return [f"-I{d}" for d in sorted({Path(build)} | folders)]


def package_flags():
    """Include folders of libraries whose headers are not in the compiler's own path."""
    done = subprocess.run(
        ["pkg-config", "--cflags-only-I", "libprotobuf-c", "cmocka"], capture_output=True, text=True, check=False
    )
    return done.stdout.split() if done.returncode == 0 else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--root", default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--build")
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()

    checker = Checker(args.root)
    paths = checker.files()
    for path in paths:
        checker.check_file(path)
    checker.check_libraries()
    checker.check_named(paths)
    if not args.no_compile:
        checker.check_headers_compile(paths, args.cc, args.build)
    for finding in checker.findings:
        print(finding)
    print(f"{len(paths)} files, {len(checker.findings)} findings")
    return 1 if checker.findings or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
