"""`make durations`: reads the junit files that runs keep and writes what each module took into durations.json.

Of the endurance tests' files (`endurance-*.xml`) the kills count as the mean of a seed; modules that a file does not
have keep what they had.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from tests.conftest import DURATIONS, SEEDS

Measured = dict[str, dict[str, float]]


def module(classname: str) -> str:
    """The file of a test case, from the dotted name of its module."""
    return classname.replace(".", "/") + ".py"


def gather(file: Path, measured: Measured) -> None:
    """Take over the times of one junit file."""
    tier = "endurance" if file.name.startswith("endurance") else "test"
    times: defaultdict[str, list[float]] = defaultdict(list)
    for case in ElementTree.parse(file).iter("testcase"):
        if case.find("skipped") is None:
            times[module(case.attrib["classname"])].append(float(case.attrib["time"]))
    for name, found in times.items():
        measured[tier][name] = round(sum(found) / (len(found) if name == SEEDS else 1), 1)


def main(files: Iterable[str]) -> None:
    """Update durations.json from these files; those of unit tests say nothing of use."""
    measured: Measured = json.loads(DURATIONS.read_text())
    for file in map(Path, files):
        if file.name.startswith(("cluster", "endurance")):
            gather(file, measured)
    DURATIONS.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
