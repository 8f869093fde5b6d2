"""The sub-commands of `isthmus install`, one a provider, as liqoctl has them.

Addresses and ranges are read from the cluster itself whoever provides it, never from a cloud's API. So a sub-command
adds the label `liqo.io/provider`, what that provider needs beside, and takes the flags with which liqoctl finds the
cluster in the cloud, where the kubeconfig names it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from isthmus.cli.install_options import refused_option

if TYPE_CHECKING:
    from isthmus.install.values import Tree

PROVIDER_LABEL = "liqo.io/provider"
_BY_FLAG = "where they are not found, the command ends and names the flag"


@dataclass(frozen=True, slots=True)
class Provider:
    """Who provides a cluster; "" where that was not said."""

    name: str
    title: str
    about: str = ""
    example: str = ""
    unneeded: tuple[str, ...] = ()
    """Flags of liqoctl that only say which cluster it is."""
    own: tuple[Callable[[Any], Any], ...] = ()
    """Further flags."""
    extra: Tree = field(default_factory=dict)
    """Values that this provider needs."""

    @property
    def help(self) -> str:
        """What the help of the sub-command says."""
        return f"{self.title}\n\n{self.about} Otherwise as isthmus install without a provider."

    @property
    def examples(self) -> tuple[str, ...]:
        """One command that works."""
        return (f"isthmus install {self.name} {self.example or '--cluster-id rome'}",)

    def options(self, command: Any) -> Any:
        """Add the flags that only this provider has."""
        for option in self.own:
            command = option(command)
        for flag in self.unneeded:
            command = click.option(
                flag, metavar="TEXT", help="Not needed: the kubeconfig says which cluster it is."
            )(command)
        return command

    def values(self, flags: Mapping[str, Any]) -> Tree:
        """The values that the provider stands for; flags and files win over them."""
        if not self.name:
            return {}
        found: Tree = {"discovery": {"config": {"clusterLabels": {PROVIDER_LABEL: self.name}}}, **self.extra}
        if fqdn := flags.get("fqdn"):
            found["apiServer"] = {"address": f"https://{fqdn}:443"}
        return found

    def notes(self, flags: Mapping[str, Any]) -> list[str]:
        """What to tell of flags that were given for nothing."""
        given = [flag for flag in self.unneeded if flags[flag.removeprefix("--").replace("-", "_")]]
        listed = ", ".join(given)
        return (
            [f"{listed}: not needed, everything is read from the cluster of the kubeconfig"] if given else []
        )


class WithProviders(click.Group):
    """A command that may be followed by a provider; what stands before the provider is said to it, as with liqoctl."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("subcommand_metavar", "[PROVIDER [OPTIONS]]")
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Have the provider's command parse every flag."""
        _, rest, _ = self.make_parser(ctx).parse_args(list(args))
        if rest:
            before = args[: len(args) - len(rest)]
            args = [rest[0], *before, *rest[1:]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the names there are where the one given is none."""
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            raise click.UsageError(
                f'unknown provider "{args[0]}"; there are {", ".join(self.commands)}, and none need be named',
                ctx,
            )
        return super().resolve_command(ctx, args)


_AWS_USERS = "identities are certificates that the cluster signs, users of AWS are not supported"

PROVIDERS = (
    Provider(
        "kubeadm",
        "Install in a cluster made by kubeadm.",
        "The ranges are those that kubeadm recorded, the address of the API server that of a control-plane node.",
    ),
    Provider(
        "k3s",
        "Install in a k3s cluster.",
        "The ranges are those of k3s, 10.42.0.0/16 and 10.43.0.0/16, unless the nodes say otherwise; the address of "
        "the API server is that of a server node. Not that of the kubeconfig, which in k3s is 127.0.0.1.",
        "--cluster-id rome --api-server-url https://203.0.113.5:6443",
    ),
    Provider(
        "kind",
        "Install in a kind cluster.",
        "The ranges are those that kubeadm recorded. The address of the API server is that of the control-plane "
        "container: clusters in one Docker network reach one another.",
    ),
    Provider(
        "openshift",
        "Install in an OpenShift cluster.",
        "Ranges and address are those of OpenShift's objects Network and Infrastructure. An administrator has to "
        "let the pods of Isthmus run first: see docs/install.md.",
    ),
    Provider(
        "aks",
        "Install in a cluster of Azure (AKS).",
        "The address of the API server is the kubeconfig's. With Azure CNI, pods have addresses of the virtual "
        f"network: give its range with --pod-cidr; {_BY_FLAG}.",
        "--cluster-id rome --pod-cidr 10.224.0.0/16",
        unneeded=(
            "--resource-name", "--resource-group-name", "--subscription-id", "--subscription-name",
            "--vnet-resource-group-name",
        ),
        own=(
            click.option(
                "--fqdn", metavar="HOST", help="Name of the API server, on port 443; --api-server-url wins."
            ),
            refused_option(
                "--private-link",
                "Azure is not asked for the private name",
                "give it with --fqdn or --api-server-url",
                is_switch=True,
            ),
        ),
    ),
    Provider(
        "eks",
        "Install in a cluster of Amazon (EKS).",
        "The address of the API server is the kubeconfig's. Pods have addresses of the VPC: give its range with "
        "--pod-cidr. The load balancers of gateways are network load balancers, others carry no UDP. EKS signs no "
        "certificates of clients, so that the cluster can use others and not be used by them.",
        "--cluster-id rome --pod-cidr 10.0.0.0/16",
        unneeded=("--eks-cluster-region", "--eks-cluster-name"),
        own=tuple(
            refused_option(flag, _AWS_USERS, "leave it out")
            for flag in ("--user-name", "--policy-name", "--access-key-id", "--secret-access-key")
        ),
        extra={
            "networking": {
                "gatewayTemplates": {
                    "server": {
                        "service": {
                            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}
                        }
                    }
                }
            }
        },
    ),
    Provider(
        "gke",
        "Install in a cluster of Google (GKE).",
        "The address of the API server is the kubeconfig's; the range of the pods is judged by the nodes', so give "
        "the cluster's with --pod-cidr where it is larger. --cluster-id is what peers call the cluster.",
        "--cluster-id rome --pod-cidr 10.8.0.0/14",
        unneeded=("--credentials-path", "--project-id", "--zone", "--region"),
    ),
)  # fmt: skip
