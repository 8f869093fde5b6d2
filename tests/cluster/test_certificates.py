"""Certificates that live two minutes: renewed under load without anybody noticing, and what mends them when they ended.

Both clusters sign for two minutes, so every certificate of ours is as short: the identity of the control plane, that
of the slice, the virtual node's serving certificate. A year's certificate goes through the very same steps.
"""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus import lab
from isthmus.peering.validity import Validity, read_validity
from tests.cluster.load import Load, counting, pod
from tests.cluster.networking.labs import lab_apart, peer
from tests.cluster.support import Cluster, eventually, isthmus
from tests.processes import halted, mains

pytestmark = pytest.mark.endurance

LIFE = 120.0
ENVIRONMENT = {"ISTHMUS_LAB_NAME": "lives", "ISTHMUS_LAB_NETWORK": "10.217.0.0/16"}
HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"
IDENTITIES = ("controlplane-milan", "resourceslice-milan")
TROUBLE = re.compile(r"Unauthorized|Forbidden|\b40[13]\b|interrupted|failed|Traceback")

Pair = tuple[Cluster, Cluster]


@pytest.fixture(scope="module")
def brief() -> Iterator[Pair]:
    """Rome may use milan, and no certificate lives longer than two minutes."""
    with lab_apart(2, certificate_life="2m", environment=ENVIRONMENT) as (rome, milan):
        peer(rome, milan)
        yield rome, milan


@pytest.fixture
def extended(brief: Pair) -> Iterator[str]:
    """A fresh namespace of both clusters."""
    rome, milan = brief
    name = f"lives-{uuid.uuid4().hex[:6]}"
    isthmus("authenticate", *kubeconfigs(brief))  # Whatever the last test left.
    eventually(lambda: is_ready(rome), within=60, what="the virtual node Ready")
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    yield name
    rome.kubectl("delete", "namespace", name, "--wait=false")
    eventually(lambda: milan.get("namespace", f"{name}-rome") is None, within=90, what="the twin's end")


def kubeconfigs(pair: Pair) -> tuple[str, ...]:
    """The flags that name consumer and provider."""
    return ("--kubeconfig", str(pair[0].kubeconfig), "--remote-kubeconfig", str(pair[1].kubeconfig))


def read_certificates(rome: Cluster) -> dict[str, tuple[str, Validity]]:
    """The certificates towards milan by identity, with the life of each."""
    found = {}
    for name in IDENTITIES:
        secret = rome.get("secret", f"kubeconfig-{name}", "-n", HOME)
        kubeconfig = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
        pem = base64.b64decode(kubeconfig["users"][0]["user"]["client-certificate-data"]).decode()
        found[name] = (pem, read_validity(pem))
    return found


def ends(rome: Cluster) -> list[float]:
    """When each of the present certificates ends."""
    return [life.not_after for _, life in read_certificates(rome).values()]


def refusals(milan: Cluster) -> dict[str, float]:
    """How many requests milan's API server did not authenticate, or not authorize, since it started."""
    text = milan.kubectl("get", "--raw", "/metrics").stdout
    counts = {"authentication": 0.0, "authorization": 0.0}
    for line in text.splitlines():
        if re.match(r'authentication_attempts\{result="(error|failure)"', line):
            counts["authentication"] += float(line.rsplit(" ", 1)[1])
        elif re.match(r'authorization_attempts_total\{result="denied"', line):
            counts["authorization"] += float(line.rsplit(" ", 1)[1])
    return counts


def node_condition(rome: Cluster) -> tuple[str, str]:
    """Whether the virtual node is Ready, and since when."""
    node = rome.get("node", "milan") or {}
    [ready] = [one for one in node["status"]["conditions"] if one["type"] == "Ready"]
    return ready["status"], ready["lastTransitionTime"]


def is_ready(rome: Cluster) -> bool:
    """Whether the virtual node is Ready."""
    return node_condition(rome)[0] == "True"


def connections(rome: Cluster, milan: Cluster) -> set[str]:
    """The local ends of the connections from rome's controller to milan's API server."""
    address, _, port = milan.server.removeprefix("https://").partition(":")
    [controller] = mains("controller", rome.name)
    lines = controller.run("ss", "-Htn", "state", "established", "dst", f"{address}:{port}").splitlines()
    return {line.split()[2] for line in lines}


def our_processes() -> list[tuple[str, str, int]]:
    """Every process of ours in both clusters."""
    return [
        (one.cluster, one.role, one.pid) for role in ("controller", "gateway", "node") for one in mains(role)
    ]


def restarts(*clusters: Cluster) -> int:
    """How often containers of ours were restarted."""
    pods = [
        pod for cluster in clusters for ns in ("liqo", HOME, AWAY) for pod in cluster.items("pods", "-n", ns)
    ]
    return sum(one["restartCount"] for pod in pods for one in pod["status"].get("containerStatuses", []))


def trouble(cluster: Cluster, since: str) -> list[str]:
    """The lines of the controller's log that tell of a refusal or a failure."""
    log = cluster.kubectl(
        "logs", "-n", "liqo", "deployment/liqo-controller-manager", f"--since-time={since}"
    ).stdout
    return [line for line in log.splitlines() if TROUBLE.search(line)]


def alerts(rome: Cluster) -> list[str]:
    """What `info peer` says is wrong with the identity."""
    done = isthmus("info", "peer", "milan", "-o", "json", "--kubeconfig", str(rome.kubeconfig))
    found: dict[str, Any] = json.loads(done.stdout)["milan"]["authentication"]
    return list(found["alerts"])


@pytest.mark.timeout(1000)
def test_three_renewals_under_load_are_noticed_by_nobody(brief: Pair, extended: str, tmp_path: Path) -> None:
    rome, milan = brief
    eventually(lambda: min(ends(rome)) > time.time() + LIFE / 2, within=LIFE, what="young certificates")
    seen = {name: [found] for name, found in read_certificates(rome).items()}
    first_end = max(ends(rome))
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    before = (node_condition(rome), our_processes(), restarts(rome, milan), refusals(milan))
    old = connections(rome, milan)
    assert old, "the informers are connected"

    def look() -> bool:
        """Note new certificates; whether of each identity the third is over, so three renewals were needed."""
        for name, found in read_certificates(rome).items():
            assert found[1].not_after > time.time(), f"the certificate of {name} ended before it was renewed"
            if found[0] != seen[name][-1][0]:
                seen[name].append(found)
        return all(len(of) > 3 and of[2][1].not_after < time.time() for of in seen.values())

    load = Load(rome, milan, extended, tmp_path)
    with load.running():
        eventually(lambda: time.time() > first_end, within=LIFE + 60, what="the first end", every=1)
        look()
        assert all(len(of) > 1 for of in seen.values()), "each was renewed before the first ended"
        left = old & connections(rome, milan)
        assert not left, "every connection was made anew before the certificate it was made with ended"
        eventually(look, within=4 * LIFE, what="three renewals and the end of what they replaced", every=1)
        seconds = load.seconds
        streams = load.end_streams()
    assert load.failures == []
    assert load.rounds > 5
    assert {kind: code for kind, (code, _) in streams.items()} == {"logs": 0, "exec": 0}
    assert all(lines > seconds / 3 for _, lines in streams.values()), streams
    assert [trouble(cluster, since) for cluster in brief] == [[], []]
    assert (node_condition(rome), our_processes(), restarts(rome, milan), refusals(milan)) == before
    assert alerts(rome) == []
    for cluster in brief:
        left_over = [one for one in cluster.items("csr") if one["metadata"]["name"].startswith("liqo-")]
        assert len(left_over) <= 1, "requests for certificates are removed when they are done with"


def test_a_provider_that_is_away_when_a_renewal_is_due_makes_up_for_it(brief: Pair) -> None:
    rome, _ = brief
    eventually(lambda: min(ends(rome)) > time.time() + LIFE / 2, within=LIFE, what="young certificates")
    before = read_certificates(rome)
    due = [end - LIFE / 3 for end in ends(rome)]
    eventually(lambda: time.time() > min(due) - 2, within=LIFE, what="the moment before", every=0.1)
    with halted(lab.pids("milan")["kube-apiserver"]):  # A new start takes longer than is left.
        eventually(lambda: time.time() > max(due) + 2, within=LIFE, what="the moment after", every=0.1)

    def all_renewed() -> bool:
        found = read_certificates(rome)
        return all(found[name][0] != before[name][0] for name in IDENTITIES)

    left = min(life.not_after for _, life in before.values()) - time.time()
    eventually(all_renewed, within=left, what="renewed certificates before the old ones end")
    eventually(lambda: is_ready(rome), within=60, what="the virtual node Ready")


@pytest.fixture
def running(brief: Pair, extended: str) -> tuple[Cluster, Cluster, str]:
    """A pod that runs in milan."""
    rome, milan = brief
    rome.apply(pod(extended, "steady", counting("logs")))
    rome.kubectl("wait", "--for=condition=Ready", "pod/steady", "-n", extended, "--timeout=60s", timeout=70)
    return rome, milan, extended


def pod_away(milan: Cluster, namespace: str) -> str:
    """Which pod stands for ours."""
    return str(milan.get("pod", "steady", "-n", f"{namespace}-rome")["metadata"]["uid"])


def test_an_identity_that_ended_while_the_consumer_was_off_is_told_and_mended(
    running: tuple[Cluster, Cluster, str],
) -> None:
    rome, milan, namespace = running
    uid = pod_away(milan, namespace)
    controller = "deployment/liqo-controller-manager"
    rome.kubectl("scale", "-n", "liqo", controller, "--replicas=0")
    eventually(lambda: mains("controller", "rome") == [], within=60, what="the end of rome's controller")
    last = max(ends(rome))
    eventually(lambda: time.time() > last + 2, within=LIFE + 10, what="the end of the certificates", every=1)
    rome.kubectl("scale", "-n", "liqo", controller, "--replicas=1")

    def told() -> str:
        return next((line for line in alerts(rome) if "milan does not accept the certificate" in line), "")

    eventually(told, within=90, what="info peer says what is wrong")
    shown = isthmus("info", "peer", "milan", "--kubeconfig", str(rome.kubeconfig)).stdout
    assert "  ! milan does not accept the certificate of this cluster" in shown
    assert "isthmus authenticate --remote-kubeconfig" in shown
    eventually(lambda: not is_ready(rome), within=60, what="the virtual node NotReady")
    isthmus("authenticate", *kubeconfigs((rome, milan)))
    assert_mended(rome, milan, namespace, uid)


def assert_mended(rome: Cluster, milan: Cluster, namespace: str, uid: str) -> None:
    """All is as before, and the pod is the one that ran all the time."""
    eventually(lambda: is_ready(rome), within=60, what="the virtual node Ready again")
    eventually(lambda: alerts(rome) == [], within=60, what="nothing wrong any more")
    assert pod_away(milan, namespace) == uid
    eventually(
        lambda: rome.kubectl("logs", "steady", "-n", namespace, "--tail=1").stdout, within=60, what="its log"
    )


def test_an_identity_that_ended_while_the_provider_was_off_is_mended_by_hand(
    running: tuple[Cluster, Cluster, str],
) -> None:
    """As the alert says for those without access to the provider: its operator prints an Identity, to be applied."""
    rome, milan, namespace = running
    uid = pod_away(milan, namespace)
    lab.stop_api_server("milan")
    try:
        last = max(ends(rome))
        eventually(lambda: time.time() > last + 2, within=LIFE + 10, what="the certificates' end", every=1)
        [line] = alerts(rome)[:1]
        assert line.startswith("the API server of milan does not answer")
    finally:
        lab.start_api_server("milan")
    eventually(
        lambda: any("isthmus generate identity --remote-cluster-id rome" in line for line in alerts(rome)),
        within=90,
        what="info peer names the command for milan's operator",
    )
    eventually(
        lambda: "does not accept" in json.dumps(alerts(rome)), within=60, what="milan's refusal, as it is now"
    )
    printed = isthmus(
        "generate", "identity", "--remote-cluster-id", "rome", "--kubeconfig", str(milan.kubeconfig)
    ).stdout
    rome.kubectl("apply", "-n", HOME, "-f", "-", stdin=printed)
    assert_mended(rome, milan, namespace, uid)
