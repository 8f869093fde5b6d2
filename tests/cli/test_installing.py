"""`isthmus install`, `version` and `uninstall` against a cluster in memory that has nothing, or what they left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tests.apiserver import ApiServer, Outcome, command, kubeconfig
from tests.cli.played import failure
from tests.install.cluster import cluster

INSTALL = ("install", "--cluster-id", "rome", "--disable-api-server-sanity-check")
VERSION = metadata.version("isthmus")


class Rome:
    """An empty cluster, and commands in it."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        self.api = api
        self._kubeconfig = kubeconfig(api, folder)

    async def __call__(self, *words: str) -> Outcome:
        return await command(*words, "--kubeconfig", self._kubeconfig)

    def wrote(self) -> list[str]:
        return [str(one) for one in self.api.asked("write") if one.plural and "dryRun" not in one.query]


@pytest.fixture
async def rome(tmp_path: Path) -> AsyncIterator[Rome]:
    async with cluster() as api:
        yield Rome(api, tmp_path)


async def test_a_cluster_from_nothing_to_installed_to_nothing(rome: Rome) -> None:
    before = set(rome.api.objects)
    ended = await rome(*INSTALL)
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert ended.err.splitlines()[-1] == f'· Isthmus {VERSION} is ready; this cluster is "rome"'
    ended = await rome("version")
    assert ended.out == f"Client version: {VERSION}\nServer version: {VERSION}\n"
    ended = await rome("info", "--get", "clusterid")
    assert ended.out == "rome\n", ended.err
    told = failure(await rome("install", "--cluster-id", "milan"))
    assert "--cluster-id" in told
    assert "rome" in told
    told = failure(await rome("uninstall"), code=2)
    assert f'"Remove Isthmus from the cluster at {rome.api.url}?"' in told
    ended = await rome("uninstall", "--skip-confirm", "--purge")
    assert (ended.code, ended.err.splitlines()[-1]) == (0, "· Isthmus is removed")
    assert set(rome.api.objects) == before
    ended = await rome("uninstall", "--skip-confirm", "--purge")
    assert (ended.code, ended.err) == (0, "· Isthmus is not installed there; nothing to remove\n")
    told = failure(await rome("version"))
    assert told.startswith(f'Isthmus is not installed in namespace "liqo" of the cluster at {rome.api.url}')


async def test_without_any_kubeconfig_the_version_here_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    ended = await command("version")
    assert (ended.code, ended.out) == (0, f"Client version: {VERSION}\n")
    assert (
        ended.err
        == f"· no version of a server: {tmp_path}/.kube/config: no such file; give the path of a kubeconfig\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    ended = await command("version")
    assert (ended.code, ended.out) == (0, f"Client version: {VERSION}\n")
    assert "$KUBECONFIG" in ended.err


@pytest.mark.parametrize("flag", ["--kubeconfig", "--context"])
async def test_a_cluster_that_is_asked_for_must_be_there(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    ended = await command("version", flag, "nowhere")
    assert "no such file" in failure(ended)
    ended = await command("version", "--client", flag, "nowhere")
    assert (ended.code, ended.out, ended.err) == (0, f"Client version: {VERSION}\n", "")


async def test_a_dry_run_prints_with_what_only_the_cluster_tells(rome: Rome) -> None:
    ended = await rome("install", "--dry-run")
    assert ended.code == 0, ended.err
    shown = [one for one in yaml.safe_load_all(ended.out) if one]
    ranges = {one["spec"]["cidr"] for one in shown if one["kind"] == "Network"}
    assert ranges >= {"10.244.0.0/16", "10.96.0.0/16"}
    assert rome.wrote() == []


async def test_a_dry_run_with_everything_said_asks_no_cluster(rome: Rome) -> None:
    said = ("--cluster-id", "rome", "--pod-cidr", "10.1.0.0/16", "--service-cidr", "10.2.0.0/16")
    ended = await rome("install", "--dry-run", *said)
    assert "10.1.0.0/16" in ended.out
    assert rome.api.requests == []


async def test_values_are_written_to_a_file_that_installs_the_same(rome: Rome, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    flags = ("--only-output-values", "--dump-values-path", str(path))
    ended = await rome("install", "--cluster-id", "rome", "--pod-cidr", "10.1.0.0/16", *flags)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"· values written to {path}: isthmus install --values {path}\n"
    again = await rome("install", "--values", str(path), "--only-output-values")
    assert again.out == path.read_text()
    told = failure(await rome("install", *flags[:-1], str(tmp_path / "none" / "values.yaml")))
    assert told == (
        f"--dump-values-path {tmp_path}/none/values.yaml: No such file or directory: give a file that can be written"
    )


@pytest.mark.parametrize("command", [INSTALL, ("uninstall", "--skip-confirm")])
async def test_a_cluster_that_does_not_answer(rome: Rome, command: tuple[str, ...]) -> None:
    await rome.api.stop()
    told = failure(await rome(*command))
    assert f"the local cluster at {rome.api.url} cannot be reached" in told
    assert "check the server of --kubeconfig" in told
    await rome.api.start()


async def test_a_controller_that_does_not_come_up_is_told_at_the_end_of_the_time(tmp_path: Path) -> None:
    async with cluster(works=False) as api:
        told = failure(await Rome(api, tmp_path)(*INSTALL, "--timeout", "1s"))
    assert told == (
        "the controller was not ready within 1 s: the rollout has not begun: everything else is installed: fix this "
        "and run isthmus install again"
    )


async def test_what_is_in_use_is_not_removed(rome: Rome) -> None:
    await rome(*INSTALL)
    rome.api.create("foreignclusters", {"metadata": {"name": "milan"}, "spec": {"clusterID": "milan"}})
    metadata = {
        "namespace": "liqo-tenant-milan",
        "name": "milan",
        "labels": {"liqo.io/remote-cluster-id": "milan"},
    }
    rome.api.create("identities", {"metadata": metadata, "spec": {"clusterID": "milan"}})
    rome.api.requests.clear()
    told = failure(await rome("uninstall", "--skip-confirm"))
    assert "milan" in told
    assert "isthmus unpeer" in told
    assert rome.wrote() == []


async def test_a_user_who_may_not_install_is_told_all_of_it_before(rome: Rome) -> None:
    rome.api.reviews["selfsubjectaccessreviews"] = lambda _: {"allowed": False}
    told = failure(await rome(*INSTALL))
    assert "customresourcedefinitions" in told
    assert rome.wrote() == []
