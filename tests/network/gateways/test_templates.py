"""Rendering: what stock templates use works, everything else is refused by name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.networking import Endpoint, GatewayClientSpec, GatewayServerSpec, ServerEndpoint
from isthmus.network.gateways.templates import TemplateError, Variables, render


def variables(spec: GatewayServerSpec | GatewayClientSpec | None = None) -> Variables:
    return Variables(
        spec=spec
        or GatewayServerSpec(mtu=1340, endpoint=ServerEndpoint(port=51840, service_type="NodePort")),
        name="rome",
        namespace="liqo-tenant-rome",
        gateway_uid="0-1-2",
        cluster_id="rome",
        secret_name="gw-rome",  # noqa: S106 -- the name of a Secret
    )


def rendered(template: Any, spec: GatewayServerSpec | GatewayClientSpec | None = None) -> Any:
    return render(template, variables(spec), "WgGatewayServerTemplate liqo/wireguard-server")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ .Name }}", "rome"),
        ("gw-{{ .Name }}", "gw-rome"),
        ("{{.Namespace}}/{{.SecretName}}", "liqo-tenant-rome/gw-rome"),
        ("--mtu={{ .Spec.MTU }}", "--mtu=1340"),
        ("{{ .Spec.Endpoint.ServiceType }}", "NodePort"),
        ("{{ .Spec.Endpoint.LoadBalancerIP }}", ""),
        ("no placeholder", "no placeholder"),
    ],
)
def test_placeholders_are_replaced(text: str, expected: str) -> None:
    assert rendered({"key": text}) == {"key": expected}


def test_a_number_stays_a_number_but_for_places_of_text() -> None:
    template = {
        "port": "{{ .Spec.Endpoint.Port }}",
        "labels": {"port": "{{ .Spec.Endpoint.Port }}"},
        "args": ["{{ .Spec.MTU }}"],
        "env": [{"name": "MTU", "value": "{{ .Spec.MTU }}"}],
    }
    assert rendered(template) == {
        "port": 51840,
        "labels": {"port": "51840"},
        "args": ["1340"],
        "env": [{"name": "MTU", "value": "1340"}],
    }


def test_optional_keys_vanish_when_empty_and_lose_their_mark_when_not() -> None:
    template = {
        "?nodePort": "{{ .Spec.Endpoint.NodePort }}",
        "?loadBalancerIP": "{{ .Spec.Endpoint.LoadBalancerIP }}",
        "?mtu": "{{ .Spec.MTU }}",
        "?empty": {"?nothing": ""},
    }
    assert rendered(template) == {"mtu": 1340}
    spec = GatewayServerSpec(endpoint=ServerEndpoint(port=1, node_port=30000, load_balancer_ip="192.0.2.1"))
    assert rendered(template, spec) == {"nodePort": 30000, "loadBalancerIP": "192.0.2.1"}


def test_items_of_lists_can_be_taken() -> None:
    spec = GatewayClientSpec(endpoint=Endpoint(addresses=["192.0.2.1", "gw.example"], port=51840))
    assert rendered(["--endpoint={{ index .Spec.Endpoint.Addresses 1 }}"], spec) == ["--endpoint=gw.example"]
    with pytest.raises(TemplateError, match=r"index .Spec.Endpoint.Addresses 2 }} asks for item 2 of 2"):
        rendered("{{ index .Spec.Endpoint.Addresses 2 }}", spec)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ .Spec.MTU | quote }}", r"\.Spec\.MTU \| quote }} is not supported"),
        ('{{ printf "%d" .Spec.MTU }}', "is not supported"),
        ("{{ if .Spec.MTU }}x{{ end }}", "is not supported"),
        ("{{ range .Spec.Endpoint.Ports }}{{ . }}{{ end }}", "is not supported"),
        ("{{- .Name -}}", "is not supported"),
        ("{{ }}", "is not supported"),
        ("{{ .Nmae }}", r"\.Nmae }} names no variable: there are \.Spec, \.Name"),
        ("{{ .Spec.Mtuu }}", "names no field: there are .*mtu"),
        ("{{ .Name.First }}", "asks for the field First of what has none"),
        ("{{ index .Name 0 }}", "indexes what is not a list"),
        ("{{ .Spec.Endpoint.NodePort }}", "has no value for this gateway"),
        ("a {{ .Spec.Endpoint }}", "is not a string, number or boolean"),
        ("{{ .Name", "stands alone"),
        (".Name }}", "stands alone"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(text: str, fault: str) -> None:
    with pytest.raises(TemplateError, match=fault) as caught:
        rendered({"spec": [text]})
    assert str(caught.value).startswith("WgGatewayServerTemplate liqo/wireguard-server: ")


def test_an_unsupported_expression_is_no_reason_to_leave_an_optional_key_out() -> None:
    with pytest.raises(TemplateError, match="is not supported"):
        rendered({"?key": "{{ .Spec.MTU | quote }}"})


@given(st.lists(st.text(min_size=1)))
def test_nothing_breaks_out_of_an_environment_variable(addresses: list[str]) -> None:
    template = {
        "env": [{"name": "X", "value": {"addresses": "{{ .Spec.Endpoint.Addresses }}", "mode": "client"}}]
    }
    spec = GatewayClientSpec(endpoint=Endpoint(addresses=addresses))
    value = rendered(template, spec)["env"][0]["value"]
    assert json.loads(value) == {"addresses": addresses, "mode": "client"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(alphabet="abc$ ."),
        lambda children: st.lists(children) | st.dictionaries(st.text(alphabet="abc"), children),
    )
)
def test_what_has_no_placeholder_is_left_as_it_is(template: Any) -> None:
    assert rendered(template) == template


@given(st.text(alphabet="{} .|SpecMTU\n"))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        result = rendered({"key": text})
    except TemplateError:
        return
    assert "{{" not in str(msgspec.to_builtins(result)["key"])
