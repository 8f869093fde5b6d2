"""The address that peers are given for this cluster's API server: whence it is taken, and how it is tried first."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from isthmus.install.api_server import check_address, with_address
from isthmus.install.errors import InstallError
from isthmus.install.prechecks import Checks
from isthmus.install.values import Values
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from tests.apiserver import ApiServer, connected
from tests.install.cluster import cluster, installed, values
from tests.kube.fake import FakeServer

pytestmark = pytest.mark.looptime


NAME = "rome.test"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a name lead to this machine: an address of its own would be every peer's own."""
    real = socket.getaddrinfo

    def lead(host: Any, *rest: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == NAME else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lead)


@asynccontextmanager
async def secured(api: ApiServer, name: str = NAME) -> AsyncIterator[tuple[str, str]]:
    """The same cluster over TLS too, with a certificate for this name; its URL and its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    async with FakeServer(api.handle, tls=context) as server:
        yield f"https://{NAME}:{server.port}", authority.cert_pem.bytes().decode()


def publish(api: ApiServer, authority: str) -> None:
    """Give pods of the cluster its authority, as Kubernetes does."""
    place = {"name": "kube-root-ca.crt", "namespace": "kube-system"}
    api.put("configmaps", {"metadata": place, "data": {"ca.crt": authority}})


def at(url: str) -> Values:
    """The values of an installation that peers are to reach at this address."""
    return values(f"apiServer.address={url}")


async def test_an_address_that_is_this_cluster_verified_as_peers_verify_it_is_taken() -> None:
    api = cluster()
    async with secured(api) as (url, authority), connected(api) as client:
        publish(api, authority)
        assert await check_address(client, at(url)) == ""
        assert await check_address(client, at(url.removeprefix("https://"))) == ""


async def test_an_address_of_another_cluster_is_refused() -> None:
    here, there = cluster(), ApiServer()
    there.create("nodes", {"metadata": {"name": "first"}})
    there.create("namespaces", {"metadata": {"name": "kube-system"}})
    async with secured(there) as (url, authority), connected(here) as client:
        publish(here, authority)
        with pytest.raises(InstallError, match=f'"{url}" is another cluster than http://127.0.0.1:'):
            await check_address(client, at(url))


@pytest.mark.parametrize("fault", ["authority", "name"])
async def test_a_certificate_that_peers_would_refuse_is_refused(fault: str) -> None:
    api = cluster()
    async with (
        secured(api, "milan.test" if fault == "name" else NAME) as (url, authority),
        connected(api) as client,
    ):
        publish(api, trustme.CA().cert_pem.bytes().decode() if fault == "authority" else authority)
        with pytest.raises(InstallError) as refused:
            await check_address(client, at(url))
    assert refused.value.problem.startswith(
        f'API server address (--api-server-url): "{url}": peers would refuse'
    )
    assert "apiServer.certSANs" in refused.value.mend


async def test_an_authority_given_counts_instead_of_the_clusters_own() -> None:
    api = cluster()
    async with secured(api) as (url, authority), connected(api) as client:
        publish(api, trustme.CA().cert_pem.bytes().decode())
        given = at(url)
        given = msgspec.structs.replace(
            given, api_server=msgspec.structs.replace(given.api_server, ca=authority)
        )
        assert await check_address(client, given) == ""


async def test_without_an_authority_of_the_cluster_the_kubeconfigs_counts() -> None:
    api = cluster()
    async with (
        secured(api) as (url, authority),
        api,
        Client(Credentials(api.url, ca_data=authority)) as client,
    ):
        assert await check_address(client, at(url)) == ""
        with api.failing(403, "Forbidden", verb="get", plural="configmaps"):
            assert await check_address(client, at(url)) == ""


async def test_who_is_only_publicly_trusted_is_not_shown_who_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = cluster()
    async with secured(api) as (url, authority), api, Client(Credentials(api.url, token=NAME)) as client:
        (tmp_path / "public.pem").write_text(authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
        public = values(f"apiServer.address={url}", "apiServer.trustedCA=true")
        assert await check_address(client, public) == ""
        publish(api, authority)
        assert await check_address(client, at(url)) == ""
    shown = [one.exchange.headers.get("authorization") for one in api.asked("get", "namespaces")]
    known = f"Bearer {NAME}"
    assert shown == [None, known, known, known], (
        "there and here, publicly trusted and then by the cluster's authority"
    )


async def test_whom_the_address_lets_in_is_another_question() -> None:
    api = cluster()
    async with secured(api) as (url, authority), connected(api) as client:
        publish(api, authority)
        with api.failing(401, "Unauthorized", verb="get", plural="namespaces"):
            assert await check_address(client, at(url)) == ""


async def test_an_address_that_does_not_answer_is_only_warned_of() -> None:
    api = cluster()
    async with secured(api) as (url, authority):
        publish(api, authority)
    told = await installed(api, f"apiServer.address={url}", checks=Checks())
    (warning,) = told.warnings
    assert warning.startswith(f'API server address (--api-server-url): "{url}" does not answer here (')
    assert warning.endswith("; peers have to reach it")


async def test_an_address_that_leads_peers_to_themselves_is_refused() -> None:
    api = cluster()
    async with connected(api) as client:
        with pytest.raises(InstallError, match="leads every peer to itself: give one that peers can reach"):
            await check_address(client, at("https://127.0.0.1:6443"))


async def test_an_authority_that_is_none_is_refused() -> None:
    api = cluster()
    async with connected(api) as client:
        publish(api, "no certificate")
        with pytest.raises(
            InstallError, match=r"--api-server-url.*the certificate authority is not usable PEM"
        ):
            await check_address(client, at(f"https://{NAME}:6443"))


async def test_no_address_is_asked_where_nobody_is_told_one() -> None:
    api = cluster()
    async with connected(api) as client:
        assert await check_address(client, values()) == ""
        assert await check_address(client, values("authentication.enabled=false")) == ""
        assert await with_address(client, values("authentication.enabled=false"), {}) == (
            values("authentication.enabled=false"),
            "",
        )
    assert not api.requests


def managed() -> ApiServer:
    """A cluster that does not show its control plane."""
    api = cluster()
    api.merge("nodes", "", "one", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": None}}})
    return api


class Elsewhere(Client):
    """A client that says it came by another address than it did."""

    def __init__(self, api: ApiServer, server: str) -> None:
        super().__init__(Credentials(api.url), attempts=1)
        self.credentials = Credentials(server)


@pytest.mark.parametrize(
    ("server", "recorded", "address", "told"),
    [
        ("https://203.0.113.5", "", "https://203.0.113.5", "as this kubeconfig does"),
        ("https://203.0.113.5", "https://198.51.100.7", "https://198.51.100.7", ""),
        ("https://127.0.0.1:6443", "", "", "give it with --api-server-url before a peer"),
    ],
)
async def test_an_address_where_no_node_says_that_it_is_one_of_the_control_plane(
    server: str, recorded: str, address: str, told: str
) -> None:
    api = managed()
    before = {"apiServer": {"address": recorded}} if recorded else {}
    async with api, Elsewhere(api, server) as client:
        with api.failing(403, "Forbidden", when=lambda one: "config.openshift.io" in one.path):
            found, text = await with_address(client, values(), before)
    assert found.api_server.address == address
    assert told in text
    assert bool(text) == bool(told)
