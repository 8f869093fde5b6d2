"""The containers of a local pod, which of them may run again once they have ended, and what its readiness waits for.

The API server refuses a status by which a container runs again that its spec says shall not; the rules here are
its own. Pure.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, field

from isthmus.kube.objects import Base


class ExitCodes(Base, frozen=True, kw_only=True):
    """Which exit codes a rule is for: those In its values, or NotIn them."""

    operator: str = "In"
    values: list[int] = field(default_factory=list)


class RestartRule(Base, frozen=True, kw_only=True):
    """What happens when a container ends with one of certain exit codes: Restart or RestartAllContainers."""

    action: str = ""
    exit_codes: ExitCodes | None = None

    def matches(self, exit_code: int) -> bool:
        """Whether the rule is for that exit code."""
        return self.exit_codes is not None and (exit_code in self.exit_codes.values) == (
            self.exit_codes.operator == "In"
        )


class Container(Base, frozen=True, kw_only=True):
    """What of a container decides whether it runs again."""

    name: str = ""
    restart_policy: str = ""
    restart_policy_rules: list[RestartRule] = field(default_factory=list)


class ReadinessGate(Base, frozen=True, kw_only=True):
    """A condition that somebody sets, which a pod waits for before it is ready."""

    condition_type: str = ""


class Containers(Base, frozen=True, kw_only=True):
    """What of a PodSpec decides whether its containers run again, and whether it is ready."""

    restart_policy: str = "Always"
    init_containers: list[Container] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    ephemeral_containers: list[Container] = field(default_factory=list)
    readiness_gates: list[ReadinessGate] = field(default_factory=list)

    def gates(self) -> list[str]:
        """The conditions that the pod waits for before it is ready."""
        return [gate.condition_type for gate in self.readiness_gates]

    def names(self) -> set[str]:
        """The names of all containers."""
        every = (*self.init_containers, *self.containers, *self.ephemeral_containers)
        return {container.name for container in every}

    def may_run_again(self, name: str, exit_code: int) -> bool:
        """Whether a container that ended with an exit code may run again in the same pod."""
        lasting = [*self.init_containers, *self.containers]
        rules = [rule for container in lasting for rule in container.restart_policy_rules]
        if any(rule.action == "RestartAllContainers" for rule in rules):
            return True
        for container in lasting:
            if container.name == name:
                if any(rule.matches(exit_code) for rule in container.restart_policy_rules):
                    return True
                policy = container.restart_policy or self.restart_policy
                return policy == "Always" or (policy == "OnFailure" and exit_code != 0)
        return False  # An ephemeral container never does.


def containers_of(spec: Raw) -> Containers:
    """The containers of a PodSpec. Raises msgspec.DecodeError where it is malformed."""
    return msgspec.json.decode(spec, type=Containers)
