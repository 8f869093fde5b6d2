"""What a NamespaceOffloading tells its user: conditions by NamespaceMap and one phase for all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isthmus.api.offloading import (
    NamespaceMap,
    NamespaceOffloading,
    NamespaceOffloadingStatus,
    RemoteNamespace,
    RemoteNamespaceCondition,
)

READY = "Ready"
NO_CLUSTER_SELECTED = "NoClusterSelected"
IN_PROGRESS = "InProgress"
SOME_FAILED = "SomeFailed"
ALL_FAILED = "AllFailed"
TERMINATING = "Terminating"

ACCEPTED = "Accepted"
CREATION_LOOP_BACK_OFF = "CreationLoopBackOff"

OFFLOADING_REQUIRED = "OffloadingRequired"


def map_status(
    offloading: NamespaceOffloading,
    remote_name: str,
    selected: set[str],
    maps: Mapping[str, NamespaceMap],
    now: str,
) -> NamespaceOffloadingStatus:
    """The status, from the providers selected and every provider's NamespaceMap (by provider id).

    `now` (RFC 3339) becomes the transition time of conditions whose status changed; the others keep theirs.
    """
    namespace = offloading.metadata.namespace
    conditions: dict[str, list[RemoteNamespaceCondition]] = {}
    outcomes: list[str] = []
    for provider in sorted(selected | maps.keys()):
        current = maps[provider].status.current_mapping.get(namespace) if provider in maps else None
        if provider not in selected and current is None:
            if not offloading.deleting:
                conditions[provider] = [_required(False)]
            continue
        outcome = _outcome(current, remote_name)
        if provider in selected:
            outcomes.append(outcome)
        if offloading.deleting and current is not None:
            conditions[provider] = [_required(False), _going(current)]
        else:
            conditions[provider] = [_required(provider in selected), _ready(outcome, current, remote_name)]
    before = offloading.status.remote_namespaces_conditions
    return NamespaceOffloadingStatus(
        offloading_phase=TERMINATING if offloading.deleting else phase_of(outcomes),
        remote_namespace_name=remote_name,
        remote_namespaces_conditions={
            provider: [_timed(c, before.get(provider, ()), now) for c in found]
            for provider, found in conditions.items()
        },
        observed_generation=offloading.metadata.generation,
    )


def phase_of(outcomes: list[str]) -> str:
    """One phase for the outcomes (Ready, InProgress, SomeFailed) of all providers selected."""
    if not outcomes:
        return NO_CLUSTER_SELECTED
    failed = outcomes.count(SOME_FAILED)
    if failed:
        return ALL_FAILED if failed == len(outcomes) else SOME_FAILED
    return IN_PROGRESS if IN_PROGRESS in outcomes else READY


def _outcome(current: RemoteNamespace | None, remote_name: str) -> str:
    if current is None or current.remote_namespace != remote_name:
        return IN_PROGRESS
    return {ACCEPTED: READY, CREATION_LOOP_BACK_OFF: SOME_FAILED}.get(current.phase, IN_PROGRESS)


def _required(selected: bool) -> RemoteNamespaceCondition:
    if selected:
        return RemoteNamespaceCondition(
            type=OFFLOADING_REQUIRED,
            status="True",
            reason="ClusterSelected",
            message="The cluster is selected by the cluster selector",
        )
    return RemoteNamespaceCondition(
        type=OFFLOADING_REQUIRED,
        status="False",
        reason="ClusterNotSelected",
        message="The cluster is not selected by the cluster selector",
    )


def _ready(outcome: str, current: RemoteNamespace | None, remote_name: str) -> RemoteNamespaceCondition:
    status, reason, message = {
        READY: ("True", "NamespaceCreated", f"The provider has the namespace {remote_name}"),
        SOME_FAILED: (
            "False",
            "CreationLoopBackOff",
            f"The provider could not create the namespace {remote_name}: the name is reserved there or in use",
        ),
    }.get(outcome, ("False", "CreationInProgress", f"Waiting for the provider to create {remote_name}"))
    if current is not None and current.phase == TERMINATING:
        return _going(current)
    return RemoteNamespaceCondition(type=READY, status=status, reason=reason, message=message)


def _going(current: RemoteNamespace) -> RemoteNamespaceCondition:
    return RemoteNamespaceCondition(
        type=READY,
        status="False",
        reason="NamespaceTerminating",
        message=f"Waiting for the provider to delete {current.remote_namespace}",
    )


def _timed(
    condition: RemoteNamespaceCondition, before: Iterable[RemoteNamespaceCondition], now: str
) -> RemoteNamespaceCondition:
    since = now
    for old in before:
        if old.type == condition.type and old.status == condition.status and old.last_transition_time:
            since = old.last_transition_time
    return RemoteNamespaceCondition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        last_transition_time=since,
    )
