"""What the flags of `isthmus install` stand for, and which are refused; no cluster is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.cli.execution import execute


def values(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The values that a command line stands for."""
    assert execute(["install", *arguments, "--only-output-values"], "isthmus") == 0
    return yaml.safe_load(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one error of a command line that is refused."""
    assert execute(["install", *arguments], "isthmus") == code
    shown = capsys.readouterr()
    assert shown.out == ""
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def test_metrics_are_a_service_and_a_monitor(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"enabled": True, "prometheusOperator": {"enabled": True}}
    assert values(capsys, "--enable-metrics")["metrics"] == wanted
    assert values(capsys)["metrics"] == {"enabled": False, "prometheusOperator": {"enabled": False}}


def test_the_check_of_kernels_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert values(capsys, "--disable-kernel-version-check")["requirements"] == {"kernel": {"enabled": False}}
    assert values(capsys)["requirements"] == {"kernel": {"enabled": True}}


def test_global_marks_become_values(capsys: pytest.CaptureFixture[str]) -> None:
    tracking = "argocd.argoproj.io/tracking-id=x:${group}/${kind}:${namespace}/${name}"
    common = values(capsys, "--global-labels", "team=a,kind=${kind}", "--global-annotations", tracking)[
        "common"
    ]
    assert common["globalLabels"] == {"liqo.io/managed": "true", "team": "a", "kind": "${kind}"}
    assert list(common["globalAnnotations"]) == ["argocd.argoproj.io/tracking-id"]


@pytest.mark.parametrize("name", ["kubeadm", "k3s", "kind", "openshift", "aks", "eks", "gke"])
def test_a_provider_is_told_to_peers(capsys: pytest.CaptureFixture[str], name: str) -> None:
    found = values(capsys, name, "--cluster-labels", "region=eu")
    assert found["discovery"]["config"]["clusterLabels"] == {"liqo.io/provider": name, "region": "eu"}


def test_flags_may_stand_before_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    before = values(
        capsys, "--cluster-id", "rome", "--pod-cidr=10.1.0.0/16", "k3s", "--pod-cidr", "10.2.0.0/16"
    )
    assert before["discovery"]["config"]["clusterID"] == "rome"
    assert before["ipam"]["podCIDRs"] == ["10.1.0.0/16", "10.2.0.0/16"]


def test_flags_win_over_what_a_provider_needs(capsys: pytest.CaptureFixture[str]) -> None:
    path = ("networking", "gatewayTemplates", "server", "service", "annotations")
    key = "service.beta.kubernetes.io/aws-load-balancer-type"
    for given, expected in (
        ((), "nlb"),
        (("--set", rf"{'.'.join(path)}.{key.replace('.', chr(92) + '.')}=x"), "x"),
    ):
        found = values(capsys, "eks", *given)
        for part in path:
            found = found[part]
        assert found == {key: expected}


def test_the_name_of_an_azure_cluster_is_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        values(capsys, "aks", "--fqdn", "rome.azmk8s.io")["apiServer"]["address"]
        == "https://rome.azmk8s.io:443"
    )
    both = values(capsys, "aks", "--fqdn", "rome.azmk8s.io", "--api-server-url", "https://10.0.0.1:6443")
    assert both["apiServer"]["address"] == "https://10.0.0.1:6443"


def test_flags_that_say_which_cluster_it_is_are_taken_and_said_to_be_idle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--resource-name", "rome", "--subscription-id", "1"]
    assert execute(["install", "aks", *given, "--only-output-values"], "isthmus") == 0
    shown = capsys.readouterr()
    assert "--resource-name, --subscription-id: not needed" in shown.err
    assert yaml.safe_load(shown.out)["apiServer"]["address"] == ""


@pytest.mark.parametrize(
    ("arguments", "flag", "mend"),
    [
        (["--repo-url", "https://example.org/liqo"], "--repo-url", "--image and --version"),
        (["--local-chart-path", "./chart"], "--local-chart-path", "--values"),
        (["k3s", "--repo-url", "x"], "--repo-url", "--image and --version"),
        (["eks", "--user-name", "x"], "--user-name", "users of AWS are not supported"),
        (["eks", "--policy-name", "x"], "--policy-name", "users of AWS are not supported"),
        (["eks", "--access-key-id", "x"], "--access-key-id", "users of AWS are not supported"),
        (["aks", "--private-link"], "--private-link", "--api-server-url"),
        (["--dump-values-path", "x.yaml"], "--dump-values-path", "--only-output-values"),
        (["digitalocean"], "digitalocean", "kubeadm, k3s, kind"),
    ],
)
def test_what_cannot_be_honoured_is_one_error_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], flag: str, mend: str
) -> None:
    error = refused(capsys, *arguments)
    assert flag in error
    assert mend in error


def test_a_namespace_or_a_duration_that_cannot_be_is_told_before_any_cluster_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert "kube-system" in refused(capsys, "--namespace", "kube-system", code=1)
    assert '"soon"' in refused(capsys, "--timeout", "soon")


def test_a_secret_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "hush" not in refused(capsys, "eks", "--secret-access-key", "hush")


def test_values_are_written_where_they_are_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    given = ["--cluster-id", "rome", "--only-output-values", "--dump-values-path"]
    assert execute(["install", *given, str(file)], "isthmus") == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert str(file) in shown.err
    assert values(capsys, "--values", str(file))["discovery"]["config"]["clusterID"] == "rome"
    error = refused(capsys, *given, str(tmp_path / "absent" / "values.yaml"), code=1)
    assert "--dump-values-path" in error
    assert "No such file" in error
