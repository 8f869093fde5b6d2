"""What is remembered, recognised and told: state, locks, processes, control groups, status."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from isthmus.lab import cgroups, lifecycle, locks, network, node, processes, settings, state, status
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Site
from isthmus.lab.processes import Process, read_start_time
from isthmus.lab.state import Phase, State


class TemporarySite(Site):
    """A site whose folder and lock are in a test's folder."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = TemporarySite("unit", IPv4Network("172.30.0.0/16"))
    object.__setattr__(found, "folder", tmp_path)
    return found


def record(phase: Phase) -> State:
    return State(
        phase,
        {"rome": "1.36.3", "milan": "1.35.4"},
        {"rome": "/programs", "milan": "/older"},
        *(2, 1, "10.244.0.0/16", "10.96.0.0/16", ["/a"], {"b": "c"}),
    )


def test_state_comes_back_as_it_was(site: Site) -> None:
    assert state.load(site) is None
    state.save(site, record(Phase.UP))
    assert state.load(site) == record(Phase.UP)
    assert [cluster.name for cluster in state.require(site).plan(site)] == ["rome", "milan"]


def test_there_is_one_clear_error_for_each_way_of_having_no_lab(site: Site) -> None:
    with pytest.raises(LabError, match="no lab is up"):
        state.require(site)
    state.save(site, record(Phase.STARTING))
    with pytest.raises(LabError, match="ended half-way"):
        state.require(site)
    state.save(site, record(Phase.UP))
    with pytest.raises(LabError, match="no cluster 'paris': there are rome, milan"):
        state.find_cluster(site, "paris")
    (site.state / "state.json").write_text("{")
    with pytest.raises(LabError, match="cannot be understood"):
        state.load(site)


def test_what_labs_share_is_left_to_the_last_of_them(site: Site, tmp_path: Path) -> None:
    shared = tmp_path / "mount-point"
    shared.mkdir()
    first = record(Phase.UP)
    first.directories, first.settings = [str(shared)], {"unit/setting": "1"}
    neighbour = tmp_path / f"other{Site.SUFFIX}"
    neighbour.mkdir()
    (neighbour / "state.json").write_text(json.dumps(asdict(first)))
    assert state.others(site) == [first]
    later_release = asdict(first) | {"not known here yet": "x"}
    (neighbour / "state.json").write_text(json.dumps(later_release))
    assert state.others(site) == [first]
    second = record(Phase.STARTING)
    lifecycle._share(second, state.others(site))
    assert (second.directories[:1], second.settings) == ([str(shared)], {"unit/setting": "1"})


def test_the_last_lab_to_go_removes_the_mount_points_that_were_made_for_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is the kernel's and the network's is tried on the real machine, in test_lifecycle."""
    for module, names in ((cgroups, ("end", "remove")), (network, ("remove",)), (settings, ("restore",))):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: None)
    outer, inner, used = (tmp_path / name for name in ("outer", "outer/inner", "used"))
    for folder in (outer, inner, used):
        folder.mkdir()
    (used / "by somebody else").touch()
    own = record(Phase.UP)
    own.directories = [str(folder) for folder in (outer, inner, used)]
    neighbour = tmp_path / f"other{Site.SUFFIX}"
    neighbour.mkdir()
    (neighbour / "state.json").write_text(json.dumps(asdict(own)))
    state.save(site, own)
    lifecycle._remove(site, own)
    assert (inner.exists(), site.state.exists()) == (True, False)
    (neighbour / "state.json").unlink()
    state.save(site, own)
    lifecycle._remove(site, own)
    assert (outer.exists(), used.exists(), site.state.exists()) == (False, True, False)


def test_two_commands_do_not_change_the_lab_at_once(site: Site) -> None:
    with state.locked(site), pytest.raises(LabError, match="another `isthmus lab`"), state.locked(site):
        pass
    with state.locked(site):
        pass


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    code = (
        "import pathlib, sys, time; from isthmus.lab import locks\n"
        f"with locks.held(pathlib.Path({str(file)!r}), lambda: None): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with locks.held(file, lambda: pytest.fail("still held")):
        pass


def test_a_process_is_known_by_more_than_its_number() -> None:
    own = processes.read_start_time(os.getpid())
    assert own > 0
    assert Process("rome", "etcd", (), "", os.getpid(), own).alive
    assert not Process("rome", "etcd", (), "", os.getpid(), own + 1).alive
    assert not Process("rome", "etcd", (), "").alive


def test_a_dead_child_that_nobody_waited_for_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    deadline = time.monotonic() + 10
    while processes.read_start_time(child.pid) != -1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.wait()


def test_stopping_waits_until_the_process_is_gone() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = Process("rome", "sleep", (), "", child.pid, processes.read_start_time(child.pid))
    processes.stop(process, signal.SIGKILL, 10.0)
    assert not process.alive
    child.returncode = -9
    processes.stop(process, signal.SIGKILL, 10.0)


def test_waiting_ends_with_the_log_of_a_program_that_died(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\nbind: address already in use\n")
    dead = Process("rome", "etcd", (), str(log))
    with pytest.raises(LabError, match=r"etcd of rome ended by itself:(.|\n)*address already in use"):
        processes.wait("etcd", lambda: False, [dead], 5.0)


def test_mounts_of_control_groups_of_both_kinds_are_found() -> None:
    mounts = (
        "proc /proc proc rw\ncgroup /sys/fs/cgroup/cpu cgroup rw\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw\n"
    )
    assert cgroups.parse_mounts(mounts) == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]


def test_mount_points_are_made_parents_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(node, "MOUNTS", (("a", str(tmp_path / "x/y")), ("b", str(tmp_path / "x/z"))))
    assert node.missing_mount_points() == [str(tmp_path / name) for name in ("x", "x/y", "x/z")]


def test_the_lab_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        lifecycle.require_root()


def test_status_names_what_does_not_run(site: Site) -> None:
    state.save(site, record(Phase.UP))
    (site.state / "processes").mkdir()
    (site.state / "processes" / "milan.etcd.json").write_text(
        '{"owner": "milan", "name": "etcd", "command": ["etcd"], "log": "", "pid": 0, "start_time": 0}'
    )
    rome, milan = status.read(site)
    assert (rome.phase, milan.phase) == ("up", "broken")
    assert rome.dead == []
    assert milan.dead == ["milan/etcd"]
    lines = status.table([rome, milan])
    assert lines[0].split() == ["CLUSTER", "VERSION", "API", "SERVER", "NODES", "STATE"]
    assert "1 not running" in lines[2]
    assert lines[-1] == "not running: milan/etcd"


def test_a_process_is_alive_until_its_last_thread_has_ended() -> None:
    script = (
        "import ctypes, sys, threading; threading.Thread(target=sys.stdin.read).start(); "
        "print(flush=True); ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        status = Path(f"/proc/{child.pid}/status")
        while "State:\tZ" not in status.read_text():
            time.sleep(0.01)
        assert read_start_time(child.pid) > 0
        child.kill()
        while read_start_time(child.pid) > 0:
            time.sleep(0.01)
