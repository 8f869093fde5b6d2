"""The commands on real clusters as users meet them: broken off, in both directions, again."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid

from isthmus.api import labels
from tests.cluster.endings import Endings
from tests.cluster.peering import NODE_PORT, Pair, between, left
from tests.cluster.support import ISTHMUS, Cluster, isthmus


def of_any_peering(*clusters: Cluster) -> list[str]:
    """What of any peering is there, with what is in no namespace: bindings and requests for certificates."""
    found = left(*clusters)
    for cluster in clusters:
        for kind, label in (
            ("clusterrolebindings", labels.REMOTE_CLUSTER_ID),
            ("certificatesigningrequests", labels.REMOTE_TENANT_CSR),
        ):
            found += [f"{kind} {one['metadata']['name']}" for one in cluster.items(kind, "-l", label)]
    return found


STEPS = ("Configuration milan", "Gateway server", "Key of", "Nonce", "Tenant rome", "Identity")
"""What `peer` says it has done, in this order; each run says it again of what is there."""


def kill_after(step: str, *command: str) -> None:
    """Run a command until it says that a step is done, and give it SIGKILL then."""
    with subprocess.Popen(
        [*ISTHMUS, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        said = ""
        for line in running.stderr:
            said += line
            if step in line:
                break
        running.kill()
        assert step in said, f"the command ended before {step!r}: {said}"


def test_a_peering_that_is_broken_off_again_and_again_is_finished_by_the_next_run(apart: Pair) -> None:
    """SIGKILL after each step: the same command goes on, and unpeer cleans up as from any other peering."""
    rome, milan = apart
    command = ("peer", *between(rome, milan), *NODE_PORT, "--timeout", "120s")
    for step in STEPS:
        kill_after(step, *command)
    isthmus(*command)
    report = isthmus("info", "peer", "milan", "-o", "json", "--kubeconfig", str(rome.kubeconfig)).stdout
    (node,) = json.loads(report)["milan"]["offloading"]["virtualNodes"]
    assert node["status"] == "Ready"
    isthmus("unpeer", *between(rome, milan), "--skip-confirm")
    assert of_any_peering(rome, milan) == []


def test_an_interrupted_command_says_so_and_unpeer_clears_what_it_made(apart: Pair) -> None:
    rome, milan = apart
    command = subprocess.Popen(
        [*ISTHMUS, "peer", *between(rome, milan), *NODE_PORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    for line in command.stderr:
        if "Gateway server" in line:
            break
    command.send_signal(signal.SIGINT)
    out, error = command.communicate(timeout=60)
    assert command.returncode == 130
    assert out == ""
    assert error.endswith("error: interrupted\n")
    assert "Traceback" not in error
    isthmus("unpeer", *between(rome, milan), "--skip-confirm")
    assert of_any_peering(rome, milan) == []


def test_each_direction_is_ended_by_itself(apart: Pair) -> None:
    rome, milan = apart
    for pair in ((rome, milan), (milan, rome)):
        isthmus("peer", *between(*pair), *NODE_PORT, "--timeout", "120s")
    role = isthmus("info", "peer", "milan", "--get", "role", "--kubeconfig", str(rome.kubeconfig)).stdout
    assert role == "ConsumerAndProvider\n"
    refused = isthmus("unpeer", *between(rome, milan), "--skip-confirm", "--delete-namespaces", check=False)
    assert refused.returncode == 2
    assert "--delete-namespaces: milan also consumes rome" in refused.stderr
    isthmus("unpeer", *between(rome, milan), "--skip-confirm")
    assert rome.get("node", "milan") is None
    again = isthmus("peer", *between(milan, rome), "--timeout", "120s")
    assert again.stdout == "milan is peered with rome\n"
    isthmus("unpeer", *between(milan, rome), "--skip-confirm", "--delete-namespaces")
    assert of_any_peering(rome, milan) == []
    assert rome.get("namespace", "liqo-tenant-milan") is None
    assert milan.get("namespace", "liqo-tenant-rome") is None
    once_more = isthmus("unpeer", *between(rome, milan), "--skip-confirm")
    assert "was not peered" in once_more.stdout


def test_offloading_is_told_as_it_is(peered: Pair, endings: Endings) -> None:
    rome, milan = peered
    local, name = ("--kubeconfig", str(rome.kubeconfig)), f"told-{uuid.uuid4().hex[:6]}"
    offload, twin = ("offload", "namespace", name), ("namespace", f"{name}-rome")
    same_name = ("--namespace-mapping-strategy", "EnforceSameName")
    rome.kubectl("create", "namespace", name)
    try:
        done = isthmus(*offload, "--selector", "region=nowhere", *local)
        assert "is extended to no cluster yet: no provider has labels that --selector asks for" in done.stderr
        done = isthmus("offload", "ns", name, "--selector", "liqo.io/remote-cluster-id in (milan)", *local)
        assert f"Namespace {name} is {name}-rome on milan" in done.stderr
        assert milan.get(*twin) is not None
        done = isthmus(*offload, *same_name, *local, check=False)
        assert done.returncode == 1
        assert f"cannot be changed: isthmus unoffload namespace {name}" in done.stderr
        isthmus("unoffload", "namespace", name, "--skip-confirm", *local)
        assert milan.get(*twin) is None
        done = isthmus("unoffload", "namespace", name, "--skip-confirm", *local)
        assert f'namespace "{name}" is not offloaded' in done.stderr
        # A namespace of that name which the provider has for itself is left alone, and that is said.
        milan.kubectl("create", "namespace", name)
        done = isthmus(*offload, *same_name, "--timeout", "5s", *local, check=False)
        assert done.returncode == 1
        assert "milan: CreationLoopBackOff" in done.stderr
        isthmus("unoffload", "namespace", name, "--skip-confirm", *local)
        assert "deletionTimestamp" not in milan.get("namespace", name)["metadata"]
    finally:
        endings.delete(rome, name)
        endings.delete(milan, name)
