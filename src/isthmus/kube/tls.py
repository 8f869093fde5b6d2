"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

import ssl


def server_context(certificate: str, key: str, *, client_ca: str = "") -> ssl.SSLContext:
    """A TLS server context from PEM text; with `client_ca` a client certificate is asked for (optional) and
    verified against it. Key material touches no disk but a private temporary file that is removed at once.

    Raises ConfigurationError on unusable PEM.
    """
    raise NotImplementedError


def client_context(ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """A verifying TLS client context from PEM text; without `ca` the system's authorities are used."""
    raise NotImplementedError
