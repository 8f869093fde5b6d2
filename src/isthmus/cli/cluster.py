"""One of the clusters a command works on: its client, and how it is called in what a user reads.

`connect` opens it and closes it; `explained` turns whatever its API server answers into a line that says which
cluster, which address and which flag.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal

from isthmus.cli.errors import CommandError
from isthmus.cli.marks import MarkingClient
from isthmus.cli.progress import Progress, Step
from isthmus.kube import errors
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials

Side = Literal["local", "remote"]

CONTROLLER_PATIENCE = 25.0
"""Seconds a write waits for a controller that is just starting, and with it the webhooks; requests have 30."""


@dataclass(slots=True)
class Cluster:
    """A cluster a command talks to; `namespace` is where Isthmus is installed, `id` "" until it was read."""

    client: Client
    side: Side
    namespace: str
    id: str = ""

    @property
    def tag(self) -> str:
        """How lines of progress name the cluster: by its id, before that is known by its side."""
        return self.id or self.side

    @property
    def server(self) -> str:
        """The URL of its API server."""
        return self.client.credentials.server

    @property
    def title(self) -> str:
        """How sentences name the cluster."""
        return f'the {self.side} cluster "{self.id}"' if self.id else f"the {self.side} cluster"

    def flag(self, name: str) -> str:
        """The flag that says this about the cluster, such as `--remote-kubeconfig`."""
        return f"--remote-{name}" if self.side == "remote" else f"--{name}"


@asynccontextmanager
async def connect(
    credentials: Credentials, side: Side = "local", namespace: str = ""
) -> AsyncIterator[Cluster]:
    """A cluster, its connections closed at the end. Raises CommandError where the credentials are unusable."""
    try:
        client = MarkingClient(
            credentials, user_agent="isthmus-cli", attempts=4, webhook_patience=CONTROLLER_PATIENCE
        )
    except errors.ConfigurationError as error:
        flag = "--remote-kubeconfig" if side == "remote" else "--kubeconfig"
        raise CommandError(f"{side} cluster, {flag}: {error}") from error
    async with client:
        yield Cluster(client, side, namespace)


@contextmanager
def explained(cluster: Cluster, doing: str) -> Iterator[None]:
    """Turn errors of the cluster's client into CommandErrors; `doing` says what was tried, as "reading it"."""
    try:
        yield
    except errors.KubeError as error:
        raise explain(cluster, doing, error) from error


def explain(cluster: Cluster, doing: str, error: errors.KubeError) -> CommandError:
    """What an error of the cluster's client means to the user, and what to do about it."""
    kubeconfig = cluster.flag("kubeconfig")
    match error:
        case errors.CertificateError():
            return CommandError(
                f"{cluster.title} at {cluster.server} failed TLS verification ({error})",
                f"check certificate-authority-data in {kubeconfig}",
            )
        case errors.TransportError():
            return CommandError(
                f"{cluster.title} at {cluster.server} cannot be reached ({error})",
                f"check the server of {kubeconfig}, and that the API server runs",
            )
        case errors.Unauthorized():
            return CommandError(
                f"{cluster.title} at {cluster.server} does not accept the credentials",
                f"check the user of {kubeconfig}; its certificate or token may have expired",
            )
        case errors.Forbidden():
            return CommandError(
                f"{doing} in {cluster.title} is not allowed ({error})",
                f"use a {kubeconfig} whose user has this permission",
            )
        case errors.ConfigurationError():
            return CommandError(f"{cluster.side} cluster, {kubeconfig}: {error}")
        case _:
            return CommandError(f"{doing} in {cluster.title} failed: {error}")


@contextmanager
def step(progress: Progress, title: str, cluster: Cluster) -> Iterator[Step]:
    """A step of progress in a cluster, with its errors explained."""
    with progress.step(title, cluster.tag) as current, explained(cluster, title):
        yield current
