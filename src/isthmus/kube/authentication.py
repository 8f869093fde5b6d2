"""Proving who we are: the TLS context and the bearer token of one client, kept up to date.

One TLS context is shared by all connections of the client. Token files are read again every `TOKEN_FILE_AGE`
seconds (the kubelet rotates them), exec plugins run again when what they gave has expired; both also after the
server said 401. Failing to refresh raises `ConfigurationError`, which the callers' own back-off retries.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import ConfigurationError
from isthmus.kube.exec_plugin import run_plugin
from isthmus.kube.tls import client_context

TOKEN_FILE_AGE = 10.0
_REFRESH_PAUSE = 5.0
"""Seconds between two refreshes that 401 asks for: a server that refuses us must not cost a plugin run each."""


class Authenticator:
    """The identity of one client; see the module's text."""

    def __init__(self, credentials: Credentials, secure: bool) -> None:
        self._credentials = credentials
        self._secure = secure
        self._lock = asyncio.Lock()
        self._token = credentials.token.strip()
        self._expires: float | None = None
        self._read_at: float | None = None
        self._certificate = credentials.client_certificate_data
        self.generation = 0
        """Grows when connections made before are of an outdated identity."""
        self.context: ssl.SSLContext | None = None
        if secure:
            self.context = client_context(
                credentials.ca_data, credentials.client_certificate_data, credentials.client_key_data
            )
        self._renewable = bool(credentials.token_file) or credentials.exec is not None

    def renew(self, credentials: Credentials) -> None:
        """Be somebody else from the next connection on. Raises ConfigurationError, and stays as it was."""
        fresh = Authenticator(credentials, self._secure)
        self._credentials, self._renewable = credentials, fresh._renewable
        self._token, self._certificate, self.context = fresh._token, fresh._certificate, fresh.context
        self._expires = self._read_at = None
        self.generation += 1

    async def authorization(self) -> str:
        """The Authorization header's value, "" without a token. Raises ConfigurationError."""
        if self._renewable and self._outdated():
            async with self._lock:
                if self._outdated():
                    await self._refresh()
        return f"Bearer {self._token}" if self._token else ""

    def invalidate(self) -> bool:
        """The server said 401: read anew before the next request. Whether that may help."""
        if not self._renewable:
            return False
        if self._read_at is not None and time.monotonic() - self._read_at < _REFRESH_PAUSE:
            return False
        self._read_at = None
        return True

    def _outdated(self) -> bool:
        if self._read_at is None:
            return True
        if self._credentials.token_file:
            return time.monotonic() - self._read_at > TOKEN_FILE_AGE
        return self._expires is not None and time.time() >= self._expires

    async def _refresh(self) -> None:
        if self._credentials.token_file:
            self._token = _read_token(self._credentials.token_file) or self._token
        else:
            answer = await run_plugin(self._credentials)
            self._token, self._expires = answer.token, answer.expires
            if answer.certificate and answer.certificate != self._certificate and self._secure:
                self.context = client_context(self._credentials.ca_data, answer.certificate, answer.key)
                self._certificate = answer.certificate
                self.generation += 1
        self._read_at = time.monotonic()


def _read_token(path: str) -> str:
    try:
        token = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigurationError(
            f"tokenFile: {path}: {reason}; give the path of a file with a bearer token"
        ) from None
    if "\n" in token or "\r" in token:
        raise ConfigurationError(f"tokenFile: {path}: holds more than one line; one bearer token is expected")
    return token
