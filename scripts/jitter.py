#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a test again and again while its processes are stopped for random times, as a machine does that has too much to do.

    scripts/jitter.py [-n RUNS] [-j JOBS] [-o DIR] [...] -- COMMAND [ARGUMENT...]
    scripts/jitter.py [-n RUNS] [-j JOBS] [-o DIR] [...] --ctest BUILD [-L unit] [-R regex] [...]

The first form runs one command, the second every test that `ctest --test-dir BUILD [-L ...]` would run. What failed keeps its
output in DIR, a file for each run. The exit code is 1 when something failed. A test that fails here takes for granted that
time passes slowly: that one turn of a loop is enough, that a timer has not fired yet, that an answer comes within a deadline.

How: a random process of the command's tree gets SIGSTOP, after a random time (mostly short) SIGCONT. A process that the test
itself has stopped (a frozen Redis) is left alone, also when it did so during our stop: its SIGSTOP is pending then. Waiting
system calls end with EINTR or begin anew at each stop; libraries that begin their timeout anew would never see its end
(nanomsg's worker), so that every now and then there is a long gap.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

LONG_GAP_EVERY, LONG_GAP = 20, 30  # one gap of twenty is thirty times as long
running = set()  # what was started and has not ended


def tree(pid):
    """The process and all that it has started."""
    seen, todo = [], [pid]
    while todo:
        one = todo.pop()
        seen.append(one)
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                todo += map(int, pathlib.Path(f"/proc/{one}/task/{thread}/children").read_text().split())
        except OSError:
            pass  # it has ended
    return seen


def status(pid, name):
    """A line of /proc/PID/status; "" when there is no such process."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().split("\n")
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name + ":")), "")


def stop_for(pid, seconds):
    """Stops a process for a time, unless the test has done so itself."""
    if status(pid, "State")[:1] in ("", "T", "t", "Z"):
        return
    try:
        os.kill(pid, signal.SIGSTOP)
        end = time.monotonic() + 2
        while status(pid, "State")[:1] != "T" and time.monotonic() < end:  # until then, our own signal is what is pending
            time.sleep(0.0002)
        time.sleep(seconds)
        if status(pid, "State")[:1] != "T" or not int(status(pid, "ShdPnd"), 16) >> (signal.SIGSTOP - 1) & 1:
            os.kill(pid, signal.SIGCONT)
    except (ProcessLookupError, ValueError):
        pass  # it has ended


def disturb(process, options, dice):
    """Until the process has ended; False: it was killed because it took too long."""
    end = time.monotonic() + options.timeout
    while process.poll() is None:
        gap = options.gap * dice.random() / 1000
        try:
            process.wait(gap * LONG_GAP if dice.randrange(LONG_GAP_EVERY) == 0 else gap)
            break
        except subprocess.TimeoutExpired:
            pass
        # Nobody else waits for the child: its number is not given to another one before our poll.
        stop_for(dice.choice(tree(process.pid)), options.pause * dice.random() ** 3 / 1000)
        if time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    return True


def run(job, options):
    """One run; the name of its log when it failed, else None."""
    name, number, command, place, env = job
    log = pathlib.Path(options.output) / f"{name.replace('/', '_')}.{number}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=place, env=env,
                                   start_new_session=True)
        running.add(process)
        in_time = disturb(process, options, random.Random())
        running.discard(process)
        if not in_time:
            out.write(b"\njitter: not done within the time of one run\n")
    if in_time and process.returncode == 0:
        log.unlink()
        return None
    return f"{log}: " + (f"exit {process.returncode}" if in_time else "timeout")


def tests_of(build, arguments):
    """What ctest would run: name, command, working directory, environment."""
    text = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1", *arguments], check=True, stdout=subprocess.PIPE)
    for test in json.loads(text.stdout)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        env = dict(os.environ, **dict(pair.split("=", 1) for pair in properties.get("ENVIRONMENT", [])))
        if "command" in test:
            yield test["name"], test["command"], properties.get("WORKING_DIRECTORY"), env


def leave(signo, _):
    """Interrupted: nothing stays behind, stopped for ever."""
    for process in list(running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    os._exit(128 + signo)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-n", "--runs", type=int, default=20, help="of each test")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("-o", "--output", default="/tmp/jitter")
    parser.add_argument("-p", "--pause", type=float, default=40, help="longest stop, ms")
    parser.add_argument("-g", "--gap", type=float, default=15, help="longest time between two, ms (but see above)")
    parser.add_argument("-t", "--timeout", type=float, default=300, help="of one run, s")
    parser.add_argument("--ctest", metavar="BUILD")
    options, rest = parser.parse_known_args()
    rest = rest[1:] if rest[:1] == ["--"] else rest
    if not rest and not options.ctest:
        parser.error("no command")
    tests = list(tests_of(options.ctest, rest)) if options.ctest else [(os.path.basename(rest[0]), rest, None, None)]
    os.makedirs(options.output, exist_ok=True)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    jobs = [(name, i, *what) for i in range(options.runs) for name, *what in tests]
    failed = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for job, why in zip(jobs, pool.map(lambda job: run(job, options), jobs)):
            if why:
                failed[job[0]] = failed.get(job[0], 0) + 1
                print(f"FAILED {job[0]}: {why}", flush=True)
    for name in sorted(failed):
        print(f"{name}: {failed[name]} of {options.runs} failed")
    print(f"{len(tests) - len(failed)} of {len(tests)} tests never failed in {options.runs} runs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
