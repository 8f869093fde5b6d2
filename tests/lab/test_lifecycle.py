"""A small lab of its own on the real machine: up, killed, cleared, down, and nothing left behind.

It is apart from the lab that other tests use, by name and network.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.lab import cgroups, node
from isthmus.lab.plan import Site, site_from_environment

ENVIRONMENT = {"ISTHMUS_LAB_NAME": "selftest", "ISTHMUS_LAB_NETWORK": "172.24.0.0/16"}
SITE = site_from_environment(ENVIRONMENT)
COMMAND = (sys.executable, "-m", "isthmus.cli.lab")
SMALL = ("up", "--clusters", "1", "--workers", "1")
MINUTES = 60

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(20 * MINUTES),
    pytest.mark.skipif(os.geteuid() != 0, reason="real clusters need root"),
]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ENVIRONMENT
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, env=environment, check=False)


def remains(site: Site) -> list[str]:
    """Everything of a lab that is still on the machine."""
    found = [str(path) for path in Path("/run/netns").glob(f"{site.name}-*")]
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    found += [link["ifname"] for link in links if link["ifname"].startswith(site.name)]
    found += [str(root / site.cgroup) for root in cgroups.hierarchies() if (root / site.cgroup).exists()]
    found += [str(site.state)] if site.state.exists() else []
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if f"{site.name}-" in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text()
        except OSError:
            continue
        if str(site.state) in words:
            found.append(words.replace("\0", " "))
    return found


@pytest.fixture
def _cleared() -> Iterator[None]:
    assert run("down").returncode == 0
    yield
    assert run("down").returncode == 0
    assert remains(SITE) == []


@pytest.mark.usefixtures("_cleared")
def test_a_lab_runs_pods_and_goes_without_a_trace() -> None:
    points = node.missing_mount_points()
    done = run(*SMALL)
    assert done.returncode == 0, done.stderr
    assert run("status", "-o", "names").stdout == "rome\n"
    second = run(*SMALL)
    assert (second.returncode, "is up already" in second.stderr) == (1, True)
    image = ("--image=localhost/isthmus-test:latest", "--image-pull-policy=IfNotPresent")
    assert run("kubectl", "rome", "run", "pod", *image).returncode == 0
    waited = run("kubectl", "rome", "wait", "--for=condition=Ready", "pod/pod", "--timeout=60s")
    assert waited.returncode == 0, waited.stderr
    looked = run("kubectl", "rome", "exec", "pod", "--", "nslookup", "kubernetes.default.svc.cluster.local")
    assert "10.96.0.1" in looked.stdout
    assert run("exec", "rome-worker-1", "--", "hostname").stdout == "rome-worker-1\n"
    # As after a reboot: everything recorded, nothing alive.
    cgroups.end(SITE.cgroup)
    status = json.loads(run("status", "-o", "json").stdout)
    assert not any(program["alive"] for program in status[0]["programs"])
    again = run(*SMALL)
    assert again.returncode == 0, again.stderr
    assert "clearing the remains" in again.stderr
    assert run("down").returncode == 0
    assert remains(SITE) == []
    assert node.missing_mount_points() == points
    assert run("down").returncode == 0


@pytest.mark.usefixtures("_cleared")
@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 5.0])
def test_up_killed_at_any_moment_leaves_nothing_after_down(seconds: float) -> None:
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen([*COMMAND, *SMALL], stderr=subprocess.DEVNULL, env=environment) as child:
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
    assert run("down").returncode == 0
    assert remains(SITE) == []


@pytest.mark.usefixtures("_cleared")
def test_up_interrupted_by_its_user_clears_up_by_itself() -> None:
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen([*COMMAND, *SMALL], stderr=subprocess.PIPE, env=environment) as child:
        deadline = time.monotonic() + 60
        while not (SITE.state / "processes").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 1
    assert remains(SITE) == []


@pytest.mark.usefixtures("_cleared")
def test_up_that_fails_half_way_clears_up_and_says_why() -> None:
    """Its API server dies while it is awaited."""
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen([*COMMAND, *SMALL], stderr=subprocess.PIPE, text=True, env=environment) as child:
        file = SITE.state / "processes" / "rome.kube-apiserver.json"
        deadline = time.monotonic() + 60
        while not file.exists() or not json.loads(file.read_text())["pid"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
        assert child.stderr is not None
        said = child.stderr.read()
        assert child.wait(60) == 1
    assert "kube-apiserver of rome ended by itself" in said
    assert "Traceback" not in said
    assert remains(SITE) == []
