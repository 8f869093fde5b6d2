"""TLS contexts: what they accept, and what a connection costs."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import ssl
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import trustme

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import CertificateError, ConfigurationError
from isthmus.kube.tls import BUFFER_SIZE, client_context, server_context

from .fake import Exchange, FakeServer


def leaf(ca: trustme.CA, *names: str) -> tuple[str, str]:
    issued = ca.issue_cert(*names)
    chain = "".join(blob.bytes().decode() for blob in issued.cert_chain_pems)
    return chain, issued.private_key_pem.bytes().decode()


def authority(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


async def ok(exchange: Exchange) -> None:
    await exchange.respond(200, {"gitVersion": "v1.36.0"})


async def hang(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.gone()


async def test_a_server_of_another_authority_is_refused() -> None:
    ca, other = trustme.CA(), trustme.CA()
    async with FakeServer(ok, server_context(*leaf(ca, "127.0.0.1"))) as server:
        async with Client(Credentials(server.url, ca_data=authority(ca))) as client:
            assert await client.version() == "v1.36.0"
        async with Client(Credentials(server.url, ca_data=authority(other))) as client:
            with pytest.raises(CertificateError, match="certificate"):
                await client.version()


async def test_the_name_is_verified_and_may_be_overridden() -> None:
    ca = trustme.CA()
    async with FakeServer(ok, server_context(*leaf(ca, "api.example"))) as server:
        async with Client(Credentials(server.url, ca_data=authority(ca))) as client:
            with pytest.raises(CertificateError):
                await client.version()
        credentials = Credentials(server.url, ca_data=authority(ca), tls_server_name="api.example")
        async with Client(credentials) as client:
            assert await client.version() == "v1.36.0"


async def test_each_tls_connection_buffers_16_kib_only() -> None:
    """256 KiB each were asyncio's own choice: 8 MB in the controller (python-stack.md 0, finding 4)."""
    ca = trustme.CA()
    tls = server_context(*leaf(ca, "127.0.0.1"))
    async with (
        FakeServer(hang, tls) as server,
        Client(Credentials(server.url, ca_data=authority(ca))) as client,
    ):
        streams = [client.stream("GET", "/log") for _ in range(20)]
        tracemalloc.start()
        waiting = [asyncio.create_task(anext(stream)) for stream in streams]
        await server.until(len(streams))
        held = sum(
            statistic.size
            for statistic in tracemalloc.take_snapshot().statistics("filename")
            if statistic.traceback[0].filename == asyncio.sslproto.__file__
        )
        tracemalloc.stop()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    assert asyncio.sslproto.SSLProtocol.max_size == BUFFER_SIZE
    # Both ends live in this process.
    assert held < 2 * len(streams) * (BUFFER_SIZE + 8 * 1024)


def test_the_key_touches_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, path: str, **named: Any) -> None:
        loaded.append(str(Path(path).readlink()))
        load(context, path, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    ca = trustme.CA()
    certificate, key = leaf(ca, "localhost")
    server_context(certificate, key)
    client_context(authority(ca), certificate, key)
    assert [path.split(":")[0] for path in loaded] == ["/memfd", "/memfd"]


@pytest.mark.parametrize(
    ("certificate", "key", "complaint"),
    [
        ("junk", "junk", "unusable"),
        ("CERT", "", "the key is missing"),
        ("", "KEY", "the certificate is missing"),
        ("CERT", "OTHER", "key values mismatch"),
    ],
)
def test_unusable_pem_is_one_clear_error(certificate: str, key: str, complaint: str) -> None:
    ca = trustme.CA()
    good, other = leaf(ca, "a"), leaf(ca, "b")
    named = {"CERT": good[0], "KEY": good[1], "OTHER": other[1]}
    with pytest.raises(ConfigurationError, match=complaint):
        server_context(named.get(certificate, certificate), named.get(key, key))


def test_an_unusable_authority_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="certificate authority"):
        client_context("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
