"""The tokens of offloaded pods: which there are, what they are asked and kept as, when they are renewed."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Key, Object, ObjectMeta
from isthmus.reflection.tokens import (
    IssuedToken,
    PodTokens,
    TokenSource,
    expiration,
    forge_request,
    forge_secret,
    holds_tokens,
    is_current,
    is_of_node,
    is_terminal,
    pod_of,
    read_issued,
    refresh_in,
    wanted_tokens,
)
from tests.reflection.support import session

META = ObjectMeta(name="web-0", namespace="shop", uid="1b")
KEY = "api-3c469e"
WANTED = PodTokens("builder", (TokenSource(KEY, "", 3607),))
ISSUED = {KEY: IssuedToken("jwt", 1_700_003_600.0, 3600.0)}


def pod(spec: dict[str, Any], **metadata: Any) -> Pod:
    manifest = {"metadata": {"name": "web-0", "namespace": "shop", "uid": "1b", **metadata}, "spec": spec}
    return msgspec.json.decode(msgspec.json.encode(manifest), type=Pod)


def projected(*sources: dict[str, Any]) -> dict[str, Any]:
    return {
        "serviceAccountName": "builder",
        "volumes": [{"name": "api", "projected": {"sources": list(sources)}}],
    }


def secret(**changes: Any) -> Object:
    manifest = forge_secret(session(), META, "shop-rome", "builder", ISSUED)
    manifest["metadata"]["labels"] |= changes.pop("labels", {})
    manifest["metadata"]["annotations"] |= changes.pop("annotations", {})
    return msgspec.convert(manifest | changes, Object)


def test_every_projected_token_of_a_pod_is_wanted() -> None:
    spec = projected(
        {"configMap": {"name": "kube-root-ca.crt"}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"serviceAccountToken": {"path": "vault", "audience": "vault"}},
    )
    spec["volumes"] += [{"name": "data", "emptyDir": {}}, {"name": "none", "projected": {"sources": None}}]
    assert wanted_tokens(pod(spec)) == PodTokens(
        "builder", (TokenSource(KEY, "", 3607), TokenSource("api-e6f0a1", "vault", 3600))
    )
    assert wanted_tokens(pod({"volumes": None})).sources == ()


@pytest.mark.parametrize("support", ["remote", "Disabled", "disabled"])
def test_a_pod_that_does_not_talk_to_its_home_has_none(support: str) -> None:
    spec = projected({"serviceAccountToken": {"path": "token"}})
    assert wanted_tokens(pod(spec, annotations={labels.API_SERVER_SUPPORT: support})).sources == ()


def test_a_request_is_bound_to_the_pod() -> None:
    assert forge_request(META, TokenSource("k", "vault", 600))["spec"] == {
        "audiences": ["vault"],
        "expirationSeconds": 600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "1b"},
    }
    assert forge_request(META, TokenSource("k", "", 600))["spec"]["audiences"] == []


def test_the_secret_is_as_the_wire_has_it() -> None:
    later = IssuedToken("other", 1_700_009_000.0, 9000.0)
    manifest = forge_secret(session(), META, "shop-rome", "builder", ISSUED | {"vault-1": later})
    assert manifest["metadata"] == {
        "name": "web-0-token",
        "namespace": "shop-rome",
        "labels": {
            "offloading.liqo.io/origin": "rome",
            "offloading.liqo.io/destination": "milan",
            "offloading.liqo.io/nodename": "milan",
            "offloading.liqo.io/service-account-name": "builder",
        },
        "annotations": {
            "offloading.liqo.io/service-account-for-pod-name": "web-0",
            "offloading.liqo.io/service-account-for-pod-uid": "1b",
            "offloading.liqo.io/service-account-expiration": "2023-11-14T23:13:20Z",
        },
    }
    assert (manifest["type"], manifest["immutable"]) == ("Opaque", False)
    assert base64.b64decode(manifest["data"][KEY]) == b"jwt"
    assert base64.b64decode(manifest["data"]["namespace"]) == b"shop"


def test_a_long_service_account_fits_its_label() -> None:
    manifest = forge_secret(session(), META, "shop-rome", "a" * 62 + "." + "b" * 40, ISSUED)
    assert manifest["metadata"]["labels"][labels.SERVICE_ACCOUNT_NAME] == "a" * 62


def test_a_secret_serves_only_the_very_pod_it_was_made_for() -> None:
    view = session()
    assert is_current(view, META, "builder", secret())
    assert not is_current(view, msgspec.structs.replace(META, uid="2c"), "builder", secret())
    assert not is_current(view, META, "another", secret())
    assert not is_current(view, META, "builder", secret(labels={labels.NODE_NAME: "other"}))
    assert is_current(view, META, "builder", secret(labels={"added": "there"}))


def test_tokens_are_renewed_at_four_fifths_of_their_life() -> None:
    issued_at, expires = 1_700_000_000.0, expiration(secret())
    assert refresh_in(expires, 3600.0, issued_at, 0.0) == 2880.0
    assert refresh_in(expires, 3600.0, issued_at, 1.0) == 2850.0, "a little earlier, not all at once"
    assert refresh_in(expires, 3600.0, issued_at + 3000, 0.0) < 0
    broken = secret(annotations={labels.SERVICE_ACCOUNT_EXPIRATION: "soon"})
    assert refresh_in(expiration(broken), 3600.0, issued_at, 0.0) < 0


def test_whose_tokens_a_secret_holds() -> None:
    view = session()
    assert holds_tokens(secret())
    assert is_of_node(view, secret())
    assert not is_of_node(view, secret(labels={labels.NODE_NAME: "other"}))
    assert pod_of(secret(), "shop") == (Key("shop", "web-0"),)
    assert pod_of(secret(annotations={labels.SERVICE_ACCOUNT_POD_NAME: "another"}), "shop") == ()


def test_terminal_pods_are_known() -> None:
    for phase, ended in {"Running": False, "Pending": False, "Succeeded": True, "Failed": True}.items():
        manifest = {"metadata": {}, "spec": {}, "status": {"phase": phase}}
        assert is_terminal(msgspec.json.decode(msgspec.json.encode(manifest), type=Pod)) is ended


def test_an_answer_is_read_and_its_token_never_shown() -> None:
    answer = {
        "spec": {"expirationSeconds": 3607},
        "status": {"token": "s3cr3t", "expirationTimestamp": "2023-11-14T22:13:20Z"},
    }
    issued = read_issued(msgspec.json.encode(answer))
    assert issued == IssuedToken("s3cr3t", 1_700_000_000.0, 3607.0)
    assert "s3cr3t" not in repr(issued)
    with pytest.raises(msgspec.ValidationError) as caught:
        read_issued(b'{"status":{"token":"s3cr3t","expirationTimestamp":"later"}}')
    assert "s3cr3t" not in str(caught.value)
