# SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import re

import pytest

import sluice

# A request that went well, or what the mock writes down of each: of no interest, and most of what there is in a log.
WENT_WELL = re.compile(r'"event":"access".*"status":[23]|^{"seq":\d+,"t_us"')


def pytest_collection_modifyitems(config, items):
    """SLUICE_TEST_SHARD=1/3 keeps every third test (by name, so that the choice is stable)."""
    shard = os.environ.get("SLUICE_TEST_SHARD")
    if not shard:
        return
    which, of = (int(x) for x in shard.split("/"))
    keep = [i for i in items if int(hashlib.sha256(i.nodeid.encode()).hexdigest(), 16) % of == which - 1]
    dropped = [i for i in items if i not in keep]
    config.hook.pytest_deselected(items=dropped)
    items[:] = keep


def short(log):
    """The end of a program's log: what fits into the output of a failed test without hiding what failed."""
    lines = [line if len(line) <= 300 else line[:297] + "..." for line in log.split("\n") if not WENT_WELL.search(line)]
    return "\n".join(lines[-25:])[-4000:]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, "report_" + report.when, report)
    if report.when != "call" or not report.failed:
        return
    # The logs of the programs; behind them pytest's summary names the test and what it asserted.
    seen = []
    for value in item.funcargs.values():
        for holder in (value, getattr(value, "process", None)):
            process = holder if isinstance(holder, sluice.Process) else getattr(holder, "process", None)
            if isinstance(process, sluice.Process) and process not in seen:
                seen.append(process)
                report.sections.append((f"{process.name}.log", short(process.text())))


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = sluice.Mock(tmp_path_factory.mktemp("mock"))
    yield m
    m.stop()
