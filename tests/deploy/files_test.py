# SPDX-License-Identifier: Apache-2.0
"""What can be said about the Dockerfile, compose.yaml, the chart and the units without any of their tools: they name
options that the programs have, packages that are the build's, and a configuration that the programs take."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin")).resolve()
FILES = {
    "sluice-proxy": ["compose.yaml", "helm/sluice/templates/proxy.yaml", "deploy/systemd/sluice-proxy.service"],
    "sluice-control": ["compose.yaml", "helm/sluice/templates/control.yaml", "deploy/systemd/sluice-control.service"],
}


def read(path):
    return (ROOT / path).read_text()


def run(*args):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE__") and not k.endswith("_API_KEY")}
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, env=env)


def command_of(program, path):
    """The part of the file that is this program's command line."""
    text = read(path)
    if path == "compose.yaml":
        service = program.removeprefix("sluice-")
        text = re.search(rf"^  {service}:\n(.*?)^  \S", text, re.S | re.M).group(1)
        return re.search(r"command: \[(.*?)\]\n", text, re.S).group(1)
    if path.endswith(".service"):
        return re.search(r"^ExecStart=(.*)$", text, re.M).group(1)
    return re.search(r"args:\n(.*?)\n {10}\S*(env|\{\{- with)", text, re.S).group(1)


@pytest.mark.parametrize("program,path", [(p, f) for p, files in FILES.items() for f in files])
def test_options_exist(program, path):
    known = set(re.findall(r"--[a-z][a-z-]+", run(BIN / program, "--help").stdout))
    used = set(re.findall(r"--[a-z][a-z-]+", command_of(program, path)))
    assert len(used) >= 4, f"{path}: {used}"
    assert used <= known, f"{path} gives {program} options it does not have: {used - known}"


@pytest.mark.parametrize("program", sorted(FILES))
def test_configuration_of_compose_is_taken(program):
    r = run(BIN / program, "--check-config", ROOT / "deploy/compose/config.yaml")
    assert r.returncode == 0, r.stdout + r.stderr


@pytest.mark.parametrize("program", sorted(FILES))
def test_configuration_of_the_chart_is_taken(program, tmp_path):
    block = re.search(r"^config:\n((?:  .*\n|\n)+)", read("helm/sluice/values.yaml"), re.M).group(1)
    file = tmp_path / "config.yaml"
    file.write_text(re.sub(r"^  ", "", block, flags=re.M))
    assert "drain-delay: 5s" in file.read_text()
    r = run(BIN / program, "--check-config", file)
    assert r.returncode == 0, r.stdout + r.stderr


def test_the_image_builds_with_the_packages_of_install_deps():
    script = re.search(r"\[build\]=\"(.*?)\"", read("scripts/install-deps.sh"), re.S).group(1)
    image = re.search(r"--no-install-recommends (.*?)&& rm", read("Dockerfile"), re.S).group(1)
    assert set(script.split()) == set(image.replace("\\", "").split())


def test_images_have_what_the_programs_load():
    """Every library that the built programs need directly comes from a package that the Dockerfile names (or libc)."""
    runtime = re.findall(r"--no-install-recommends (.*?)&& rm", read("Dockerfile"), re.S)[1]
    stems = {re.sub(r"[-.0-9]+$", "", p) for p in runtime.replace("\\", "").split()} | {"libgnutls", "libc", "libm"}
    for program in ("sluice", "sluice-proxy", "sluice-control", "sluice-mock"):
        r = run("objdump", "-p", BIN / program)
        if r.returncode != 0:
            pytest.skip("objdump is not installed")
        for name in re.findall(r"NEEDED\s+(\S+)", r.stdout):
            stem = re.sub(r"[-.0-9]*\.so.*$", "", name)
            if not stem.startswith(("libasan", "libubsan", "libtsan", "ld-linux", "libgcc_s")):
                assert stem in stems, f"{program} needs {name}"


def test_versions_agree():
    version = re.search(r"project\(sluice VERSION (\S+)", read("CMakeLists.txt")).group(1)
    chart = read("helm/sluice/Chart.yaml")
    assert re.search(r"^version: (\S+)", chart, re.M).group(1) == version
    assert re.search(r"^appVersion: (\S+)", chart, re.M).group(1) == version


def test_ports_are_on_loopback_and_programs_are_not_root():
    text = read("compose.yaml")
    for ports in re.findall(r"ports: \[(.*?)\]", text):
        for port in re.findall(r'"([^"]*)"', ports):
            assert port.startswith("127.0.0.1:"), port
    assert "USER 65532" in read("Dockerfile")
    assert "# syntax=" not in read("Dockerfile"), "it would need a registry"
