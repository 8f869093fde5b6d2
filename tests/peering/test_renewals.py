"""Renewed certificates find their way back, and never an older one (behaviour 3.8)."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from isthmus.api.authentication import AuthParams, Renew, Tenant
from isthmus.peering.renewals import is_newer, plan_answer
from isthmus.peering.secret_data import encode

from .objects import decode, params, tenant
from .test_validity import certificate


def issued(day: int, **fields: Any) -> AuthParams:
    begin = datetime.datetime(2026, 1, day, tzinfo=datetime.UTC)
    pem = certificate(begin, begin + datetime.timedelta(days=365))
    return AuthParams(signed_crt=encode(pem), api_server="https://milan:6443", **fields)


def test_only_a_certificate_that_is_not_older_is_taken() -> None:
    old, new = issued(1), issued(2)
    assert is_newer(new, old)
    assert not is_newer(old, new)
    assert not is_newer(new, new)


def test_a_new_address_for_the_same_certificate_is_taken() -> None:
    old = issued(1)
    moved = AuthParams(signed_crt=old.signed_crt, api_server="https://elsewhere:6443")
    assert is_newer(moved, old)


def test_what_is_no_certificate_is_never_taken_but_always_replaced() -> None:
    assert not is_newer(params(), issued(1))
    assert is_newer(issued(1), params())


def renew(consumer: str = "rome", kind: str = "ControlPlane") -> Renew:
    return decode(Renew, {"spec": {"consumerClusterID": consumer, "identityType": kind}})


def admitted() -> Tenant:
    status = {"tenantNamespace": "liqo-tenant-rome", "authParams": msgspec.to_builtins(params())}
    return decode(Tenant, msgspec.to_builtins(tenant()) | {"status": status})


def test_the_provider_answers_with_the_tenants_parameters() -> None:
    patch = plan_answer(renew(), [admitted()])
    assert patch is not None
    assert patch["status"]["authParams"]["apiServer"] == "https://milan:6443"


def test_the_provider_does_not_answer_another_consumer_or_kind() -> None:
    assert plan_answer(renew("turin"), [admitted()]) is None
    assert plan_answer(renew(kind="ResourceSlice"), [admitted()]) is None
    assert plan_answer(renew(), [tenant()]) is None
    assert plan_answer(renew(), []) is None
