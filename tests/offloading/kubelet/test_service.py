"""The kubelet API comes up with the first virtual node and stays up: certificates, authorities, what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import ConfigurationError, TransportError, Unauthorized
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading import kubelet
from isthmus.offloading.virtualnode import OffloadedPods
from tests.apiserver import Admission, ApiServer, Json, running
from tests.apiserver.clock import VIRTUAL_TIME, Clock, eventually
from tests.kube.authority import Authority

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]
OURS = "system:serviceaccount:liqo:liqo-controller-manager"
REQUEST = "liqo-kubelet-serving-controller"
CSRS = "certificatesigningrequests"


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until the log has these words."""

    async def holds() -> bool:
        return words in caplog.text

    await eventually(holds)


class Cluster:
    """An API server with virtual nodes, the signer of its serving certificates, and where they are served."""

    def __init__(self) -> None:
        self.api = ApiServer()
        self.signer, self.clients = Authority("signer"), Authority("clients")
        self.api.reviews["selfsubjectreviews"] = lambda _: {"userInfo": {"username": OURS}}
        self.api.admission.append(self._name_requester)
        self.requester = OURS
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def _name_requester(self, review: Admission) -> Json | None:
        if review.place.plural != CSRS or review.operation != "CREATE":
            return None
        assert review.object is not None
        return {**review.object, "spec": {**review.object["spec"], "username": self.requester}}

    def add_node(self, name: str = "milan") -> None:
        meta = {"name": name, "namespace": f"liqo-tenant-{name}"}
        self.api.create("virtualnodes", {"metadata": meta, "spec": {"clusterID": name}})

    def trust(self, pem: str) -> None:
        """The authority of the cluster's clients, as API servers publish it."""
        meta = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
        self.api.put("configmaps", {"metadata": meta, "data": {"client-ca-file": pem}})

    def request(self, name: str = REQUEST) -> Json:
        return self.api.get(CSRS, "", name) or {}

    def approved(self, name: str = REQUEST) -> bool:
        conditions = self.request(name).get("status", {}).get("conditions", [])
        return any(one["type"] == "Approved" for one in conditions)

    async def issue(self, seconds: float = 86400.0) -> str:
        """Sign the request once it is approved; the certificate."""
        await self.api.until(self.approved, 90)
        pem = self.signer.sign(base64.b64decode(self.request()["spec"]["request"]), seconds)
        encoded = base64.b64encode(pem.encode()).decode()
        self.api.merge(CSRS, "", REQUEST, {"status": {"certificate": encoded}})
        await self.api.until(lambda: not self.request())
        return pem

    async def served(self) -> str:
        """The certificate that is served now (PEM)."""
        context = ssl.create_default_context(cadata=self.signer.pem)
        await eventually(self._listens)
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(ssl.SSLError):
            await writer.wait_closed()
        return ssl.DER_cert_to_PEM_cert(der)

    async def _listens(self) -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    async def ask(self, certificate: str = "", key: str = "") -> None:
        """One request as somebody; raises what a client is told."""
        where = Credentials(
            f"https://127.0.0.1:{self.port}",
            ca_data=self.signer.pem,
            client_certificate_data=certificate,
            client_key_data=key,
        )
        await eventually(self._listens)
        async with Client(where, attempts=1) as client:
            await client.request("GET", "/healthz")


@contextlib.asynccontextmanager
async def at_work(cluster: Cluster) -> AsyncIterator[Manager]:
    options = Options(cluster_id="rome", kubelet_port=cluster.port, pod_ip="127.0.0.1")

    def setup(manager: Manager, options: Options) -> None:
        kubelet.setup(manager, options, OffloadedPods())

    async with running(cluster.api, setup, options=options) as manager:
        yield manager


async def test_it_is_served_to_the_clients_of_the_cluster_from_the_first_virtual_node_on() -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.trust(cluster.clients.pem)
        with pytest.raises(TimeoutError):
            await cluster.api.until(cluster.request, 60)
        cluster.add_node()
        await cluster.issue()
        await cluster.ask(*cluster.clients.issue("admin", "system:masters"))
        with pytest.raises(Unauthorized):
            await cluster.ask()
        with pytest.raises(TransportError):
            await cluster.ask(*Authority("others").issue("admin", "system:masters"))


async def test_a_new_client_authority_is_taken_and_an_unusable_one_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.add_node()
        await cluster.issue()
        with pytest.raises(Unauthorized):
            await cluster.ask()
        cluster.trust(cluster.clients.pem)
        user = cluster.clients.issue("admin")

        async def lets_in() -> bool:
            with contextlib.suppress(Unauthorized, TransportError):
                await cluster.ask(*user)
                return True
            return False

        await eventually(lets_in)
        cluster.trust("no certificate")
        await logged(caplog, "the last one is kept")
        assert await lets_in()


async def test_the_certificate_is_renewed_at_two_thirds_of_its_life_without_a_pause(clock: Clock) -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.add_node()
        begun = clock.monotonic()
        first = await cluster.issue(seconds=3600)
        assert await cluster.served() == first
        await cluster.api.until(cluster.request, 3000)
        assert 2300 <= clock.monotonic() - begun <= 2500
        assert await cluster.served() == first
        second = await cluster.issue()
        assert await cluster.served() == second


@pytest.mark.parametrize("type_", ["Denied", "Failed"])
async def test_a_request_that_is_refused_is_asked_anew(type_: str, caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.add_node()
        await cluster.api.until(cluster.request)
        refusal = {"type": type_, "status": "True", "message": "not today"}
        cluster.api.merge(CSRS, "", REQUEST, {"status": {"conditions": [refusal]}})
        await cluster.api.until(lambda: not cluster.request())
        await logged(caplog, f"{type_}: not today")
        await cluster.issue()
        await cluster.served()


async def test_a_cluster_that_signs_nothing_is_told_apart_and_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.add_node()
        await cluster.api.until(cluster.approved)
        first = cluster.request()["metadata"]["uid"]
        await cluster.api.until(lambda: cluster.request().get("metadata", {}).get("uid", first) != first, 90)
        await logged(caplog, "does this cluster sign kubernetes.io/kubelet-serving?")
        await cluster.issue()


async def test_what_is_issued_but_no_certificate_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    async with at_work(cluster):
        cluster.add_node()
        await cluster.api.until(cluster.approved)
        cluster.api.merge(CSRS, "", REQUEST, {"status": {"certificate": base64.b64encode(b"x").decode()}})
        await cluster.api.until(lambda: not cluster.request())
        await logged(caplog, "is not a certificate")
        await cluster.issue()
        await cluster.served()


async def test_the_request_of_a_killed_process_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    signed = {"certificate": base64.b64encode(b"of another key").decode()}
    spec = {"signerName": "kubernetes.io/kubelet-serving"}
    cluster.api.create(CSRS, {"metadata": {"name": REQUEST}, "spec": spec, "status": signed})
    left = cluster.request()["metadata"]["uid"]
    async with at_work(cluster):
        cluster.add_node()
        await cluster.api.until(lambda: cluster.request().get("metadata", {}).get("uid", left) != left)
        await cluster.issue()
        assert "is not a certificate" not in caplog.text


async def test_an_api_server_that_fails_at_first_only_delays_it() -> None:
    cluster = Cluster()
    fault = cluster.api.fail(500, when=lambda request: request.path.endswith("selfsubjectreviews"), times=2)
    cluster.api.fail(500, verb="create", plural=CSRS)
    async with at_work(cluster):
        cluster.add_node()
        await cluster.issue()
        assert fault.hits == 2
        await cluster.served()


async def test_a_port_that_is_taken_ends_the_process() -> None:
    cluster = Cluster()
    with socket.socket() as taken:
        taken.bind(("", cluster.port))
        taken.listen()
        with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesGroup(ConfigurationError))):
            async with at_work(cluster):
                cluster.add_node()
                await cluster.issue()
                await cluster.api.until(lambda: False)


def ask_for(cluster: Cluster, name: str, request: bytes, username: str) -> None:
    """A CertificateSigningRequest of somebody."""
    spec: dict[str, Any] = {
        "request": base64.b64encode(request).decode(),
        "signerName": "kubernetes.io/kubelet-serving",
        "usages": ["digital signature", "server auth"],
        "username": username,
    }
    cluster.api.create(CSRS, {"metadata": {"name": name}, "spec": spec})


async def test_the_requests_of_stock_virtual_kubelets_are_approved_once_there_is_their_node() -> None:
    tenant = "system:serviceaccount:liqo-tenant-turin:turin"
    cluster = Cluster()
    async with at_work(cluster):
        cluster.add_node()
        await cluster.api.until(cluster.request)
        own = base64.b64decode(cluster.request()["spec"]["request"])
        ask_for(cluster, "stolen", own, tenant)
        ask_for(cluster, "garbage", b"garbage", tenant)
        ask_for(cluster, "theirs", own, tenant.replace("turin", "milan"))
        await cluster.api.until(lambda: cluster.approved("theirs"))
        assert not cluster.approved("garbage")
        assert not cluster.approved("stolen"), "turin has no virtual node milan"
        meta = {"name": "milan", "namespace": "liqo-tenant-turin"}
        cluster.api.create("virtualnodes", {"metadata": meta, "spec": {"clusterID": "milan"}})
        await cluster.api.until(lambda: cluster.approved("stolen"))
