"""How failures are told."""

from __future__ import annotations

import io
import os
import sys

import click
import pytest

from isthmus.cli import execution
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError, describe, exit_code
from isthmus.cli.options import verbose_option
from isthmus.cli.progress import Progress, format_seconds
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import (
    CertificateError,
    ConfigurationError,
    Forbidden,
    KubeError,
    ServerError,
    TransportError,
    Unauthorized,
)


def raising(error: BaseException) -> click.Command:
    @click.command
    @verbose_option
    def command() -> None:
        raise error

    return command


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    monkeypatch.setattr("isthmus.cli.root.root", raising(error))
    return execution.execute(list(arguments), "isthmus")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            CommandError('cluster id "Rome" is not a valid DNS label', "use small letters"),
            1,
            'error: cluster id "Rome" is',
        ),
        (CommandError("wrong use", code=2), 2, "error: wrong use"),
        (Forbidden("create secrets: forbidden", code=403), 1, "use a kubeconfig whose user may do this"),
        (TransportError("GET https://10.0.0.1:6443/version: refused"), 1, "https://10.0.0.1:6443"),
        (CertificateError("self-signed"), 1, "check certificate-authority-data of the kubeconfig"),
        (Unauthorized("no", code=401), 1, "the credentials of the kubeconfig are not accepted"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (RuntimeError("surprise"), 1, "--verbose"),
    ],
)
def test_a_failure_is_told_without_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    assert run(monkeypatch, error) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            CertificateError("self-signed certificate"),
            'the remote cluster "milan" at https://milan:6443 failed TLS verification (self-signed '
            "certificate): check certificate-authority-data in --remote-kubeconfig",
        ),
        (
            ConfigurationError("the token file is empty"),
            "remote cluster, --remote-kubeconfig: the token file is empty",
        ),
        (
            ServerError("etcd is gone"),
            'reading it in the remote cluster "milan" failed: etcd is gone',
        ),
    ],
)
async def test_what_a_cluster_answers_is_told_with_its_flag(error: KubeError, said: str) -> None:
    client = Client(Credentials("https://milan:6443"))
    await client.close()
    cluster = Cluster(client, "remote", "liqo", "milan")
    with pytest.raises(CommandError) as told, explained(cluster, "reading it"):
        raise error
    assert str(told.value) == said


def test_a_reader_that_has_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert run(monkeypatch, BrokenPipeError()) == 1
    assert sys.stdout.name == os.devnull, "nothing more can fail when Python flushes it"
    sys.stdout.close()


def test_verbose_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, CommandError("no"), "--verbose")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("error: no\n")


def test_messages_stay_on_one_line() -> None:
    assert describe(ValueError("one\n  two")) == "one two"
    assert describe(TimeoutError()) == "TimeoutError: it took too long; give more time with --timeout"
    assert exit_code(ValueError()) == 1


def test_steps_are_one_line_each_with_cluster_and_time() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.step("Creating tenant namespace", cluster="milan") as step:
        step.title = "Tenant namespace liqo-tenant-rome"
    progress.warn("resources were denied", cluster="rome")
    first, second = stream.getvalue().splitlines()
    assert first == "ok   (milan) Tenant namespace liqo-tenant-rome  0.0 s"
    assert second == "WARN (rome) resources were denied"


def test_a_failed_step_says_what_it_waited_for_and_lets_the_error_go_on() -> None:
    stream = io.StringIO()
    with pytest.raises(CommandError), Progress(stream).step("Waiting", cluster="rome") as step:  # noqa: PT012
        step.update("no nonce yet")
        raise CommandError("no")
    assert stream.getvalue() == "FAIL (rome) Waiting [no nonce yet]  0.0 s\n"


def test_live_steps_end_in_the_same_line() -> None:
    stream = io.StringIO()
    with Progress(stream, live=True).step("Waiting [1/2]", cluster="rome") as step:
        step.update("still")
    assert "(rome) Waiting [1/2]" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.97, "10 s"), (125, "2 min 5 s")]
)
def test_elapsed_time_reads_well(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
