"""Clusters as commands find them: Isthmus installed, its controllers played; and commands run against two of them.

`install` places what an installation has, `Played` does at once what the controllers of a peering would do, as far
as commands look at it. A test switches one off by `idle`, or says by `denial` and `grants` what it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.api import names
from isthmus.peering.secret_data import encode
from tests.apiserver import Admission, ApiServer, Change, Json, Outcome, Place, command, kubeconfig

PEER, REPLICATION, REPLICATED = "liqo.io/remote-cluster-id", "liqo.io/replication", "liqo.io/replicated"
HERE, THERE = "liqo-tenant-milan", "liqo-tenant-rome"
"""The tenant namespaces: rome's for milan, and milan's for rome."""
NONCE = encode(encode(b"n" * 64))
"""As a Secret carries it."""
KEYS = {"privateKey": "-----BEGIN PRIVATE KEY-----\n{}", "publicKey": "-----BEGIN PUBLIC KEY-----\n{}"}
OFFERED = {"cpu": "4", "memory": "8Gi", "pods": "110"}
"""What a provider grants unasked."""


def install(api: ApiServer, id: str) -> None:
    """Place what an installation leaves in a cluster, its controller ready and its key pair made."""
    for namespace in ("kube-system", "liqo", "shop"):
        api.create("namespaces", {"metadata": {"name": namespace}})
    labels = {"app.kubernetes.io/name": "clusterid-configmap"}
    metadata = {"name": "liqo-clusterid-configmap", "namespace": "liqo", "labels": labels}
    api.create("configmaps", {"metadata": metadata, "data": {"CLUSTER_ID": id}})
    role = "controller-manager"
    labels = {"app.kubernetes.io/name": role, "app.kubernetes.io/component": role}
    metadata = {"name": "liqo-controller-manager", "namespace": "liqo", "labels": labels}
    container = {
        "image": "isthmus:1.2.3",
        "env": [{"name": "ISTHMUS_OPTIONS", "value": '{"key_type": "Ed25519"}'}],
    }
    spec = {"template": {"spec": {"containers": [container]}}}
    api.create("deployments", {"metadata": metadata, "spec": spec, "status": {"readyReplicas": 1}})
    data = {key: encode(text.format(id)) for key, text in KEYS.items()}
    api.create(
        "secrets", {"metadata": {"name": names.AUTHENTICATION_KEYS, "namespace": "liqo"}, "data": data}
    )


def tenant_namespace(api: ApiServer, peer: str, name: str = "") -> None:
    """Place the tenant namespace for a peer."""
    labels = {"liqo.io/tenant-namespace": "true", PEER: peer}
    api.create("namespaces", {"metadata": {"name": name or names.tenant_namespace(peer), "labels": labels}})


def conditions(status: str, **rest: str) -> list[Json]:
    """Both conditions of a ResourceSlice."""
    return [{"type": kind, "status": status, **rest} for kind in ("Authentication", "Resources")]


@dataclass(eq=False)
class Played:
    """The controllers of the cluster `id`, whose peer is `other`."""

    api: ApiServer
    id: str
    other: ApiServer
    other_id: str
    idle: set[str] = field(default_factory=set)
    """The kinds that nobody looks after, and "quotas" where slices' Quotas do not follow."""
    denial: Json = field(default_factory=dict)
    """Reason and message of a provider that grants no slice."""
    grants: dict[str, str] = field(default_factory=dict)
    """What a slice of this cluster is granted, whatever it asks for; {} grants what it asks for."""

    def __post_init__(self) -> None:
        self.api.on_change(self._react)

    def _react(self, change: Change) -> None:
        plural = change.place.plural
        react: Callable[[Place, Json], None] | None = getattr(
            self, f"_{'lost_' if change.type == 'DELETED' else ''}{plural}", None
        )
        if react is not None and plural not in self.idle:
            react(change.place, change.new)

    def _merge(self, place: Place, patch: Json) -> None:
        self.api.merge(*place, patch)

    def _secrets(self, place: Place, secret: Json) -> None:
        data = secret.get("data", {})
        if place.name == names.NONCE_SECRET and not data.get("nonce"):
            self._merge(place, {"data": {"nonce": NONCE}})
        elif place.name == names.SIGNED_NONCE_SECRET:
            self._merge(place, {"data": {"signedNonce": encode(f"{self.id} signs {data['nonce']}")}})

    def _tenants(self, place: Place, tenant: Json) -> None:
        parameters = {"ca": encode("ca"), "signedCRT": encode("certificate"), "apiServer": self.api.url}
        self._merge(place, {"status": {"tenantNamespace": place.namespace, "authParams": parameters}})
        binding = {"namespace": place.namespace, "name": names.ROLE_BINDING_REMOTE_CONTROL_PLANE}
        drained = tenant["spec"].get("tenantCondition") == "Drained"
        present = self.api.get("rolebindings", place.namespace, binding["name"]) is not None
        if drained and present:
            self.api.delete("rolebindings", place.namespace, binding["name"])
        elif not drained and not present:
            self.api.create("rolebindings", {"metadata": binding})
        for copy in self.api.list("resourceslices", place.namespace):
            if drained:
                self.api.delete("resourceslices", place.namespace, copy["metadata"]["name"])
            else:
                cordoned = "true" if tenant["spec"].get("tenantCondition") == "Cordoned" else None
                mark = {"metadata": {"annotations": {"liqo.io/cordon-tenant": cordoned}}}
                self.api.merge("resourceslices", place.namespace, copy["metadata"]["name"], mark)

    def _identities(self, place: Place, identity: Json) -> None:
        name = names.kubeconfig_secret(place.name)
        if self.api.get("secrets", place.namespace, name) is None:
            marks = {PEER: identity["metadata"]["labels"][PEER], "liqo.io/identity-type": "ControlPlane"}
            metadata = {"namespace": place.namespace, "name": name, "labels": marks}
            owned = metadata | {"ownerReferences": [owner(identity)]}
            self.api.create("secrets", {"metadata": owned, "data": {"kubeconfig": encode("a kubeconfig\n")}})
        self._merge(place, {"status": {"kubeconfigSecretRef": {"name": name}}})

    def _resourceslices(self, place: Place, slice_: Json) -> None:
        if REPLICATED in slice_["metadata"]["labels"]:
            self._follow(place, slice_)
            return
        there = Place("resourceslices", names.tenant_namespace(self.id), place.name)
        if there not in self.other.objects:
            marks = {REPLICATED: "true", "liqo.io/originID": self.id, PEER: self.id}
            metadata = {"namespace": there.namespace, "name": there.name, "labels": marks}
            spec = {**slice_["spec"], "consumerClusterID": self.id}
            self.other.create("resourceslices", {"metadata": metadata, "spec": spec})
        asked = slice_["spec"].get("resources", {})
        status: Json = {"conditions": conditions("Accepted"), "resources": self.grants or OFFERED | asked}
        if self.denial:
            status = {"conditions": conditions("Denied", **self.denial)}
        self._merge(place, {"spec": {"consumerClusterID": self.id}, "status": status})
        if not self.denial:
            self._want_node(place, slice_)

    def _want_node(self, place: Place, slice_: Json) -> None:
        wanted = slice_["metadata"].get("annotations", {}).get("liqo.io/create-virtual-node") == "true"
        node = ("virtualnodes", place.namespace, place.name)
        if wanted and node not in self.api.objects and "virtualnodes" not in self.idle:
            metadata = {"namespace": place.namespace, "name": place.name, "labels": {PEER: self.other_id}}
            owned = metadata | {"ownerReferences": [owner(slice_)]}
            self.api.create("virtualnodes", {"metadata": owned, "spec": {"clusterID": self.other_id}})

    def _follow(self, place: Place, copy: Json) -> None:
        """Have the Quota of a consumer's slice say what the slice's marks say."""
        name = names.resource_slice_user(place.name, copy["spec"]["consumerClusterID"])
        marks = copy["metadata"].get("annotations", {})
        cordoned = "true" in (marks.get("liqo.io/cordon"), marks.get("liqo.io/cordon-tenant"))
        if "quotas" in self.idle:
            return
        if self.api.get("quotas", place.namespace, name) is None:
            metadata = {"namespace": place.namespace, "name": name, "labels": {PEER: self.other_id}}
            owned = metadata | {"ownerReferences": [owner(copy)]}
            self.api.create("quotas", {"metadata": owned, "spec": {"user": name, "cordoned": cordoned}})
        self.api.merge("quotas", place.namespace, name, {"spec": {"cordoned": cordoned}})

    def _lost_resourceslices(self, place: Place, slice_: Json) -> None:
        there = ("resourceslices", names.tenant_namespace(self.id), place.name)
        if REPLICATION in slice_["metadata"]["labels"] and there in self.other.objects:
            self.other.delete(*there)

    def _virtualnodes(self, place: Place, _: Json) -> None:
        if self.api.get("nodes", "", place.name) is None:
            metadata = {"name": place.name, "labels": {PEER: self.other_id, "liqo.io/type": "virtual-node"}}
            status = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.api.create("nodes", {"metadata": metadata, "spec": {}, "status": status})

    def _lost_virtualnodes(self, place: Place, _: Json) -> None:
        if self.api.get("nodes", "", place.name) is not None:
            self.api.delete("nodes", "", place.name)
        slice_ = self.api.get("resourceslices", place.namespace, place.name)
        if slice_ is not None and "deletionTimestamp" not in slice_["metadata"]:
            self._want_node(place, slice_)


def owner(value: Json) -> Json:
    """A reference to an owner."""
    return {
        "apiVersion": value["apiVersion"],
        "kind": value["kind"],
        **{key: value["metadata"][key] for key in ("name", "uid")},
    }


@dataclass(eq=False)
class Duo:
    """Rome and milan, and how commands are run in rome, towards milan; their controllers are played."""

    rome: ApiServer
    milan: ApiServer
    folder: Path
    journal: list[str] = field(default_factory=list)
    """What commands wrote, in order: `milan: create tenants liqo-tenant-rome/rome`."""

    def __post_init__(self) -> None:
        self.consumer = Played(self.rome, "rome", self.milan, "milan")
        self.provider = Played(self.milan, "milan", self.rome, "rome")
        for name, api in (("rome", self.rome), ("milan", self.milan)):
            kubeconfig(api, self.folder, name)
            self._keep_journal(name, api)

    def _keep_journal(self, name: str, api: ApiServer) -> None:
        def note(review: Admission) -> None:
            if not review.dry_run:
                where = f"{review.place.namespace}/" if review.place.namespace else ""
                plural = "/".join(part for part in (review.place.plural, review.subresource) if part)
                self.journal.append(f"{name}: {review.operation.lower()} {plural} {where}{review.place.name}")

        api.admission.append(note)

    async def __call__(self, *words: str) -> Outcome:
        """Run a command in rome, with the flag that names milan."""
        return await self.alone(*words, "--remote-kubeconfig", str(self.folder / "milan"))

    async def alone(self, *words: str, where: str = "rome") -> Outcome:
        """Run a command about one cluster."""
        return await command(*words, "--kubeconfig", self.folder / where)

    def start(self, *words: str, where: str = "rome") -> asyncio.Task[Outcome]:
        """Run a command about one cluster beside the test."""
        return asyncio.create_task(self.alone(*words, where=where))

    def wrote(self, *words: str) -> list[str]:
        """Of the journal, the entries with one of these words."""
        return [one for one in self.journal if any(word in one for word in words)]


def failure(ended: Outcome, code: int = 1) -> str:
    """The one error of a command that failed, without `error: `."""
    assert "Traceback" not in ended.err
    assert "fault of isthmus" not in ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert (ended.code, len(errors)) == (code, 1), ended
    return errors[0].removeprefix("error: ")
