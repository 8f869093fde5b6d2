"""The flags of peer and unpeer: what is understood, what is refused before any cluster is asked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from isthmus.api.authentication import ResourceSlice
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import execute
from isthmus.cli.resources import is_granted, merge_resources
from isthmus.cli.writes import merge
from isthmus.kube.objects import RawObject

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: {name}
clusters: [{{name: {name}, cluster: {{server: "https://127.0.0.1:{port}"}}}}]
users: [{{name: {name}, user: {{token: {name}}}}}]
contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]
"""


@pytest.fixture
def kubeconfigs(tmp_path: Path) -> list[str]:
    """Flags with two kubeconfigs of addresses where nothing listens."""
    paths = []
    for name, port in (("rome", 1), ("milan", 2)):
        path = tmp_path / name
        path.write_text(KUBECONFIG.format(name=name, port=port))
        paths.append(str(path))
    return ["--kubeconfig", paths[0], "--remote-kubeconfig", paths[1]]


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = execute(arguments, "isthmus")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return code, errors[0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--cpu", "-1"], '"-1" is negative'),
        (["--memory", "8GiB"], '"8GiB" is not a valid quantity'),
        (["--pods", "1.5"], '"1.5" is not a whole number'),
        (["--resource", "gpu"], '"gpu" is not a valid resource'),
        (["--cpu", "1", "--resource", "cpu=2"], "cpu is given twice"),
        (["--cpu", "1", "--create-resource-slice=false"], "no resources are asked for"),
        (["--timeout", "10"], '"10" is not a valid duration'),
        (["--timeout", "0s"], "must be more than zero"),
        (["--mtu", "575"], "--mtu 575 cannot work: use 576 to 65000"),
        (["--mtu", "65001"], "--mtu 65001 cannot work"),
        (["--gw-server-service-type", "ExternalName"], "--gw-server-service-type"),
        (["--gw-server-service-location", "Elsewhere"], "--gw-server-service-location"),
        (["--gw-server-service-nodeport", "70000"], "--gw-server-service-nodeport"),
        (
            ["--gw-server-service-type", "ClusterIP", "--gw-server-service-nodeport", "30001"],
            "--gw-server-service-nodeport 30001: a Service of type ClusterIP has no node port",
        ),
        (
            ["--gw-server-service-type", "NodePort", "--gw-server-service-loadbalancerip", "1.2.3.4"],
            "--gw-server-service-loadbalancerip 1.2.3.4: a Service of type NodePort has no load balancer",
        ),
        (["--gw-server-service-loadbalancerip", "1.2.3"], "--gw-server-service-loadbalancerip"),
        (
            ["--gw-client-address", "1.2.3.4:51840"],
            "give the address alone, and the port with --gw-client-port",
        ),
        (["--in-band", "--networking-disabled"], "--in-band: there is no tunnel"),
        (["--in-band", "--proxy-url", "http://milan:8118"], "each names a way to the provider"),
        (["--proxy-url", "milan:8118"], "is not a valid proxy URL"),
        (["--create-virtual-node", "perhaps"], "--create-virtual-node"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_wrong_flags_are_told_before_any_cluster_is_asked(
    flags: list[str], said: str, kubeconfigs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails(["peer", *kubeconfigs, *flags], capsys)
    assert code == 2
    assert said in error


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["connect", "--mtu", "575"], "--mtu 575 cannot work"),
        (["connect", "--gw-server-type", "v1/pods"], '--gw-server-type "v1/pods" is of no kind'),
        (["connect", "--wait=perhaps"], "--wait"),
        (["disconnect", "--timeout", "1"], '"1" is not a valid duration'),
        (["sever"], "No such command"),
    ],
)
def test_wrong_flags_of_network_are_told_before_any_cluster_is_asked(
    flags: list[str], said: str, kubeconfigs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails(["network", flags[0], *kubeconfigs, *flags[1:]], capsys)
    assert code == 2
    assert said in error


@pytest.mark.parametrize("command", ["connect", "disconnect", "reset"])
def test_help_of_network_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["network", command, "--help"], "isthmus") == 0
    assert f"isthmus network {command} --remote-kubeconfig" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["peer", "unpeer"])
def test_a_kubeconfig_that_is_none_is_said(
    command: str, kubeconfigs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("clusters: [")
    for path in (str(broken), str(tmp_path)):
        for side, wrong in (("local", [path, kubeconfigs[3]]), ("remote", [kubeconfigs[1], path])):
            code, error = fails([command, "--kubeconfig", wrong[0], "--remote-kubeconfig", wrong[1]], capsys)
            assert code == 1
            assert error.startswith(f"error: {side} cluster, --")
            assert path in error


@pytest.mark.parametrize("command", ["peer", "unpeer"])
def test_which_kubeconfig_is_wrong_is_said(
    command: str, kubeconfigs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local, remote = kubeconfigs[1], kubeconfigs[3]
    gone = str(tmp_path / "gone")
    code, error = fails([command, "--kubeconfig", gone, "--remote-kubeconfig", remote], capsys)
    assert (code, error.startswith(f"error: local cluster, --kubeconfig: {gone}: no such file")) == (1, True)
    code, error = fails([command, "--kubeconfig", local, "--remote-kubeconfig", gone], capsys)
    assert code == 1
    assert error.startswith(f"error: remote cluster, --remote-kubeconfig: {gone}: no such file")
    code, error = fails([command, "--kubeconfig", local], capsys)
    assert code == 2
    assert "no remote cluster given: add --remote-kubeconfig" in error


def test_a_cluster_that_does_not_answer_is_named(
    kubeconfigs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails(["peer", *kubeconfigs, "--networking-disabled", "--mtu", "1300"], capsys)
    assert code == 1
    assert "the local cluster at https://127.0.0.1:1 cannot be reached" in error
    code, error = fails(["unpeer", *kubeconfigs, "--skip-confirm"], capsys)
    assert code == 1
    assert "force unpeer" in error


def test_resources_of_all_flags_are_one() -> None:
    assert merge_resources("4", None, "10", (("nvidia.com/gpu", "1"),)) == {
        "cpu": "4",
        "pods": "10",
        "nvidia.com/gpu": "1",
    }
    with pytest.raises(CommandError, match="memory is given twice"):
        merge_resources(None, "1Gi", None, (("memory", "2Gi"),))


def present(**spec: str) -> RawObject:
    return RawObject(
        metadata=msgspec.convert(
            {
                "name": "milan",
                "uid": "1",
                "resourceVersion": "7",
                "labels": {"a": "1", "user": "x"},
                "finalizers": ["f"],
            },
            type(RawObject().metadata),
        ),
        spec=msgspec.Raw(msgspec.json.encode(spec)),
    )


def test_writing_what_is_there_changes_nothing() -> None:
    manifest = {"metadata": {"name": "milan", "labels": {"a": "1"}}, "spec": {"class": "default"}}
    kept = frozenset({"csr"})
    assert merge(present(**{"class": "default", "csr": "x"}), manifest, kept) is None
    assert merge(present(**{"class": "default", "other": "x"}), manifest, kept) is not None


def test_a_change_keeps_what_others_wrote() -> None:
    manifest = {"metadata": {"name": "milan", "labels": {"a": "2"}}, "spec": {"class": "gold"}}
    changed = merge(present(**{"class": "default", "csr": "x"}), manifest, frozenset({"csr"}))
    assert changed is not None
    assert changed["spec"] == {"class": "gold", "csr": "x"}
    assert changed["metadata"]["labels"] == {"a": "2", "user": "x"}
    assert changed["metadata"]["resourceVersion"] == "7"
    assert changed["metadata"]["finalizers"] == ["f"]


def slice_(granted: dict[str, str], *statuses: str) -> ResourceSlice:
    conditions = [{"type": kind, "status": status} for kind, status in zip(KINDS, statuses, strict=False)]
    return msgspec.convert({"status": {"resources": granted, "conditions": conditions}}, ResourceSlice)


KINDS = ("Authentication", "Resources")


@pytest.mark.parametrize(
    ("found", "answered"),
    [
        (None, False),
        (slice_({}), False),
        (slice_({"cpu": "2"}, "Accepted", "Accepted"), False),
        (slice_({"cpu": "4000m", "memory": "8Gi"}, "Accepted", "Accepted"), True),
        (slice_({"cpu": "2"}, "Accepted", "Denied"), True),
    ],
)
def test_a_provider_has_answered_when_it_grants_what_is_asked_or_denies(
    found: ResourceSlice | None, answered: bool
) -> None:
    assert is_granted(found, {"cpu": "4"}) is answered
