"""Command lines as scripts for liqoctl and kubectl have them: other names, flags in front of the verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.cli.connection import override, take_connection
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import execute
from isthmus.cli.groups import take_leading
from isthmus.kube.credentials import Credentials

# From Liqo's documentation and help texts, the names of clusters and files ours.
DOCUMENTED = """
liqoctl install --cluster-id rome
liqoctl install kubeadm --cluster-id rome
liqoctl --kubeconfig absent peer --remote-kubeconfig absent --gw-server-service-type NodePort
liqoctl --kubeconfig=absent --remote-kubeconfig absent peer
liqoctl --context home peer --remote-context away
liqoctl --kubeconfig absent --skip-confirm unpeer --remote-kubeconfig absent
liqoctl -n liqo --verbose info
liqoctl --kubeconfig absent info peer milan
liqoctl info --kubeconfig absent peer milan
liqoctl --kubeconfig absent offload namespace shop --namespace-mapping-strategy EnforceSameName
liqoctl offload --kubeconfig absent ns shop
liqoctl unoffload namespaces shop --skip-confirm
liqoctl --kubeconfig absent network connect --remote-kubeconfig absent
liqoctl network --kubeconfig absent reset --remote-kubeconfig absent --skip-confirm
liqoctl auth --remote-kubeconfig absent --kubeconfig absent
liqoctl unauth --remote-kubeconfig absent --kubeconfig absent --skip-confirm
liqoctl test net --remote-kubeconfigs absent --kubeconfig absent
liqoctl create vn milan --remote-cluster-id milan --kubeconfig-secret-name key
liqoctl create rs milan --remote-cluster-id milan --cpu 2 --memory 4Gi
liqoctl create configuration --remote-cluster-id milan --pod-cidr 10.244.0.0/16 --external-cidr 10.70.0.0/16
liqoctl create config --remote-cluster-id milan --remote-pod-cidr 10.244.0.0/16 --remote-external-cidr 10.70.0.0/16
liqoctl create server --remote-cluster-id milan --type networking.liqo.io/v1beta1/wggatewayservertemplates
liqoctl create gwc --remote-cluster-id milan --addresses 192.0.2.7 --port 51840
liqoctl get kc --remote-cluster-id milan
liqoctl get nonces --remote-cluster-id milan
liqoctl delete publickeys milan
liqoctl cordon tenants rome
liqoctl cordon rs milan --remote-cluster-id rome
liqoctl drain tenants rome --skip-confirm
liqoctl --token abc --server https://192.0.2.1:6443 info
liqoctl info --request-timeout 10s
"""


@pytest.mark.parametrize("line", DOCUMENTED.strip().splitlines())
def test_a_documented_command_line_is_understood(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "absent")
    assert execute(line.split()[1:]) == 1
    assert "absent" in (told := capsys.readouterr().err), told
    assert "no such file" in told


def test_what_stands_in_front_goes_to_the_command_and_nothing_else() -> None:
    assert take_leading(["--kubeconfig", "a", "-v", "--context=b", "peer", "-n", "c"]) == (
        ["--kubeconfig", "a", "-v", "--context=b"],
        ["peer", "-n", "c"],
    )
    assert take_leading(["--help", "peer"]) == ([], ["--help", "peer"])
    assert take_leading(["--kubeconfig"]) == (["--kubeconfig"], [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--kubeconfig absent pear", "pear"),
        ("info --as somebody", "--as cannot be used: impersonation is not supported"),
        (
            "--insecure-skip-tls-verify info",
            "--insecure-skip-tls-verify cannot be used: TLS is always verified",
        ),
        ("info --client-certificate a.pem", "--client-key is missing"),
    ],
)
def test_what_cannot_be_is_refused_by_its_flag(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(line.split()) == 2
    assert said in capsys.readouterr().err


def test_flags_override_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    whole = Credentials("https://home:6443", "shop", "old", "", "CERTIFICATE", "KEY")
    flags = {
        "connection_token": "abc",
        "connection_certificate_authority": str(tmp_path / "ca.pem"),
        "other": 1,
    }
    changed = override(whole, take_connection(flags))
    assert flags == {"other": 1}
    assert (changed.server, changed.token, changed.ca_data, changed.client_key_data) == (
        "https://home:6443",
        "abc",
        "CA",
        "",
    )
    assert override(whole, {}) == whole
    with pytest.raises(CommandError, match="--server"):
        override(whole, {"server": "ftp://x"})
    with pytest.raises(CommandError, match=r"--certificate-authority .*: No such file"):
        override(whole, {"certificate-authority": str(tmp_path / "absent")})
