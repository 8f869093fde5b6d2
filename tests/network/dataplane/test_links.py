"""What is said of devices and neighbours."""

from __future__ import annotations

from isthmus.network.dataplane import links, overlay


def test_link_layer_addresses_are_not_told_to_who_reads_logs() -> None:
    link, neighbour = overlay.link("10.80.0.2", "u", 1340), overlay.neighbour("10.80.0.5", "v")
    lines = [*links.creation(link), *links.neighbour_changes(frozenset({neighbour}), set())]
    told = [links.without_addresses(line) for line in lines]
    for address in (link.mac, neighbour.mac):
        assert any(address in line for line in lines)
        assert not any(address in line for line in told)
    assert told[1] == "neigh replace 10.80.0.5 lladdr (address) dev isthmus0 nud permanent protocol 191"
