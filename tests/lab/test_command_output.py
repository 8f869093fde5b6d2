"""What `isthmus lab` prints, and what its flags ask the lab for; the lab itself is not there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from isthmus.cli.lab import lab
from isthmus.lab import building, images, lifecycle, reboot, state, status
from isthmus.lab.status import ClusterStatus, Node, Program

DEAD = (Program("kubelet", 7, False),)
ROME = ClusterStatus(
    "rome", "1.36", "https://x:6443", "k", "up", (), (Node("rome-worker-1", "172.29.1.11", DEAD),)
)


def run(*words: str) -> tuple[int, str, str]:
    ended = CliRunner().invoke(lab, list(words))
    return ended.exit_code, ended.stdout, ended.stderr


class Recorder:
    """Stands for a function of the lab: the plain values it was given, and what it gives back."""

    def __init__(self, gives: object = None) -> None:
        self.given: list[tuple[object, ...]] = []
        self._gives = gives

    def __call__(self, *words: object, **named: object) -> object:
        self.given.append(
            tuple(one for one in (*words, *named.values()) if isinstance(one, str | int | None))
        )
        return self._gives


@pytest.fixture(autouse=True)
def _rome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "require_root", lambda: None)
    monkeypatch.setattr(state, "find_cluster", lambda *_: SimpleNamespace(name="rome"))
    monkeypatch.setattr(status, "read", lambda _: [ROME])


def test_up_asks_for_what_its_flags_say_and_tells_what_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "up", up := Recorder([SimpleNamespace(name="rome")]))
    flags = ("--clusters", "3", "--workers", "1", "--kubernetes", "1.35,1.36", "--certificate-life", "3m")
    assert run("up", *flags) == (0, "", "try: isthmus lab kubectl rome get nodes\n")
    assert up.given == [(3, 1, "1.35,1.36", False, "3m")]


def test_down_says_where_there_was_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, said in ((True, ""), (False, "no lab is up\n")):
        monkeypatch.setattr(lifecycle, "down", Recorder(there))
        assert run("down") == (0, "", said)


def test_status_for_people_scripts_and_programs() -> None:
    code, table, _ = run("status")
    assert code == 0
    assert "rome" in table
    assert "rome-worker-1/kubelet" in table, "what does not run is named"
    assert run("status", "-o", "names") == (0, "rome\n", "")
    (found,) = json.loads(run("status", "-o", "json")[1])
    assert found["nodes"][0]["programs"] == [{"name": "kubelet", "pid": 7, "alive": False}]


def test_a_kubeconfig_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (file := tmp_path / "admin").write_text("apiVersion: v1\n")
    monkeypatch.setattr(state, "kubeconfig", lambda *_: file)
    assert run("kubeconfig", "rome") == (0, "apiVersion: v1\n", "")


def test_images_are_built_and_loaded_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "renew", renew := Recorder())
    monkeypatch.setattr(images, "load", load := Recorder())
    monkeypatch.setattr(building, "build", Recorder("/cache/isthmus.tar"))
    assert run("images", "build", "--no-load") == (0, "/cache/isthmus.tar\n", "")
    assert (renew.given, load.given) == ([], [])
    assert run("images", "build") == (0, "/cache/isthmus.tar\n", "")
    assert (len(renew.given), load.given) == (1, [("/cache/isthmus.tar", None)])
    assert run("images", "load", "a.tar", "b.tar", "--cluster", "milan")[0] == 0
    assert load.given[1:] == [("a.tar", "milan"), ("b.tar", "milan")]


def test_a_build_and_a_crash_are_of_what_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "build", build := Recorder())
    monkeypatch.setattr(building, "build", own := Recorder())
    monkeypatch.setattr(reboot, "reboot_node", crash := Recorder())
    assert run("build", "--kubernetes", "1.35,1.37")[0] == 0
    assert (build.given, len(own.given)) == ([("1.35,1.37",)], 1)
    assert run("reboot", "milan-worker-1")[0] == 0
    assert crash.given == [("milan-worker-1",)]
