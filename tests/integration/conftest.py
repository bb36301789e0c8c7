# SPDX-License-Identifier: Apache-2.0
import hashlib
import os

import pytest

import sluice


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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, "report_" + report.when, report)
    if report.when != "call" or not report.failed:
        return
    # The logs of the programs are what one wants to see first.
    for value in item.funcargs.values():
        for holder in (value, getattr(value, "process", None)):
            if isinstance(holder, sluice.Process):
                report.sections.append((f"{holder.name}.log", holder.text()[-8000:]))
            elif isinstance(getattr(holder, "process", None), sluice.Process):
                report.sections.append((f"{holder.process.name}.log", holder.process.text()[-8000:]))


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    m = sluice.Mock(tmp_path_factory.mktemp("mock"))
    yield m
    m.stop()
