"""The figures of tests/bench/offloading.py as the table of docs/benchmarks.md, beside budgets and stock Liqo's."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PARTS = {
    "controller": "controller",
    "node": "node agents, all of them",
    "gateway": "gateway",
    "wireguard-go": "userspace WireGuard",
}
SIDES = {"rome": "consumer", "milan": "provider"}

Figures = dict[str, Any]


def render(figures: Figures) -> str:
    """The figures as Markdown."""
    rounds = figures["rounds"]
    lines = [
        f"Taken {figures['date']} by `make bench` on {os.cpu_count()} cores, Linux {platform.release()}, load average "
        f"{figures['load']:.1f} before, a million additions in Python in {figures['yardstick_ms']:.0f} ms; "
        f"{figures['pods']} pods a burst, {len(rounds)} bursts, "
        f"{figures['idle_s']:.0f} s idle; median (least to most). Stock: Liqo v1.2 on such a lab, single runs.",
        "",
        "| what | measured | budget | stock Liqo |",
        "|---|---|---|---|",
        *_memory(figures),
        *_processor(figures),
        *_pods(figures),
        *_traffic(figures),
    ]
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the table into its place in the document."""
    head, rest = DOCUMENT.read_text().split(BEGIN)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def _row(
    label: str, values: list[float], unit: str, budget: str = "", stock: str = "", digits: int = 1
) -> str:
    shown = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        shown += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return f"| {label} | {shown}{unit} | {budget} | {stock} |"


def _memory(figures: Figures) -> list[str]:
    stock = {"rome": ("479 MB", "524 MB"), "milan": ("", "450 MB")}
    budget = {"rome": "60 MB", "milan": "50 MB"}
    lines = []
    for cluster, side in SIDES.items():
        idle = figures["idle"]["pss_mb"][cluster]
        loaded = [one["loaded"]["pss_mb"][cluster] for one in figures["rounds"]]
        whole = f"{side}, whole control plane"
        lines.append(
            _row(f"{whole}, peered, no pods, PSS", [sum(idle.values())], " MB", "", stock[cluster][0])
        )
        totals = [sum(parts.values()) for parts in loaded]
        lines.append(
            _row(
                f"{whole}, {figures['pods']} offloaded pods, PSS", totals, " MB", "140 MB", stock[cluster][1]
            )
        )
        lines += [
            _row(
                f"of it {name}",
                [parts[part] for parts in loaded],
                " MB",
                budget[cluster] if part == "controller" else "",
            )
            for part, name in PARTS.items()
            if part in idle
        ]
    return lines


def _processor(figures: Figures) -> list[str]:
    lines, pods = [], figures["pods"]
    for cluster, side in SIDES.items():
        idle = figures["idle"]["cpu_percent"][cluster]
        loaded = [one["loaded"]["cpu_percent"][cluster] for one in figures["rounds"]]
        lines.append(
            _row(
                f"{side}'s controller, peered, no pods, CPU",
                [idle["controller"]],
                " % of a core",
                "0.5 %",
                "",
                2,
            )
        )
        lines += [
            _row(
                f"{side}'s {name}, {pods} offloaded pods, idle CPU",
                [parts[part] for parts in loaded],
                " % of a core",
                "0.5 %" if part == "controller" else "",
                digits=2,
            )
            for part, name in PARTS.items()
            if part in idle
        ]
        spent = [one["cpu_s"][cluster] for one in figures["rounds"]]
        budget, stock = ("20 ms", "85 ms (all parts)") if cluster == "rome" else ("", "")
        lines.append(
            _row(
                f"{side}'s controller, CPU a pod of the burst",
                [parts["controller"] / pods * 1000 for parts in spent],
                " ms",
                budget,
            )
        )
        lines.append(
            _row(
                f"{side}, whole control plane, CPU a pod of the burst",
                [sum(parts.values()) / pods * 1000 for parts in spent],
                " ms",
                "",
                stock,
            )
        )
    return lines


def _pods(figures: Figures) -> list[str]:
    rounds = figures["rounds"]
    ratios = [one["offloaded_s"] / one["vanilla_s"] for one in rounds]
    return [
        _row(
            "burst to all Ready, on the provider alone (vanilla)",
            [one["vanilla_s"] for one in rounds],
            " s",
            "",
            "32.1 s",
        ),
        _row("burst to all Ready, offloaded", [one["offloaded_s"] for one in rounds], " s", "", "62.5 s"),
        _row("offloaded to vanilla", ratios, "", "1.25", "1.95", 2),
    ]


def _traffic(figures: Figures) -> list[str]:
    rounds, pods = figures["rounds"], figures["pods"]

    def idle(kind: str) -> list[float]:
        return [one["loaded"]["kbit_s"][kind] for one in rounds]

    def kilobytes(choose: Callable[[dict[str, int]], int]) -> list[float]:
        return [choose(one["bytes"]) / pods / 1000 for one in rounds]

    before = figures["idle"]["kbit_s"]["total"]
    whole = "control traffic between the clusters"
    return [
        _row(f"{whole}, peered, no pods", [before], " kbit/s", "5 kbit/s"),
        _row(f"{whole}, {pods} offloaded pods, idle", idle("total"), " kbit/s", "5 kbit/s"),
        _row("of it the tunnel's liveness and keys", idle("tunnel"), " kbit/s"),
        _row("of it with the provider's API server", idle("provider"), " kbit/s"),
        _row("of it with the consumer's API server", idle("consumer"), " kbit/s"),
        _row(
            f"{whole}, most over any second of a burst",
            [one["peak_kbit_s"] / 1000 for one in rounds],
            " Mbit/s",
            "3 Mbit/s",
            digits=2,
        ),
        _row(
            "bytes to and from the provider's API server, a pod",
            kilobytes(lambda counted: counted["provider_sent"] + counted["provider_received"]),
            " kB",
            "",
            "69 to 82 kB",
        ),
        _row("of it received", kilobytes(lambda counted: counted["provider_received"]), " kB"),
    ]
