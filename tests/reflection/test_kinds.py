"""ConfigMaps and Secrets: what is particular to each."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from isthmus.api import labels
from isthmus.reflection import configmaps, secrets
from isthmus.reflection.content import Content, RemoteContent
from isthmus.reflection.session import ReflectorOptions
from tests.reflection.support import session


def content(type_: type[Content] = Content, name: str = "c", **fields: Any) -> Content:
    metadata = {"name": name, "namespace": "shop"} | fields.pop("metadata", {})
    return convert({"metadata": metadata, **fields}, type_)


def test_the_root_authority_is_renamed_both_ways() -> None:
    kind = configmaps.plan(session())
    assert kind.remote_name("kube-root-ca.crt") == "kube-root-ca.crt.rome"
    assert kind.local_name("kube-root-ca.crt.rome") == "kube-root-ca.crt"
    assert kind.remote_name("settings") == kind.local_name("settings") == "settings"
    assert kind.local_name("kube-root-ca.crt") is None, "that is the provider's own"
    long = configmaps.plan(session(home_id="rome-eu"))
    assert long.remote_name("kube-root-ca.crt") == "kube-root-ca.crt.rome-a"


def test_the_root_authority_is_reflected_unless_it_is_annotated() -> None:
    kind, allow = configmaps.plan(session()), ReflectorOptions(type="AllowList")
    assert kind.takes(content(name="kube-root-ca.crt"), allow)
    assert not kind.takes(content(), allow)
    skipped = {"annotations": {labels.SKIP_REFLECTION: "true"}}
    assert not kind.takes(content(name="kube-root-ca.crt", metadata=skipped), allow)


def test_a_config_map_is_copied_as_it_is() -> None:
    kind = configmaps.plan(session())
    local = content(data={"a": "1"}, binaryData={"b": "AAE="}, immutable=True)
    assert kind.forge(local) == {"data": {"a": "1"}, "binaryData": {"b": "AAE="}, "immutable": True}
    assert "immutable" not in kind.forge(content())


def test_a_frozen_copy_that_differs_is_made_anew() -> None:
    kind = configmaps.plan(session())
    frozen = content(RemoteContent, data={"a": "1"}, immutable=True)
    assert kind.immovable(content(data={"a": "2"}, immutable=True), frozen)
    assert kind.immovable(content(data={"a": "1"}), frozen)
    assert not kind.immovable(content(data={"a": "1"}, immutable=True), frozen)
    assert not kind.immovable(content(data={"a": "2"}), content(RemoteContent, data={"a": "1"}))
    assert kind.same(content(data={"a": "1"}), content(RemoteContent, data={"a": "1"}, immutable=False))


def test_a_secret_keeps_its_type() -> None:
    kind = secrets.plan(session())
    tls = content(type="kubernetes.io/tls", data={"tls.crt": "eA=="})
    assert kind.forge(tls) == {"type": "kubernetes.io/tls", "data": {"tls.crt": "eA=="}}
    assert kind.forge(content()) == {"type": "Opaque", "data": {}}
    assert kind.immovable(tls, content(RemoteContent, type="Opaque", data={"tls.crt": "eA=="}))
    assert kind.same(content(), content(RemoteContent, type="Opaque"))


def test_tokens_and_helm_are_not_even_watched() -> None:
    kind = secrets.plan(session())
    assert kind.field_selector == "type!=kubernetes.io/service-account-token,type!=helm.sh/release.v1"
    token = content(RemoteContent, metadata={"labels": {labels.SERVICE_ACCOUNT_NAME: "default"}})
    assert not kind.owns(token)
    assert kind.owns(content(RemoteContent))
