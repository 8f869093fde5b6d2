"""Wrong input on real API servers: each its one clear error, exit code not 0, nothing left half-done.

Clusters that are wrong in some way are the same clusters seen through another namespace: an id is what the
ConfigMap in --namespace says. Only a provider without CRDs needs an API server of its own.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.cluster.endings import Endings
from tests.cluster.support import ISTHMUS, Cluster, deployment, isthmus

WRITTEN = (
    "namespaces",
    "tenants.authentication.liqo.io",
    "identities.authentication.liqo.io",
    "resourceslices.authentication.liqo.io",
    "namespaceoffloadings.offloading.liqo.io",
    "secrets",
)


def objects(*clusters: Cluster) -> set[str]:
    """Every object that peering or offloading could have made, by cluster, kind and uid."""
    return {
        f"{cluster.name} {item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']} "
        f"{item['metadata']['uid']}"
        for cluster in clusters
        for item in cluster.items(",".join(WRITTEN), "-A")
    }


def refused(*arguments: str) -> str:
    """The one error of a command that must fail; nothing on stdout, no traceback."""
    done = isthmus(*arguments, check=False)
    assert done.returncode in (1, 2), done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


def peer(local: Path, remote: Path, *more: str) -> str:
    return refused(
        "peer", "--kubeconfig", str(local), "--remote-kubeconfig", str(remote), "--timeout", "60s", *more
    )


def altered(cluster: Cluster, directory: Path, old: str, new: str) -> Path:
    """A copy of the kubeconfig with some text replaced."""
    text = cluster.kubeconfig.read_text()
    assert old in text
    path = directory / "altered.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(text.replace(old, new))
    return path


@pytest.fixture(scope="module")
def identified(milan: Cluster, endings: Endings) -> Iterator[tuple[Cluster, str]]:
    """A namespace of milan in which its id can be said to be another; takes no part in anything."""
    name = f"other-{uuid.uuid4().hex[:8]}"
    milan.kubectl("create", "namespace", name)
    yield milan, name
    endings.delete(milan, name)


def claim_id(cluster: Cluster, namespace: str, cluster_id: str) -> None:
    """Have the namespace say that the cluster's id is this."""
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "liqo-clusterid-configmap",
                "namespace": namespace,
                "labels": {"app.kubernetes.io/name": "clusterid-configmap"},
            },
            "data": {"CLUSTER_ID": cluster_id},
        }
    )


def test_a_kubeconfig_that_is_none(installed: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    """The other ways of having none, for each command and side, are in tests/cli/test_peer."""
    broken = tmp_path / "broken"
    broken.write_text("clusters: [")
    error = peer(installed[0].kubeconfig, broken)
    assert "remote" in error
    assert str(broken) in error


def test_an_address_where_nothing_answers(installed: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    rome, milan = installed
    before = objects(rome, milan)
    nowhere = altered(milan, tmp_path, milan.server, milan.server.rpartition(":")[0] + ":7")
    error = peer(rome.kubeconfig, nowhere)
    assert "the remote cluster at" in error
    assert "cannot be reached" in error
    error = peer(nowhere, rome.kubeconfig)
    assert "the local cluster at" in error
    assert not objects(rome, milan) - before


def test_a_certificate_of_another_authority(installed: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    rome, milan = installed
    error = peer(
        rome.kubeconfig, altered(milan, tmp_path, milan.server, rome.server), "--networking-disabled"
    )
    assert "certificate" in error
    assert "--remote-kubeconfig" in error


def test_credentials_that_are_not_accepted(installed: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    rome, milan = installed
    stranger = tmp_path / "stranger"
    stranger.write_text(milan.kubeconfig.read_text())
    for command in (
        ["config", "set-credentials", "stranger", "--token=nobody"],
        ["config", "set-context", "--current", "--user=stranger"],
    ):
        subprocess.run(
            [milan.kubectl_path, "--kubeconfig", stranger, *command], check=True, capture_output=True
        )
    error = peer(rome.kubeconfig, stranger)
    assert "does not accept the credentials" in error
    assert "--remote-kubeconfig" in error


def test_the_same_cluster_twice(installed: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    rome, _ = installed
    before = objects(rome)
    for other in (rome.kubeconfig, altered(rome, tmp_path, rome.server, rome.server + "/")):
        assert "lead to the same cluster" in peer(rome.kubeconfig, other)
    assert "no remote cluster given" in refused("peer", "--kubeconfig", str(rome.kubeconfig))
    assert not objects(rome) - before


def test_two_clusters_with_one_id(
    installed: tuple[Cluster, Cluster], identified: tuple[Cluster, str]
) -> None:
    rome, milan = installed
    claim_id(*identified, "rome")
    before = objects(rome, milan)
    error = peer(rome.kubeconfig, milan.kubeconfig, "--remote-namespace", identified[1])
    assert 'both clusters have the id "rome"' in error
    assert rome.server in error
    assert milan.server in error
    assert not objects(rome, milan) - before


def test_an_id_that_is_no_dns_label_or_too_long_for_the_names_made_from_it(
    installed: tuple[Cluster, Cluster], identified: tuple[Cluster, str]
) -> None:
    rome, milan = installed
    before = objects(rome, milan)
    for cluster_id, said in (
        ("milan_1", 'the id "milan_1" of the remote cluster'),
        ("", 'the id "" of the remote cluster'),
        ("m" * 51, "51 characters"),
    ):
        claim_id(*identified, cluster_id)
        assert said in peer(rome.kubeconfig, milan.kubeconfig, "--remote-namespace", identified[1])
    assert not objects(rome, milan) - before


def test_a_namespace_where_nothing_is_installed(installed: tuple[Cluster, Cluster]) -> None:
    rome, milan = installed
    error = peer(rome.kubeconfig, milan.kubeconfig, "--remote-namespace", "default")
    assert "Isthmus is not installed in the remote cluster" in error
    assert "--remote-namespace" in error
    error = peer(rome.kubeconfig, milan.kubeconfig, "--namespace", "nowhere")
    assert "Isthmus is not installed in the local cluster" in error


def test_a_controller_that_does_not_run(
    installed: tuple[Cluster, Cluster], identified: tuple[Cluster, str]
) -> None:
    rome, milan = installed
    claim_id(*identified, "turin")
    before = objects(rome, milan)
    error = peer(rome.kubeconfig, milan.kubeconfig, "--remote-namespace", identified[1])
    assert "has no controller Deployment" in error
    assert not objects(rome, milan) - before


def test_a_user_who_may_not(installed: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    rome, milan = installed
    token = milan.kubectl("create", "token", "-n", "kube-system", "default").stdout.strip()
    weak = tmp_path / "weak"
    weak.touch(mode=0o600)
    weak.write_text(milan.kubeconfig.read_text())
    for command in (
        ["config", "set-credentials", "weak", f"--token={token}"],
        ["config", "set-context", "--current", "--user=weak"],
    ):
        subprocess.run([milan.kubectl_path, "--kubeconfig", weak, *command], check=True, capture_output=True)
    before = objects(rome, milan)
    error = peer(rome.kubeconfig, weak)
    assert "not allowed" in error
    assert "--remote-kubeconfig" in error
    assert not objects(rome, milan) - before


@pytest.fixture(scope="module")
def bare(rome: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with nothing in it, in a small lab of its own."""
    environment = {**os.environ, "ISTHMUS_LAB_NAME": "bare", "ISTHMUS_LAB_NETWORK": "10.213.0.0/16"}

    def lab(*arguments: str) -> str:
        command = [*ISTHMUS, "lab", *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    lab("up", "--clusters", "1", "--workers", "1")
    try:
        path = tmp_path_factory.mktemp("bare") / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(lab("kubeconfig", "rome"))
        server = yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"]
        yield Cluster("bare", path, rome.kubectl_path, server)
    finally:
        lab("down")


def test_a_provider_without_the_crds(installed: tuple[Cluster, Cluster], bare: Cluster) -> None:
    rome, _ = installed
    before = objects(rome)
    error = peer(rome.kubeconfig, bare.kubeconfig)
    assert "the remote cluster at" in error
    assert "does not have the CRDs of Isthmus (missing: tenants.authentication.liqo.io" in error
    assert "isthmus install" in error
    error = refused("info", "--kubeconfig", str(bare.kubeconfig))
    assert "isthmus install" in error
    error = refused("offload", "namespace", "default", "--kubeconfig", str(bare.kubeconfig))
    assert "isthmus install" in error
    assert not objects(rome) - before


def test_namespaces_that_cannot_be_offloaded(installed: tuple[Cluster, Cluster], endings: Endings) -> None:
    rome, _ = installed
    good = f"good-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", good)
    before = objects(rome)
    for name, said in (
        ("nowhere", 'namespace "nowhere" does not exist in the local cluster "rome"'),
        ("kube-system", 'namespace "kube-system" cannot be offloaded: it belongs to Kubernetes'),
        ("liqo", 'namespace "liqo" cannot be offloaded'),
        ("Not_A_Name", '"Not_A_Name" cannot be the name of a namespace'),
    ):
        error = refused("offload", "namespace", good, name, "--kubeconfig", str(rome.kubeconfig))
        assert said in error
    error = refused("offload", "namespace", "--ns-selector", "a=b=c", "--kubeconfig", str(rome.kubeconfig))
    assert "a=b=c" in error
    error = refused(
        "unoffload", "namespace", "nowhere", "--skip-confirm", "--kubeconfig", str(rome.kubeconfig)
    )
    assert 'namespace "nowhere" does not exist' in error
    assert not objects(rome) - before
    endings.delete(rome, good)


def test_nothing_destructive_happens_unasked(peered: tuple[Cluster, Cluster]) -> None:
    rome, milan = peered
    before = objects(rome, milan)
    error = refused(
        "unpeer", "--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig)
    )
    assert "--skip-confirm" in error
    assert not objects(rome, milan) - before


def pretend(cluster: Cluster, namespace: str, cluster_id: str) -> None:
    """Make a namespace look like an installation of that id, with a key pair of its own, but no controller."""
    chosen = ["--cluster-id", cluster_id, "--namespace", namespace, "--set", "networking.enabled=false"]
    printed = isthmus("install", *chosen, "--dry-run").stdout
    wanted = ("CustomResourceDefinition", "Namespace")
    cluster.kubectl(
        "apply",
        "--server-side",
        "-f",
        "-",
        stdin=yaml.safe_dump_all(
            [each for each in yaml.safe_load_all(printed) if each and each["kind"] in wanted]
        ),
    )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    stand_in = deployment("liqo-controller-manager", replicas=1)
    labels = {
        "app.kubernetes.io/name": "controller-manager",
        "app.kubernetes.io/component": "controller-manager",
    }
    claim_id(cluster, namespace, cluster_id)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "authentication-keys", "namespace": namespace},
            "stringData": {"privateKey": private.decode(), "publicKey": public.decode()},
        },
        {**stand_in, "metadata": {**stand_in["metadata"], "namespace": namespace, "labels": labels}},
    )


def test_another_consumer_does_not_take_the_place_of_a_peer(
    peered: tuple[Cluster, Cluster], bare: Cluster
) -> None:
    rome, milan = peered
    pretend(bare, "rome-too", "rome")
    before = objects(rome, milan, bare)
    error = peer(bare.kubeconfig, milan.kubeconfig, "--namespace", "rome-too", "--networking-disabled")
    assert 'the remote cluster "milan" has a tenant rome with another key' in error
    assert "isthmus unpeer" in error
    assert not objects(rome, milan, bare) - before


def test_another_provider_does_not_take_the_place_of_a_peer(
    peered: tuple[Cluster, Cluster], bare: Cluster
) -> None:
    rome, milan = peered
    pretend(bare, "milan-too", "milan")
    before = objects(rome, milan, bare)
    error = peer(rome.kubeconfig, bare.kubeconfig, "--remote-namespace", "milan-too", "--networking-disabled")
    assert 'the local cluster "rome" is peered with another cluster called "milan"' in error
    assert bare.server in error
    assert not objects(rome, milan, bare) - before
