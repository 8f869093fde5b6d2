"""A small lab of its own on the real machine: up, killed, cleared, down, and nothing left behind.

It is apart from the lab that other tests use, by name and network.
"""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from isthmus.lab import cgroups, state
from isthmus.lab.plan import Site, site_from_environment

ENVIRONMENT = {"ISTHMUS_LAB_NAME": "selftest", "ISTHMUS_LAB_NETWORK": "172.24.0.0/16"}
SITE = site_from_environment(ENVIRONMENT)
COMMAND = (sys.executable, "-m", "isthmus.cli.lab")
SMALL = ("up", "--clusters", "1", "--workers", "1")
MINUTES = 60

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(20 * MINUTES),
    pytest.mark.skipif(os.geteuid() != 0, reason="real clusters need root"),
]


def run(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ENVIRONMENT
    return subprocess.run(
        [*COMMAND, *words], input=stdin, capture_output=True, text=True, env=environment, check=False
    )


def remains(site: Site) -> list[str]:
    """Everything of a lab that is still on the machine."""
    found = [str(path) for path in Path("/run/netns").glob(f"{site.name}-*")]
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    found += [link["ifname"] for link in links if link["ifname"].startswith(site.name)]
    found += [str(root / site.cgroup) for root in cgroups.hierarchies() if (root / site.cgroup).exists()]
    found += [str(site.state)] if site.state.exists() else []
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if f"{site.name}-" in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text()
        except OSError:
            continue
        if str(site.state) in words:
            found.append(words.replace("\0", " "))
    return found


@pytest.fixture
def _cleared() -> Iterator[None]:
    assert run("down").returncode == 0
    yield
    assert run("down").returncode == 0
    assert remains(SITE) == []


def check_what_is_shown() -> None:
    printed = run("kubeconfig", "rome").stdout
    assert '"server": "https://172.24.1.1:6443"' in printed
    wrong = run("kubeconfig", "milan")
    assert (wrong.returncode, "milan" in wrong.stderr, "rome" in wrong.stderr) == (1, True, True)
    title, row, *more = run("status").stdout.splitlines()
    assert title.split() == ["CLUSTER", "VERSION", "API", "SERVER", "NODES", "STATE"]
    assert row.split()[2:] == ["https://172.24.1.1:6443", "rome-worker-1", "(172.24.1.11)", "up"]
    assert more == []


def check_images_are_loaded() -> None:
    """From an archive, into the nodes of one cluster; what is no image is told."""
    archive = state.require(SITE).images
    done = run("images", "load", archive, "--cluster", "rome")
    assert f"{archive} loaded into rome-worker-1" in done.stderr
    for words, said in (
        (("images", "load", "absent.tar"), "there is no file 'absent.tar'"),
        (("images", "load", archive, "--cluster", "milan"), "milan"),
    ):
        wrong = run(*words)
        assert wrong.returncode == 1
        assert said in wrong.stderr
        assert "Traceback" not in wrong.stderr


def check_a_crashed_node_comes_back() -> None:
    """Its pod too, whose container starts anew; nothing of the kernel's state is kept."""
    assert run("exec", "rome-worker-1", "--", "ip", "link", "add", "lost", "type", "bridge").returncode == 0
    done = run("reboot", "rome-worker-1")
    assert done.returncode == 0, done.stderr
    assert "lost" not in run("exec", "rome-worker-1", "--", "ip", "link").stdout
    waited = run("kubectl", "rome", "wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
                 "pod/pod", "--timeout=90s")  # fmt: skip
    assert waited.returncode == 0, waited.stderr
    wrong = run("reboot", "milan-worker-1")
    assert (wrong.returncode, "there are rome-worker-1" in wrong.stderr) == (1, True)


def signed_life(cluster: str) -> timedelta:
    """How long a client's certificate is valid that the cluster signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    manifest = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "somebody"},
        "spec": {
            "request": b64encode(request.public_bytes(Encoding.PEM)).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    run("kubectl", cluster, "create", "-f", "-", stdin=json.dumps(manifest))
    run("kubectl", cluster, "certificate", "approve", "somebody")
    path = "jsonpath={.status.certificate}"
    run("kubectl", cluster, "wait", f"--for={path}", "csr/somebody", "--timeout=30s")
    signed = run("kubectl", cluster, "get", "csr", "somebody", "-o", path).stdout
    certificate = x509.load_pem_x509_certificate(b64decode(signed))
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc


@pytest.mark.usefixtures("_cleared")
def test_disjoint_clusters_whose_certificates_live_minutes() -> None:
    wrong = run("up", "--certificate-life", "soon")
    assert (wrong.returncode, "--certificate-life 'soon' is not a valid duration" in wrong.stderr) == (
        1,
        True,
    )
    done = run("up", "--clusters", "2", "--workers", "1", "--disjoint", "--certificate-life", "10m")
    assert done.returncode == 0, done.stderr
    path = "jsonpath={.items[*].spec.podCIDR}"
    found = [run("kubectl", name, "get", "nodes", "-o", path).stdout for name in ("rome", "milan")]
    assert len({IPv4Network(text).supernet(new_prefix=16) for text in found}) == 2
    # The signer dates back by five minutes.
    assert signed_life("milan") < timedelta(minutes=20)


@pytest.mark.usefixtures("_cleared")
def test_a_lab_runs_pods_and_goes_without_a_trace() -> None:
    done = run(*SMALL)
    assert done.returncode == 0, done.stderr
    assert run("status", "-o", "names").stdout == "rome\n"
    second = run(*SMALL)
    assert (second.returncode, "is up already" in second.stderr) == (1, True)
    image = ("--image=localhost/isthmus-test:latest", "--image-pull-policy=IfNotPresent")
    assert run("kubectl", "rome", "run", "pod", *image).returncode == 0
    waited = run("kubectl", "rome", "wait", "--for=condition=Ready", "pod/pod", "--timeout=60s")
    assert waited.returncode == 0, waited.stderr
    looked = run("kubectl", "rome", "exec", "pod", "--", "nslookup", "kubernetes.default.svc.cluster.local")
    assert "10.96.0.1" in looked.stdout
    assert run("exec", "rome-worker-1", "--", "hostname").stdout == "rome-worker-1\n"
    assert "172.24.1.1/" in run("exec", "rome", "--", "ip", "-4", "-o", "addr").stdout
    check_what_is_shown()
    check_images_are_loaded()
    check_a_crashed_node_comes_back()
    # As after a reboot: everything recorded, nothing alive.
    cgroups.end(SITE.cgroup)
    status = json.loads(run("status", "-o", "json").stdout)
    assert not any(program["alive"] for program in status[0]["programs"])
    again = run(*SMALL)
    assert again.returncode == 0, again.stderr
    assert "clearing the remains" in again.stderr
    assert run("down").returncode == 0
    assert remains(SITE) == []
    assert run("down").returncode == 0


@pytest.mark.usefixtures("_cleared")
@pytest.mark.parametrize(
    "seconds", [0.5, 2.0, *(pytest.param(one, marks=pytest.mark.endurance) for one in (1.0, 5.0))]
)
def test_up_killed_at_any_moment_leaves_nothing_after_down(seconds: float) -> None:
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen([*COMMAND, *SMALL], stderr=subprocess.DEVNULL, env=environment) as child:
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
    assert run("down").returncode == 0
    assert remains(SITE) == []


@pytest.mark.usefixtures("_cleared")
def test_up_interrupted_by_its_user_clears_up_by_itself() -> None:
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen([*COMMAND, *SMALL], stderr=subprocess.PIPE, env=environment) as child:
        deadline = time.monotonic() + 60
        while not (SITE.state / "processes").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 1
    assert remains(SITE) == []


@pytest.mark.usefixtures("_cleared")
def test_up_that_fails_half_way_clears_up_and_says_why() -> None:
    """Its API server dies while it is awaited."""
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen([*COMMAND, *SMALL], stderr=subprocess.PIPE, text=True, env=environment) as child:
        file = SITE.state / "processes" / "rome.kube-apiserver.json"
        deadline = time.monotonic() + 60
        while not file.exists() or not json.loads(file.read_text())["pid"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
        assert child.stderr is not None
        said = child.stderr.read()
        assert child.wait(60) == 1
    assert "kube-apiserver of rome ended by itself" in said
    assert "Traceback" not in said
    assert remains(SITE) == []
