"""TLS contexts from PEM text, for clients and for servers.

`ssl` reads certificate chains and keys from files only; they are handed to it through an anonymous file in
memory (memfd), so that a private key touches no disk and has no name. The client always verifies the server.

Making a context also limits asyncio's TLS buffers to 16 KiB a connection instead of 256 KiB (python-stack.md 0,
finding 4: 8 MB in the controller). It is an undocumented attribute; tests/kube/test_tls.py guards it.
"""

from __future__ import annotations

import asyncio.sslproto
import os
import ssl

from isthmus.kube.errors import ConfigurationError

BUFFER_SIZE = 16 * 1024
"""Bytes of a TLS connection's read buffer: one full record; more only saves system calls on bulk data."""


def server_context(certificate: str, key: str, *, client_ca: str = "") -> ssl.SSLContext:
    """A TLS server context from PEM text; with `client_ca` a client certificate is asked for (optional) and
    verified against it: one that is not of that authority ends the handshake.

    Raises ConfigurationError on unusable PEM.
    """
    _limit_buffers()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, certificate, key)
    if client_ca:
        _load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """A verifying TLS client context from PEM text; without `ca` the system's authorities are used.

    Raises ConfigurationError on unusable PEM.
    """
    _limit_buffers()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        _load_authorities(context, ca)
    else:
        context.load_default_certs()
    if certificate or key:
        _load_chain(context, certificate, key)
    return context


def _limit_buffers() -> None:
    asyncio.sslproto.SSLProtocol.max_size = BUFFER_SIZE


def _load_authorities(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            "the certificate authority is not usable PEM: give one or more BEGIN CERTIFICATE blocks"
        ) from error


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    if not certificate or not key:
        missing = "key" if certificate else "certificate"
        raise ConfigurationError(f"a TLS certificate needs its private key: the {missing} is missing")
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(f"{certificate.rstrip()}\n{key.rstrip()}\n".encode())
        # The password callback keeps OpenSSL from asking on the terminal for an encrypted key.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"the TLS certificate and key are unusable: {_cause(error)}; give a PEM certificate chain, "
            "leaf first, and the unencrypted PEM key that belongs to it"
        ) from error
    finally:
        os.close(descriptor)


def _no_password() -> str:
    return ""


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return "not PEM"
