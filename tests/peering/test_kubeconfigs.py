"""The kubeconfig made of an Identity: what stock tools expect, and nothing a provider can smuggle in (wire.md 5)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube.builtin import Secret
from isthmus.kube.credentials import parse_kubeconfig
from isthmus.peering.errors import RefusedError
from isthmus.peering.identities import (
    forge_renew,
    forge_slice_identity,
    plan_secret,
    plan_spec,
    require_identity,
)
from isthmus.peering.kubeconfigs import forge_kubeconfig_secret, render_kubeconfig, require_params
from isthmus.peering.secret_data import encode

from .objects import PEM, decode, identity, params, slice_

KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def test_the_control_planes_kubeconfig() -> None:
    text = render_kubeconfig(identity(proxyURL="http://10.70.0.1:8118"), KEY)
    config = yaml.safe_load(text)
    assert config["current-context"] == "default-context"
    assert config["clusters"] == [
        {
            "name": "milan",
            "cluster": {
                "server": "https://172.29.2.1:6443",
                "certificate-authority-data": encode(PEM),
                "proxy-url": "http://10.70.0.1:8118",
            },
        }
    ]
    assert config["contexts"][0]["context"] == {
        "cluster": "milan",
        "user": "controlplane-milan",
        "namespace": "liqo-tenant-rome",
    }
    assert config["users"][0]["user"] == {
        "client-certificate-data": encode(PEM),
        "client-key-data": encode(KEY),
    }
    credentials = parse_kubeconfig(text)
    assert credentials.server == "https://172.29.2.1:6443"
    assert credentials.client_key_data == KEY


def test_a_slices_kubeconfig_has_no_namespace() -> None:
    config = yaml.safe_load(render_kubeconfig(identity("ResourceSlice", ca=""), KEY))
    assert "namespace" not in config["contexts"][0]["context"]
    assert "certificate-authority-data" not in config["clusters"][0]["cluster"]


@pytest.mark.parametrize(
    "changes",
    [
        {"apiServer": "http://172.29.2.1:6443"},
        {"apiServer": "https://"},
        {"apiServer": "https://host:99999"},
        {"apiServer": "https://host\n    insecure-skip-tls-verify: true"},
        {"apiServer": "https://" + "a" * 3000},
        {"proxyURL": "file:///etc/passwd"},
        {"signedCRT": ""},
        {"signedCRT": "?"},
        {"signedCRT": encode("no certificate")},
        {"ca": encode("no certificate")},
        {"ca": encode(PEM * 2000)},
        {"awsConfig": {"awsRegion": "x"}},
    ],
)
def test_unusable_parameters_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        require_params(identity(**changes).spec.auth_params)


@given(st.text(max_size=60))
def test_no_url_breaks_out_of_its_field(text: str) -> None:
    found = identity(apiServer=f"https://host/{text}")
    try:
        rendered = render_kubeconfig(found, KEY)
    except RefusedError:
        return
    assert yaml.safe_load(rendered)["clusters"][0]["cluster"]["server"] == f"https://host/{text}"


def test_the_secret_is_found_by_the_replicator_and_owned() -> None:
    metadata = forge_kubeconfig_secret(identity(), "x")["metadata"]
    assert metadata["name"] == "kubeconfig-controlplane-milan"
    assert metadata["labels"] == {
        "liqo.io/identity-type": "ControlPlane",
        "liqo.io/remote-cluster-id": "milan",
    }
    assert metadata["annotations"] == {"liqo.io/remote-tenant-namespace": "liqo-tenant-rome"}
    assert metadata["ownerReferences"][0]["controller"] is True
    of_slice = forge_kubeconfig_secret(identity("ResourceSlice"), "x")["metadata"]
    assert of_slice["labels"]["liqo.io/identity-type"] == "ResourceSlice"
    assert "annotations" not in of_slice


def test_a_secret_is_written_only_where_it_differs() -> None:
    wanted = forge_kubeconfig_secret(identity(), "x")
    present = decode(Secret, {**wanted, "data": {**wanted["data"], "extra": "eA=="}})
    assert plan_secret(present, wanted) is None
    patch = plan_secret(present, forge_kubeconfig_secret(identity(), "y"))
    assert patch is not None
    assert patch["data"] == {"kubeconfig": encode("y")}


def test_identities_that_say_nothing_sure_are_refused() -> None:
    require_identity(identity())
    broken = identity()
    for change in ({"clusterID": "X"}, {"clusterID": "turin"}, {"namespace": ""}):
        manifest = {
            "metadata": {"labels": broken.metadata.labels},
            "spec": {"clusterID": "milan", "type": "ControlPlane", "namespace": "ns", **change},
        }
        with pytest.raises(RefusedError):
            require_identity(decode(type(broken), manifest))


def test_the_identity_of_a_slice() -> None:
    manifest = forge_slice_identity(slice_("gpu", copy=False), params())
    assert manifest["metadata"]["name"] == "resourceslice-gpu"
    assert manifest["metadata"]["ownerReferences"][0]["kind"] == "ResourceSlice"
    assert manifest["spec"]["clusterID"] == "milan"


def test_a_new_spec_drops_parameters_that_are_gone() -> None:
    patch = plan_spec(identity(proxyURL="http://p:1"), {"authParams": {"apiServer": "https://n:1"}})
    assert patch["spec"]["authParams"] == {
        "ca": None,
        "signedCRT": None,
        "proxyURL": None,
        "apiServer": "https://n:1",
    }


def test_the_renew_is_replicated_and_owned() -> None:
    renew = forge_renew(identity(), "rome")
    assert renew["metadata"]["name"] == "controlplane-milan"
    assert renew["metadata"]["labels"]["liqo.io/replication"] == "true"
    assert renew["spec"] == {"consumerClusterID": "rome", "identityType": "ControlPlane"}
