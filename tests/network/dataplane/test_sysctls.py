"""Which sysctls are put back, and how it is noted what they were."""

from __future__ import annotations

import pytest

from isthmus.network.dataplane.apply import DEVICES
from isthmus.network.dataplane.sysctls import goes_with_device, parse_note, render_note


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("net.ipv4.conf.liqo-tunnel.accept_local", True),
        ("net.ipv4.conf.isthmus0.rp_filter", True),
        ("net.ipv6.conf.isthmus0.disable_ipv6", True),
        ("net.ipv4.conf.isthmus01.rp_filter", False),
        ("net.ipv4.conf.all.rp_filter", False),
        ("net.ipv4.ip_forward", False),
    ],
)
def test_settings_of_our_own_devices_end_with_them(name: str, goes: bool) -> None:
    assert goes_with_device(name, DEVICES) is goes


def test_a_note_is_read_as_it_was_written() -> None:
    found = {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "1"}
    assert parse_note(render_note(found)) == found
    assert parse_note("uplink to the rack") == {}
