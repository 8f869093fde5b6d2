"""ipam.liqo.io: IP, Network."""

from __future__ import annotations

from isthmus.api.crds.schema import AGE, Column, Kind, flag, immutable, integer, structure, text
from isthmus.api.crds.shared import object_reference, service_spec, template

GROUP, VERSION = "ipam.liqo.io", "v1alpha1"

IP = Kind(
    GROUP,
    VERSION,
    "IP",
    "ips",
    doc="A host that other clusters shall reach, under an address of the external CIDR.",
    columns=(
        Column("Local IP", ".spec.ip"),
        Column("Remapped IP", ".status.ip"),
        Column("Remapped IP CIDR", ".status.cidr"),
        AGE,
    ),
    spec_required=True,
    spec=structure(
        "Which host.",
        {
            "ip*": immutable(text("The host's address.", format="ipv4")),
            "masquerade": flag("Whether the host sees this cluster as the source."),
            "networkRef": object_reference("The network to take the address from."),
            "serviceTemplate": template("A Service to be made for the host.", service_spec()),
        },
    ),
    status=structure(
        "What was assigned.",
        {
            "cidr": immutable(text("The network the address is of.", format="cidr")),
            "ip": immutable(text("The address under which other clusters reach the host.", format="ipv4")),
        },
    ),
)

NETWORK = Kind(
    GROUP,
    VERSION,
    "Network",
    "networks",
    doc="A range of addresses, reserved in this cluster, remapped where it overlaps another one.",
    short_names=("net",),
    columns=(Column("Desired CIDR", ".spec.cidr"), Column("Remapped CIDR", ".status.cidr"), AGE),
    spec_required=True,
    spec=structure(
        "Which range.",
        {
            "cidr*": immutable(text("The wished range.", format="cidr")),
            "preAllocated": immutable(
                integer("How many of the first addresses are set aside.", format="int32", minimum=0)
            ),
        },
    ),
    status=structure("What was assigned.", {"cidr": text("The range in use.", format="cidr")}),
)

KINDS = (IP, NETWORK)
