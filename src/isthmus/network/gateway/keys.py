"""Our own keys, from the files of the mounted Secret. Read at each use: the kubelet replaces them on rotation."""

from __future__ import annotations

from isthmus.network.dataplane.commands import CommandError
from isthmus.network.gateway.settings import KEYS_PATH
from isthmus.network.wireguard import encode_key


def read_keys(folder: str = KEYS_PATH) -> tuple[str, str]:
    """Private and public key as base64 text. Raises CommandError naming the file and the fault."""
    return _read(f"{folder}/privateKey"), _read(f"{folder}/publicKey")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return encode_key(file.read(64))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {error}") from error
