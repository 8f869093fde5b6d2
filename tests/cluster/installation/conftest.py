"""A small lab apart, one cluster with one node, for tests that install and remove: the shared one stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from isthmus import lab
from tests.cluster.installation.commands import install, remains, uninstall, versions
from tests.cluster.support import Cluster, isthmus, lab_cluster

ENVIRONMENT = {"ISTHMUS_LAB_NAME": "install", "ISTHMUS_LAB_NETWORK": "10.214.0.0/16"}


@contextmanager
def lab_apart(environment: dict[str, str]) -> Iterator[Cluster]:
    """A lab of one cluster with the image of Isthmus and nothing else, beside all others; gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        lab.down()
        lab.up(clusters=1, workers=1)
        try:
            lab.load_image(str(lab.build_image()))
            cluster = lab_cluster("rome")
            patch.undo()
            yield cluster
        finally:
            for name, value in environment.items():
                patch.setenv(name, value)
            lab.down()


@pytest.fixture(scope="package")
def small() -> Iterator[Cluster]:
    """One cluster with the image of Isthmus and nothing else."""
    with lab_apart(ENVIRONMENT) as cluster:
        yield cluster


@pytest.fixture
def empty(small: Cluster) -> Cluster:
    """The cluster with nothing of Isthmus in it."""
    if remains(small):
        uninstall(small, "--purge")
    return small


@pytest.fixture(scope="package")
def as_installed() -> dict[str, str]:
    """The versions of all objects as `installed_small` last left them."""
    return {}


@pytest.fixture
def installed_small(small: Cluster, as_installed: dict[str, str]) -> Cluster:
    """The cluster with Isthmus in it as it is without any flag, whatever the test before did."""
    there = small.get("deployment", "liqo-controller-manager", "-n", "liqo") is not None
    if not there or versions(small) != as_installed:
        install(small, "--timeout", "120s")
        as_installed.clear()
        as_installed.update(versions(small))
    return small


@pytest.fixture
def on_node(small: Cluster) -> Callable[..., str]:
    """Runs a command on the only node of the small lab; what it says."""

    def run(*command: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            return isthmus("lab", "exec", "rome-worker-1", *command).stdout

    return run
