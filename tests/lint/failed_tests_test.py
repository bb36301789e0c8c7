#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/failed_tests.py on a log of ctest with a failed test of each kind."""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = "-" * 58
RUST = "\n".join(f"line {i} of a server's log, of no interest" for i in range(500))
OUTPUTS = {
    "integration/10_walkthrough": f"""\
.......F
=================================== FAILURES ===================================
________________________________ test_it _______________________________
../../tests/integration/test_10_walkthrough.py:224: in test_it
    assert r.status == 200, r
E   AssertionError: <429 {'x' * 1000}>
E   assert 429 == 200
------------------------------------ up.log ------------------------------------
{RUST}
=========================== short test summary info ============================
FAILED ../../tests/integration/test_10_walkthrough.py::test_it - Assertio...
1 failed, 23 passed in 7.09s
""",
    "unit/base/text": f"""\
[==========] Running 2 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
{RUST}
[  ERROR   ] --- 1 != 2
[   LINE   ] --- text_test.c:12: error: Failure!
[  FAILED  ] two
[==========] 2 test(s) run.
""",
    "unit/base/crash": f"{RUST}\n==1==ERROR: AddressSanitizer: heap-use-after-free on address\n{RUST}\nSUMMARY: AddressSanitizer: heap-use-after-free x.c:3\n",
    "unit/base/fine": "FAILED it says, and is fine\n",
    "deploy/chart": f"{RUST}\nthe last word\n",
}
FAILED = [n for n in OUTPUTS if n != "unit/base/fine"]


def main():
    with tempfile.TemporaryDirectory() as d:
        where = pathlib.Path(d) / "Testing/Temporary"
        where.mkdir(parents=True)
        log = f"Start testing: now\n{LINE}\n"
        for i, (name, text) in enumerate(OUTPUTS.items()):
            log += (f"{i}/9 Testing: {name}\n{i}/9 Test: {name}\nCommand: \"x\"\nOutput:\n{LINE}\n{text}<end of output>\n"
                    f"Test time =   1.00 sec\n{LINE}\nTest {'Failed' if name in FAILED else 'Passed'}.\n{LINE}\n\n")
        (where / "LastTest.log").write_text(log)
        (where / "LastTestsFailed.log").write_text("".join(f"{i}:{n}\n" for i, n in enumerate(FAILED)))
        out = subprocess.run([sys.executable, ROOT / "scripts/failed_tests.py", d], capture_output=True, text=True, check=True).stdout
    assert [line[4:] for line in out.split("\n") if line.startswith("---")] == FAILED, out
    for what in ("assert 429 == 200", "::test_it - Assertio", "test_10_walkthrough.py:224", "--- 1 != 2", "text_test.c:12", "FAILED  ] two",
                 "heap-use-after-free on address", "x.c:3", "the last word", "Test time =   1.00 sec"):
        assert what in out, (what, out)
    assert "of no interest" not in out.split("--- deploy/chart")[0] and "is fine" not in out, out
    assert len(out) < 4000 and max(map(len, out.split("\n"))) < 240, out


main()
