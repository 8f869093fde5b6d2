"""WireGuard's configuration as text, and what counts as a difference."""

from __future__ import annotations

import base64

import pytest
from msgspec.structs import replace

from isthmus.network.wireguard import Configuration, check_key, differs, encode_key, parse_dump, render

SECRET = base64.b64encode(b"s" * 32).decode()
OWN, PEER = base64.b64encode(b"o" * 32).decode(), base64.b64encode(b"p" * 32).decode()
SERVER = Configuration(private_key=SECRET, public_key=OWN, port=51840, peer=PEER)
CLIENT = Configuration(private_key=SECRET, public_key=OWN, peer=PEER, endpoint="192.0.2.1:51840")
DUMP = f"{SECRET}\t{OWN}\t51840\toff\n{PEER}\t(none)\t192.0.2.1:51840\t0.0.0.0/0\t1700000000\t1\t2\toff\n"


def test_a_server_names_no_endpoint_so_it_keeps_the_one_it_learned() -> None:
    assert "Endpoint" not in render(SERVER)
    assert "ListenPort = 51840" in render(SERVER)
    assert "Endpoint = 192.0.2.1:51840" in render(CLIENT)


def test_what_is_as_wanted_is_left() -> None:
    device = parse_dump(DUMP)
    assert device is not None
    assert not differs(SERVER, device, alive=False)
    assert not differs(CLIENT, device, alive=False)


def test_a_moved_server_is_followed_only_while_the_tunnel_does_not_work() -> None:
    device = parse_dump(DUMP)
    assert device is not None
    moved = replace(CLIENT, endpoint="192.0.2.2:51840")
    assert differs(moved, device, alive=False)
    assert not differs(moved, device, alive=True)


@pytest.mark.parametrize(
    "wanted", [replace(SERVER, peer=SECRET), replace(SERVER, public_key=PEER), replace(SERVER, peer="")]
)
def test_other_keys_are_a_difference(wanted: Configuration) -> None:
    device = parse_dump(DUMP)
    assert device is not None
    assert differs(wanted, device, alive=True)


def test_no_secret_is_shown() -> None:
    assert SECRET not in repr(SERVER)
    assert SECRET not in repr(parse_dump(DUMP))


def test_keys_are_checked() -> None:
    assert check_key(OWN) == OWN
    with pytest.raises(ValueError, match="has 32 bytes, this one 3"):
        encode_key(b"abc")
    with pytest.raises(ValueError, match="not base64"):
        check_key("no\nPrivateKey = x")
