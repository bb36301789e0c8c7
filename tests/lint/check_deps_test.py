#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of scripts/check_deps.py, in a small tree made for it: what it finds and what it lets pass."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_deps.py"
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def header(name, body=""):
    return f"{SPDX}#ifndef {name}\n#define {name}\n{body}\n#endif\n"


# name, {path: content}, expected findings (parts of lines; empty = clean)
CASES = [
    ("a clean tree", {"common/base/a.c": SPDX + '#include "common/base/a.h"\n',
                      "common/base/a.h": header("SLUICE_A_H")}, []),
    ("base may not use io", {"common/base/a.c": SPDX + '#include "common/io/b.h"\n'},
     ["common/base/a.c:2: common/base may not include common/io"]),
    ("io may not use proto", {"common/io/a.c": SPDX + '#include "proto/b.h"\n'}, ["may not include proto"]),
    ("proto may use io", {"proto/a.c": SPDX + '#include "common/io/b.h"\n'}, []),
    ("planes stay apart", {"dataplane/a.c": SPDX + '#include "controlplane/b.h"\n',
                           "controlplane/a.c": SPDX + '#include "dataplane/b.h"\n'},
     ["dataplane may not include controlplane", "controlplane may not include dataplane"]),
    ("cli uses the shared layers only", {"cli/a.c": SPDX + '#include "dataplane/b.h"\n#include "proto/b.h"\n'},
     ["cli/a.c:2: cli may not include dataplane"]),
    ("tests use anything", {"tests/a.c": SPDX + '#include "dataplane/b.h"\n#include "controlplane/b.c"\n'}, []),
    ("no include of a .c", {"proto/a.c": SPDX + '#include "proto/b.c"\n'}, ["only tests may include a .c"]),
    ("private headers", {"proto/a.c": SPDX + '#include "common/io/b_priv.h"\n#include "proto/a_priv.h"\n',
                         "tests/a.c": SPDX + '#include "common/io/b_priv.h"\n'},
     ["proto/a.c:2: common/io/b_priv.h is private"]),
    ("paths from the root", {"proto/a.c": SPDX + '#include "b.h"\n'}, ["not a path from the root"]),
    ("an include in a comment is none", {"common/base/a.c": SPDX + '/*\n#include "proto/b.h"\n*/\n',
                                         "proto/b.h": header("SLUICE_B_H")}, []),
    ("a library outside its adapter", {"dataplane/a.c": SPDX + "#include <curl/curl.h>\n"},
     ["libcurl may be included by its adapter"]),
    ("one adapter", {"common/io/a.c": SPDX + "#include <jansson.h>\n"}, []),
    ("two adapters", {"common/io/a.c": SPDX + "#include <sys/epoll.h>\n",
                      "common/io/b.c": SPDX + "#include <sys/epoll.h>\n"}, ["more than one adapter"] * 2),
    ("protobuf-c in proto", {"proto/a.c": SPDX + '#include <protobuf-c/protobuf-c.h>\n#include "proto/x.pb-c.h"\n'}, []),
    ("protobuf-c elsewhere", {"dataplane/a.c": SPDX + '#include "proto/x.pb-c.h"\n'}, ["protobuf-c may be included in proto/"]),
    ("cmocka in tests", {"tests/a.c": SPDX + "#include <cmocka.h>\n"}, []),
    ("cmocka elsewhere", {"cli/a.c": SPDX + "#include <cmocka.h>\n"}, ["cmocka may be included in tests/"]),
    ("pure modules", {"dataplane/route.c": SPDX + '#include "common/io/loop.h"\n#include "common/io/json.h"\n',
                      "dataplane/link.c": SPDX + '#include "common/io/loop.h"\n'}, ["dataplane/route.c:2: route is pure"]),
    ("banned functions", {"cli/a.c": SPDX + "void f(char *p)\n{\n    strcpy(p, p);\n    p = strtok (p, p);\n}\n"},
     ["cli/a.c:4: strcpy() is banned", "cli/a.c:5: strtok() is banned"]),
    ("banned names that are not calls", {"cli/a.c": SPDX + '// strcpy(a, b)\nchar s[] = "atoi(x)";\nint my_free(int);\n'
                                         "void f(struct x *p) { p->free(p); p.malloc(1); snprintf(0); }\n"}, []),
    ("allocation", {"common/io/a.c": SPDX + "void f(void) { free(malloc(1)); }\n",
                    "common/base/mem.c": SPDX + "void f(void) { free(malloc(1)); }\n"},
     ["common/io/a.c:2: free() is banned", "common/io/a.c:2: malloc() is banned"]),
    ("guards", {"common/base/a.h": SPDX + "int x;\n", "common/base/b.h": header("WRONG_H"),
                "common/base/c.h": header("SLUICE_C_H"), "common/base/d.h": header("SLUICE_C_H")},
     ["a.h:1: has no include guard", "WRONG_H is not of the form", "SLUICE_C_H is also used by"]),
    ("SPDX line", {"cli/a.c": "int x;\n"}, ["must start with the SPDX line"]),
    ("what is named is there", {"cli/a.c": SPDX + '// See b.c, cli/a.c and docs/c.md; _x.c is short, sys/uio.h not ours\nchar s[] = "d.c";\n',
                                "README.md": "`cli/e.c`, [a](cli/a.c), [b](x#y), [c](https://z/)\n"},
     ["cli/a.c:2: names b.c", "cli/a.c:2: names docs/c.md", "README.md:1: names cli/e.c", "README.md:1: links to x,"]),
    ("leftovers", {"cli/a.c": SPDX + "// TO" + "DO: later\n"}, ["leftover"]),
]

COMPILE_CASES = [
    ("compiles alone", {"common/base/a.h": header("SLUICE_A_H", "#include <stddef.h>\nsize_t a(void);")}, []),
    ("needs another", {"common/base/a.h": header("SLUICE_A_H", "size_t a(void);")}, ["does not compile alone"]),
    ("generated, no build", {"proto/a.h": header("SLUICE_A_H", '#include "proto/x.pb-c.h"'),
                             "proto/b.h": header("SLUICE_B_H", '#include "proto/a.h"')}, []),
]


class CheckDeps(unittest.TestCase):
    def run_cases(self, cases, *options):
        for name, files, expected in cases:
            with self.subTest(name), tempfile.TemporaryDirectory() as root:
                for path, content in files.items():
                    target = Path(root, path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(content, encoding="utf-8")
                done = subprocess.run([sys.executable, SCRIPT, "--root", root, *options],
                                      capture_output=True, text=True, check=False)
                lines = [l for l in done.stdout.splitlines() if ": " in l and not l.startswith((" ", "skipped"))]
                self.assertEqual(done.stderr, "")
                self.assertEqual(len(lines), len(expected), done.stdout)
                for part in expected:
                    self.assertTrue(any(part in line for line in lines), (part, done.stdout))
                self.assertEqual(done.returncode, 1 if expected else 0)

    def test_rules(self):
        self.run_cases(CASES, "--no-compile")

    def test_headers_compile_alone(self):
        self.run_cases(COMPILE_CASES)

    def test_an_empty_tree_is_a_mistake(self):
        with tempfile.TemporaryDirectory() as root:
            done = subprocess.run([sys.executable, SCRIPT, "--root", root], capture_output=True, check=False)
            self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
