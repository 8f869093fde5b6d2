"""Kubeconfigs: resolved as kubectl does, refused with one clear error that names the field and the mend."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.kube import credentials as module
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, in_cluster, load_kubeconfig, parse_kubeconfig
from isthmus.kube.errors import ConfigurationError

from .fake import Exchange, FakeServer


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c1", "cluster": {"server": "https://c1:6443", **cluster}}],
        "users": [{"name": "u1", "user": user if user is not None else {"token": "t"}}],
        "contexts": [{"name": "one", "context": {"cluster": "c1", "user": "u1", "namespace": "ns"}}],
    }


def test_a_context_is_resolved() -> None:
    document = kubeconfig(
        {"client-certificate-data": b64("CERT"), "client-key-data": b64("KEY")},
        **{
            "certificate-authority-data": b64("CA"),
            "tls-server-name": "api",
            "proxy-url": "http://proxy:3128",
        },
    )
    assert parse_kubeconfig(yaml.safe_dump(document)) == Credentials(
        server="https://c1:6443",
        namespace="ns",
        ca_data="CA",
        tls_server_name="api",
        client_certificate_data="CERT",
        client_key_data="KEY",
        proxy_url="http://proxy:3128",
    )


def test_context_cluster_and_user_may_be_chosen() -> None:
    document = kubeconfig()
    document["clusters"].append({"name": "c2", "cluster": {"server": "https://c2"}})
    document["users"].append({"name": "u2", "user": {"token": "t2"}})
    document["contexts"].append({"name": "two", "context": {"cluster": "c2", "user": "u2"}})
    text = yaml.safe_dump(document)
    assert parse_kubeconfig(text, context="two").namespace == "default"
    assert parse_kubeconfig(text, context="two").token.endswith("2")
    assert parse_kubeconfig(text, cluster="c2").server == "https://c2"
    assert parse_kubeconfig(text, user="u2").token.endswith("2")


def test_files_are_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    document = kubeconfig({"tokenFile": "token"}, **{"certificate-authority": "ca.crt"})
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    loaded = load_kubeconfig(tmp_path / "config")
    assert (loaded.ca_data, loaded.token_file) == ("CA", str(tmp_path / "token"))


def test_the_variable_names_a_list_whose_first_values_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(yaml.safe_dump({"current-context": "one", "clusters": [], "users": None}))
    document = kubeconfig()
    document["current-context"] = "elsewhere"
    second.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    assert load_kubeconfig().server == "https://c1:6443"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"cluster": {"insecure-skip-tls-verify": True}},
            r"clusters\[c1\].*insecure-skip-tls-verify.*remove it",
        ),
        ({"cluster": {"server": ""}}, r"clusters\[c1\]\.cluster\.server is missing"),
        ({"cluster": {"server": "http://c1:8080"}}, r"cluster\.server: 'http://c1:8080'.*use https://"),
        ({"cluster": {"server": "c1:6443"}}, r"cluster\.server: 'c1:6443'.*https://host:6443"),
        ({"cluster": {"server": "https://c1:port"}}, r"cluster\.server: 'https://c1:port'"),
        ({"cluster": {"proxy-url": "socks5://u:secret@p:1"}}, r"cluster\.proxy-url: .*'socks5'.*CONNECT"),
        ({"cluster": {"certificate-authority-data": "%"}}, r"certificate-authority-data is not base64"),
        ({"user": {"username": "u", "password": "secret"}}, r"users\[u1\]\.user\.username.*token"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, "auth-provider.*exec plugin"),
        ({"user": {"as": "admin", "token": "t"}}, "user.as.*impersonation"),
        ({"user": {"client-certificate-data": b64("C")}}, "client-key is missing"),
        ({"user": {"tokenFile": "/etc/passwd"}}, "tokenFile is not accepted here"),
        ({"user": {"exec": {"command": "sh"}}}, "exec is not accepted here"),
        ({"current-context": "nowhere"}, r"current-context names 'nowhere'.*\(one\)"),
        ({"current-context": ""}, "current-context is not set"),
        (
            {"contexts": [{"name": "one", "context": {"cluster": "gone"}}]},
            r"context 'one' names 'gone'.*\(c1\)",
        ),
        ({"clusters": "text"}, "is not a valid kubeconfig"),
    ],
)
def test_a_fault_is_one_clear_error(change: dict[str, Any], complaint: str) -> None:
    document = kubeconfig(change.pop("user", None), **change.pop("cluster", {}))
    document.update(change)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        parse_kubeconfig(yaml.safe_dump(document), source="the file")
    assert str(caught.value).startswith("the file: ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "just text", "- list", "{", b"\xff\xfe\x00", "a: [1"])
def test_what_is_no_kubeconfig_is_one_clear_error(text: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        parse_kubeconfig(text, source="file")


def test_a_missing_file_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="nowhere: no such file"):
        load_kubeconfig(tmp_path / "nowhere")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match=r"\$KUBECONFIG"):
        load_kubeconfig()


def test_the_service_account_of_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match="this is not a pod"):
        in_cluster()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigurationError, match="mount its service account"):
        in_cluster()
    for name, text in (("token", "t"), ("ca.crt", "CA"), ("namespace", "ns\n")):
        (tmp_path / name).write_text(text)
    found = in_cluster()
    assert (found.server, found.namespace, found.ca_data) == ("https://[fd00::1]:443", "ns", "CA")
    assert found.token_file == str(tmp_path / "token")


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(Credentials("https://x", token="hush", client_key_data="hush"))  # noqa: S106
    assert "hush" not in shown


PLUGIN = """
import json, os, sys, time
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
runs = open(sys.argv[1], "a+"); runs.write("x"); runs.seek(0)
status = {"token": os.environ["PREFIX"] + str(len(runs.read())) + info["spec"].get("cluster", {}).get("server", "")}
if sys.argv[2] != "-":
    status["expirationTimestamp"] = sys.argv[2]
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


class TestPlugin:
    """Credential plugins (exec)."""

    V1 = "client.authentication.k8s.io/v1"

    def credentials(self, server: str, tmp_path: Path, expires: str = "-", **exec_: Any) -> Credentials:
        program = tmp_path / "plugin.py"
        program.write_text(PLUGIN)
        config = {
            "apiVersion": self.V1,
            "command": sys.executable,
            "args": [str(program), str(tmp_path / "runs"), expires],
            "env": [{"name": "PREFIX", "value": "p"}],
            "interactiveMode": "Never",
            **exec_,
        }
        return Credentials(server, exec=config)

    @pytest.mark.parametrize(
        ("expires", "tokens"),
        [
            ("-", ["p1", "p1"]),
            ("2099-01-01T00:00:00Z", ["p1", "p1"]),
            ("2001-01-01T00:00:00Z", ["p1", "p2"]),
        ],
    )
    async def test_it_runs_again_when_its_token_expired(
        self, tmp_path: Path, expires: str, tokens: list[str]
    ) -> None:
        async def handle(exchange: Exchange) -> None:
            await exchange.respond(200, {"gitVersion": "v1"})

        async with (
            FakeServer(handle) as server,
            Client(self.credentials(server.url, tmp_path, expires)) as client,
        ):
            await client.version()
            await client.version()
        assert [e.headers["authorization"] for e in server.received] == [
            f"Bearer {token}" for token in tokens
        ]

    async def test_it_is_told_of_the_cluster_when_it_wants(self, tmp_path: Path) -> None:
        async def handle(exchange: Exchange) -> None:
            await exchange.respond(200, {"gitVersion": "v1"})

        server = FakeServer(handle)
        await server.listen()
        async with server, Client(self.credentials(server.url, tmp_path, provideClusterInfo=True)) as client:
            await client.version()
        assert server.received[0].headers["authorization"] == f"Bearer p1{server.url}"

    @pytest.mark.parametrize(
        ("exec_", "complaint"),
        [
            (
                {"command": "/nowhere/plugin", "installHint": "get it there"},
                "'/nowhere/plugin' cannot be run.*get it",
            ),
            ({"command": "false", "args": []}, "'false' failed with exit code 1"),
            ({"command": "echo", "args": ["hush"]}, "'echo' did not print an ExecCredential"),
            (
                {"command": "echo", "args": ['{"kind":"ExecCredential","apiVersion":"x"}']},
                "set exec.apiVersion",
            ),
            ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "exec.apiVersion"),
        ],
    )
    async def test_a_fault_is_one_clear_error(
        self, tmp_path: Path, exec_: dict[str, Any], complaint: str
    ) -> None:
        async with Client(self.credentials("http://127.0.0.1:1", tmp_path, **exec_)) as client:
            with pytest.raises(ConfigurationError, match=complaint) as caught:
                await client.version()
        assert "hush" not in str(caught.value)
