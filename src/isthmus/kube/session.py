"""Sending requests to one API server: authenticated, pooled, bounded in time, tried again where that is safe.

A `Call` is a request as a value; `Session` is the one place that does the I/O. `send` gets a whole answer,
`open` a connection of its own whose answer's head has come, for streams and upgrades. A request that is cancelled
or fails half-way closes its connection; the pool never sees it again. Owns no task.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from msgspec import Struct

from isthmus.kube import errors
from isthmus.kube.authentication import Authenticator
from isthmus.kube.calls import Call
from isthmus.kube.credentials import Credentials
from isthmus.kube.decoding import Status
from isthmus.kube.dial import dial, parse_endpoint
from isthmus.kube.errors import ApiError, TransportError, Unauthorized, WebhookUnavailable
from isthmus.kube.http import Connection, Traffic, render_request
from isthmus.kube.pool import Pool
from isthmus.kube.retry import jitter, plan_retry

CONNECT_TIMEOUT = 10.0
MAX_BODY = 128 << 20
"""Bytes of a whole answer accepted; what is larger is read in pages or streamed."""
MAX_ERROR_BODY = 1 << 20
WEBHOOK_PAUSE = 0.5
"""Seconds between two attempts while a webhook gives no answer."""

_BY_CODE: dict[int, type[ApiError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.Expired,
    422: errors.Invalid,
    429: errors.TooManyRequests,
}


class Response(Struct, frozen=True):
    """A complete HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Session:
    """One identity towards one API server; see the module's text."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str,
        timeout: float,
        attempts: int,
        webhook_patience: float = 0.0,
    ) -> None:
        self._endpoint = parse_endpoint(
            credentials.server, credentials.tls_server_name, credentials.proxy_url
        )
        self._authenticator = Authenticator(credentials, self._endpoint.secure)
        self._generation = 0
        self._timeout = timeout
        self._attempts = max(1, attempts)
        self._webhook_patience = webhook_patience
        self._fixed = [("Host", self._endpoint.authority), ("User-Agent", user_agent)]
        self._reachable = asyncio.Event()
        """Whether the last attempt to connect succeeded; at first unknown, which is as good."""
        self._reachable.set()
        self.traffic = Traffic()
        self._pool = Pool(self._dial)
        self._watches: set[Connection] = set()

    def renew(self, credentials: Credentials) -> None:
        """Go on as the renewed identity: requests from the next one on, watches by ending so that they are opened
        anew. Other streams and what is under way come to their end as they began. Raises ConfigurationError.
        """
        self._authenticator.renew(credentials)
        self._forget()
        for connection in list(self._watches):
            connection.finish()

    async def close(self) -> None:
        """Close every connection; what is under way fails with TransportError."""
        await self._pool.close()

    async def send(self, call: Call, timeout: float | None = None) -> Response:
        """Send and read the whole answer within `timeout` seconds, attempts and pauses included.

        Raises the matching ApiError for an answer of 300 or above, else TransportError.
        """
        limit = self._timeout if timeout is None else timeout
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        patience = loop.time() + self._webhook_patience
        attempt = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._attempt(call, limit)
            except TimeoutError:
                raise TransportError(f"{call.purpose}: no answer within {limit:g} s") from None
            except Unauthorized as error:
                if not self._authenticator.invalidate():
                    raise
                delay: float | None = 0.0
                cause: errors.KubeError = error
            except (ApiError, TransportError) as error:
                cause = error
                delay = plan_retry(error, attempt, idempotent=call.idempotent, random=jitter())
                if isinstance(error, WebhookUnavailable) and loop.time() < patience:
                    delay, attempt = WEBHOOK_PAUSE, -1
            attempt += 1
            if delay is None or attempt >= self._attempts or loop.time() + delay >= deadline:
                raise about(call, cause)
            await asyncio.sleep(delay)

    async def open(
        self, call: Call, expect: int = 0, timeout: float | None = None, *, again: bool = False
    ) -> Connection:
        """Send on a connection of its own and wait for the answer's head; the caller ends it with `end`.

        With `again`, for watches, that of one that ended a moment ago is taken over, where there is one.
        Not tried again. Raises ApiError where the status is not `expect` (0: any of 200 to 299), else
        TransportError.
        """
        limit = self._timeout if timeout is None else timeout
        connection: Connection | None = None
        try:
            async with asyncio.timeout(limit):
                request = await self._render(call)
                take = self._pool.reopen if again else self._pool.open
                connection = await take(min(CONNECT_TIMEOUT, limit))
                connection.send(request)
                status = await connection.head()
                if (status != expect) if expect else not 200 <= status < 300:
                    body = b"" if status == 101 else await connection.read_all(MAX_ERROR_BODY)
                    if status == 401:
                        self._authenticator.invalidate()
                    raise forge_error(call, status, connection.headers, body)
        except BaseException as error:
            if connection is not None:
                self._pool.discard(connection)
            if isinstance(error, TimeoutError):
                raise TransportError(f"{call.purpose}: no answer within {limit:g} s") from None
            if isinstance(error, TransportError):
                raise about(call, error) from None
            raise
        if again:
            self._watches.add(connection)
            if self._pool.is_outdated(connection):
                connection.finish()
        return connection

    def end(self, connection: Connection) -> None:
        """End the use of a connection got with `open`; one whose answer did not come to its end is closed."""
        self._watches.discard(connection)
        self._pool.leave(connection)

    def hand_over(self, connection: Connection) -> None:
        """A connection got with `open` belongs to another now, who closes it."""
        self._pool.hand_over(connection)

    async def pause(self, seconds: float) -> None:
        """Wait so long after a failure; less where another request finds the server back meanwhile."""
        if self._reachable.is_set():
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reachable.wait()

    async def _attempt(self, call: Call, limit: float) -> Response:
        request = await self._render(call)
        connection = await self._pool.borrow(min(CONNECT_TIMEOUT, limit))
        try:
            return await self._exchange(connection, call, request)
        except TransportError as error:
            if not connection.reused or connection.answered or not (call.idempotent or not error.sent):
                raise
        finally:
            self._pool.give_back(connection)
        # The server had closed the kept connection before it answered: not a failure, only a race.
        connection = await self._pool.borrow(min(CONNECT_TIMEOUT, limit), fresh=True)
        try:
            return await self._exchange(connection, call, request)
        finally:
            self._pool.give_back(connection)

    async def _exchange(self, connection: Connection, call: Call, request: bytes) -> Response:
        connection.send(request)
        status = await connection.head()
        body = await connection.read_all(MAX_BODY)
        if status >= 300 or status < 200:
            raise forge_error(call, status, connection.headers, body)
        return Response(status, dict(connection.headers), body)

    async def _render(self, call: Call) -> bytes:
        authorization = await self._authenticator.authorization()
        if self._generation != self._authenticator.generation:
            self._forget()
        headers = [*self._fixed, ("Accept", call.accept)]
        if authorization:
            headers.append(("Authorization", authorization))
        if call.body:
            headers.append(("Content-Type", call.content_type))
        headers += call.headers
        return render_request(call.method, self._endpoint.prefix + call.target, headers, call.body)

    def _forget(self) -> None:
        self._generation = self._authenticator.generation
        self._pool.forget_kept()

    async def _dial(self, timeout: float) -> Connection:
        try:
            connection = await dial(self._endpoint, self._authenticator.context, self.traffic, timeout)
        except TransportError:
            self._reachable.clear()
            raise
        self._reachable.set()
        return connection


def about(call: Call, error: errors.KubeError) -> errors.KubeError:
    """The same error; one of transport is made to say what was asked for, as an ApiError does already."""
    if isinstance(error, TransportError):
        return type(error)(f"{call.purpose}: {error}", sent=error.sent)
    return error


def forge_error(call: Call, status: int, headers: list[tuple[str, str]], body: bytes) -> ApiError:
    """The exception for an answer that is no success."""
    try:
        details = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        details = Status(message=body[:200].decode("utf-8", "replace").strip() or None)
    return error_of(call.purpose, status, details, retry_after=_retry_after(headers))


def error_of(purpose: str, status: int, details: Status, *, retry_after: float | None = None) -> ApiError:
    """The exception for a Status, from an answer or from an ERROR event of a watch."""
    reason = details.reason or ""
    if reason == "AlreadyExists":
        kind: type[ApiError] = errors.AlreadyExists
    elif status >= 500:
        unasked = "failed calling webhook" in (details.message or "")
        kind = errors.WebhookUnavailable if unasked else errors.ServerError
    else:
        kind = _BY_CODE.get(status, ApiError)
    if retry_after is None and details.details is not None and details.details.retry_after_seconds:
        retry_after = float(details.details.retry_after_seconds)
    message = " ".join((details.message or "no message").split())[:1000]
    label = f"{status} {reason}".rstrip()
    text = f"{purpose}: {message} ({label})"
    return kind(text, code=status, reason=reason, retry_after=retry_after, detail=message)


def _retry_after(headers: list[tuple[str, str]]) -> float | None:
    for name, value in headers:
        if name == "retry-after" and value.isdecimal() and len(value) < 10:
            return float(value)
    return None
