"""`make demo`, played as a newcomer plays it: what it prints is all that it is judged by."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.endings import Endings
from tests.cluster.peering import Pair
from tests.cluster.support import ISTHMUS, isthmus

ROOT = Path(__file__).parents[2]
NAMESPACE = "demo"
SILENCE = 60.0
"""Seconds without a line after which it cannot be said to print as it goes; `make figures` holds the 15 promised."""
OF_ITS_OWN = {"ISTHMUS_LAB_NAME": "newcomer", "ISTHMUS_LAB_NETWORK": "172.23.0.0/16"}
PROMISED_SILENCE = 15.0
PROMISED_SECONDS = 120.0
STEPS = (
    "Two real Kubernetes clusters, rome and milan",
    "The image of Isthmus, built and loaded",
    "Isthmus installed in both",
    "Peering: rome may use milan, and their pod networks are joined",
    "A Deployment of rome, offloaded to milan",
    "Where the pods are",
    "A log line and an exec, asked of rome, answered from milan",
    "A request from a pod at home to a pod abroad, and the other way",
    "What the control plane costs",
)
ABROAD = re.compile(r"hello-\S+ +1/1 +Running .* (milan\S*) ")
HOME = re.compile(r"home-\S+ +1/1 +Running .* (rome-worker-\d) ")


class Played:
    """A run of the demo: its exit code, its lines with the moment each came, and its steps."""

    def __init__(self, changes: Mapping[str, str]) -> None:
        # Not a part of the `make` that may have started the tests.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment = inherited | changes
        began = time.monotonic()
        self.lines: list[str] = []
        moments = [began]
        with subprocess.Popen(
            ["make", "demo"], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            for line in child.stdout:
                self.lines.append(line.rstrip())
                moments.append(time.monotonic())
        self.code = child.returncode
        self.seconds = time.monotonic() - began
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        self.longest = max(gaps)
        self.before_longest = self.lines[max(gaps.index(self.longest) - 1, 0)]

    def step(self, title: str) -> list[str]:
        """What was printed in a step."""
        start = self.lines.index(f"== {title}") + 1
        end = next((n for n in range(start, len(self.lines)) if self.lines[n].startswith("== ")), None)
        return [line for line in self.lines[start:end] if line]

    def after(self, title: str, command: str) -> list[str]:
        """What a command of a step printed, the command found by a part of it."""
        lines = self.step(title)
        start = next(n for n, line in enumerate(lines) if line.startswith("$ ") and command in line) + 1
        end = next((n for n in range(start, len(lines)) if lines[n].startswith("$ ")), None)
        return lines[start:end]


@pytest.fixture
def played(installed: Pair, endings: Endings) -> Iterator[Played]:
    """The demo, on the worker's lab; its namespace ends with the module's others, its peering stays."""
    rome, milan = installed
    yield Played({})
    if rome.get("namespace", NAMESPACE):
        isthmus("unoffload", "namespace", NAMESPACE, "--kubeconfig", str(rome.kubeconfig), "--skip-confirm")
    endings.delete(rome, NAMESPACE)
    endings.expect(milan, f"{NAMESPACE}-rome")


def test_the_demo_shows_what_it_says(played: Played) -> None:
    shown = "\n".join(played.lines)
    assert played.code == 0, shown
    assert [line[3:] for line in played.lines if line.startswith("== ")] == list(STEPS)
    assert all(played.step(title) for title in STEPS), shown
    assert played.longest < SILENCE, f"{played.longest:.0f} s without a line after {played.before_longest!r}"
    check_where_the_pods_are(played)
    check_what_crosses(played)
    check_costs_and_times(played)


def check_where_the_pods_are(played: Played) -> None:
    """Three pods on the virtual node and one at home in rome; in milan the same three on real nodes."""
    title = "Where the pods are"
    rome = "\n".join(played.after(title, "kubectl rome get pods"))
    milan = "\n".join(played.after(title, "kubectl milan get pods"))
    assert ABROAD.findall(rome) == ["milan"] * 3, rome
    assert len(HOME.findall(rome)) == 1, rome
    nodes = ABROAD.findall(milan)
    assert len(nodes) == 3, milan
    assert set(nodes) <= {"milan-worker-1", "milan-worker-2"}, milan
    names = [set(re.findall(r"hello-\S+", text)) for text in (rome, milan)]
    assert names[0] == names[1]


def check_what_crosses(played: Played) -> None:
    """A log line, a command and a request each way."""
    title = "A log line and an exec, asked of rome, answered from milan"
    *_, logged = played.after(title, " logs ")  # kubectl says first which of the pods it asks.
    (executed,) = played.after(title, " exec ")
    assert re.fullmatch(r"Ciao from the consumer's ConfigMap, on milan-worker-\d", logged)
    assert re.fullmatch(r"I run on milan-worker-\d", executed)
    title = "A request from a pod at home to a pod abroad, and the other way"
    (abroad,) = played.after(title, "deployment/home -- curl")
    (home,) = played.after(title, "deployment/hello -- sh -c 'curl")
    assert re.fullmatch(r"pod hello-\S+ on node milan-worker-\d answers", abroad)
    assert re.fullmatch(r"pod home-\S+ on node rome-worker-\d answers", home)


def check_costs_and_times(played: Played) -> None:
    """Memory of both control planes, a time for each step, and commands that can be typed next."""
    costs = played.step("What the control plane costs")
    for cluster in ("rome", "milan"):
        (megabytes,) = re.findall(rf"^{cluster}: (\d+\.\d) MB PSS, \d+\.\d\d s CPU", "\n".join(costs), re.M)
        assert 10 < float(megabytes) < 1000
    end = played.lines[played.lines.index("Times:") :]
    timed = [re.fullmatch(r" +(\d+\.\d) s  (.+)", line) for line in end]
    times = {match[2]: float(match[1]) for match in timed if match}
    assert tuple(times) == STEPS
    assert sum(times.values()) == pytest.approx(played.seconds, abs=10)
    following = "\n".join(end)
    for command in ("scale -n demo", "logs -f -n demo", "isthmus info", "isthmus unpeer", "make lab-down"):
        assert command in following
    (kubeconfig,) = re.findall(r"export KUBECONFIG=(\S+)", following)
    assert Path(kubeconfig).is_file()


@pytest.mark.figures
def test_from_no_lab_the_demo_is_quick_and_never_silent() -> None:
    try:
        played = Played(OF_ITS_OWN)
    finally:
        down = [*ISTHMUS, "lab", "down"]
        subprocess.run(down, env=os.environ | OF_ITS_OWN, timeout=120, check=True)
    print(f"demo: {played.seconds:.1f} s, {played.longest:.1f} s after {played.before_longest!r}")
    assert played.code == 0, "\n".join(played.lines)
    assert played.seconds < PROMISED_SECONDS
    assert played.longest < PROMISED_SILENCE, played.before_longest
