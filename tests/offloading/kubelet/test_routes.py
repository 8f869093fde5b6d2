"""Paths of the kubelet API, the permission each takes, and what becomes of their queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.offloading.kubelet.routes import (
    NodeRoute,
    PodRoute,
    log_query,
    parse_route,
    stream_query,
    subresources,
    verb,
)

EXEC = PodRoute("exec", "shop", "web-0", container="main")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/containerLogs/shop/web-0/main", PodRoute("containerLogs", "shop", "web-0", container="main")),
        ("/exec/shop/web-0/main", EXEC),
        ("/exec/shop/web-0/1b-2c/main", PodRoute("exec", "shop", "web-0", "1b-2c", "main")),
        ("/attach/shop/web-0/main/", PodRoute("attach", "shop", "web-0", container="main")),
        ("/attach/shop/web-0/1b/main", PodRoute("attach", "shop", "web-0", "1b", "main")),
        ("/portForward/shop/web-0", PodRoute("portForward", "shop", "web-0")),
        ("/portForward/shop/web-0/1b", PodRoute("portForward", "shop", "web-0", "1b")),
        ("/pods", NodeRoute("/pods")),
        ("/pods/", NodeRoute("/pods")),
        ("/runningpods/", NodeRoute("/runningpods")),
        ("/stats/summary", NodeRoute("/stats/summary")),
        ("/metrics/resource", NodeRoute("/metrics/resource")),
        ("/", None),
        ("", None),
        ("/run/shop/web-0/main", None),
        ("/exec/shop/web-0", None),
        ("/exec/shop/../main", None),
        ("/exec/shop/web?x/main", None),
        ("/exec/shop/web%2f0/main", None),
        ("/containerLogs/shop/web-0/1b/main", None),
        ("/configz", None),
    ],
)
def test_paths(path: str, route: PodRoute | NodeRoute | None) -> None:
    assert parse_route(path) == route


@given(st.text(alphabet="/abc.-%?#\\ \n", max_size=40), st.sampled_from(["exec", "attach", "containerLogs"]))
def test_what_becomes_part_of_a_providers_path_is_a_name(rest: str, action: str) -> None:
    route = parse_route(f"/{action}{rest}")
    if isinstance(route, PodRoute):
        for name in (route.namespace, route.pod, route.container):
            assert not set(name) & set("/%?#\\ \n")
            assert name not in (".", "..")


def test_a_stream_takes_the_permission_to_create_whatever_the_method() -> None:
    assert verb("GET", EXEC) == "create"
    assert verb("POST", EXEC) == "create"
    assert verb("DELETE", EXEC) == ""
    assert verb("GET", PodRoute("containerLogs", "a", "b", container="c")) == "get"
    assert verb("HEAD", NodeRoute("/pods")) == ""


def test_subresources_are_those_of_kubelets() -> None:
    assert subresources(EXEC) == ("proxy",)
    assert subresources(None) == ("proxy",)
    assert subresources(NodeRoute("/metrics/cadvisor")) == ("metrics",)
    assert subresources(NodeRoute("/stats/summary")) == ("stats",)
    assert subresources(NodeRoute("/pods")) == ("pods", "proxy")
    assert subresources(NodeRoute("/runningpods")) == ("pods", "proxy")


def test_the_query_of_exec_is_translated() -> None:
    query = [("command", "sh"), ("command", "-c"), ("command", "a b&c"), ("input", "1"), ("output", "1")]
    assert stream_query(EXEC, [*query, ("error", "1"), ("tty", "0"), ("evil", "1")]) == [
        ("container", "main"),
        ("command", "sh"),
        ("command", "-c"),
        ("command", "a b&c"),
        ("stdin", "true"),
        ("stdout", "true"),
        ("stderr", "true"),
    ]


def test_the_query_of_port_forward_and_attach_is_translated() -> None:
    forward = PodRoute("portForward", "shop", "web")
    assert stream_query(forward, [("port", "80"), ("port", "443"), ("x", "y")]) == [
        ("ports", "80"),
        ("ports", "443"),
    ]
    attach = PodRoute("attach", "shop", "web", container="c")
    assert stream_query(attach, [("tty", "true"), ("command", "sh")]) == [("container", "c"), ("tty", "true")]


def test_the_query_of_logs_is_passed_on_as_far_as_it_is_known() -> None:
    route = PodRoute("containerLogs", "shop", "web", container="c")
    asked = [("follow", "true"), ("tailLines", "3"), ("container", "other"), ("pretty", "1")]
    assert log_query(route, asked) == [("container", "c"), ("follow", "true"), ("tailLines", "3")]
