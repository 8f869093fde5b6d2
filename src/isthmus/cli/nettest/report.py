"""How the outcome is shown: a table of who to whom, what failed and why, or everything as data. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmus.cli.nettest.plan import NODES, PODS
from isthmus.cli.nettest.verdict import Path
from isthmus.cli.tables import render_table

MOST_FAILURES = 40
"""Failed paths told one by one; of the others only how many there are."""


def render(paths: Sequence[Path], *, every: bool) -> str:
    """The summary by clusters, with `every` each path, and each failed one in detail."""
    text = render_table(
        ["check", "from", "to", "paths", "tcp", "udp", "icmp", "result"], _summary_rows(paths)
    )
    if every:
        text += "\n" + render_table(
            ["check", "from", "to", "tcp", "udp", "icmp", "slowest"], [_path_row(path) for path in paths]
        )
    failed = [path for path in paths if not path.ok]
    for path in failed[:MOST_FAILURES]:
        text += "\n" + _describe_failure(path)
    if len(failed) > MOST_FAILURES:
        text += f"\nand {len(failed) - MOST_FAILURES} more, see -o json\n"
    return text


def _summary_rows(paths: Sequence[Path]) -> list[list[str]]:
    groups: dict[tuple[str, str, str], list[Path]] = {}
    for path in paths:
        key = (path.kind, path.source_cluster or path.source, path.target_cluster)
        groups.setdefault(key, []).append(path)
    rows = []
    for key, group in groups.items():
        good = sum(path.ok for path in group)
        protocols = [_count(group, one) for one in ("tcp", "udp", "icmp")]
        rows.append(
            [*key, f"{good}/{len(group)}", *protocols, "ok" if good == len(group) else "FAILED"],
        )
    return rows


def _count(group: Sequence[Path], protocol: str) -> str:
    states = [state for path in group if (state := path.protocol(protocol))]
    bad = sum(state != "ok" for state in states)
    return "" if not states else "ok" if not bad else f"{bad} failed"


def _path_row(path: Path) -> list[str]:
    slowest = max((one.result.milliseconds for one in path.outcomes), default=0.0)
    return [
        path.kind,
        path.source,
        path.target,
        *(path.protocol(one) for one in ("tcp", "udp", "icmp")),
        f"{slowest:g} ms",
    ]


def _describe_failure(path: Path) -> str:
    lines = [f"FAILED {path.kind}: {path.source} -> {path.target}"]
    told: dict[str, list[str]] = {}
    for one in path.outcomes:
        if not one.result.ok:
            told.setdefault(one.result.detail, []).append(_name(path, one.check.probe))
    address = path.outcomes[0].check.probe.address
    lines += [f"    {', '.join(names)} to {address}: {detail}" for detail, names in told.items()]
    return "\n".join([*lines, f"    suspect: {path.suspicion}"]) + "\n"


def _name(path: Path, probe: Any) -> str:
    protocol = probe.protocol.upper()
    return f"{protocol} {probe.size} bytes" if path.kind in (PODS, NODES) else protocol


def as_document(paths: Sequence[Path], notes: Sequence[str]) -> dict[str, Any]:
    """Everything, JSON-ready."""
    probes = [one for path in paths for one in path.outcomes]
    return {
        "ok": all(path.ok for path in paths),
        "probes": len(probes),
        "failed": sum(not one.result.ok for one in probes),
        "notes": list(notes),
        "paths": [_path_document(path) for path in paths],
    }


def _path_document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = {
        "check": path.kind,
        "from": {"cluster": path.source_cluster, "name": path.source},
        "to": {"cluster": path.target_cluster, "name": path.target},
        "ok": path.ok,
        "probes": [
            {
                "protocol": one.check.probe.protocol,
                "address": one.check.probe.address,
                "port": one.check.probe.port,
                "bytes": one.check.probe.size,
                "ok": one.result.ok,
                "milliseconds": one.result.milliseconds,
                "detail": one.result.detail,
            }
            for one in path.outcomes
        ],
    }
    return {**document, "suspicion": path.suspicion} if path.suspicion else document
