"""Container images made without any tool: layers of given files, as a docker-archive.

Pure but for reading layers that are files already and writing the archive. Used for the images that the lab itself
needs, so that `up` depends on neither a registry nor a builder.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """An image to write: its name with tag, its files by path, and what it runs."""

    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Executable files."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links, from path to target."""
    folders: Sequence[str] = ()
    """Empty folders that everybody may write in."""
    user: str = ""
    """As whom it runs unless told otherwise, a name or number; "" is root."""
    modes: Mapping[str, int] = field(default_factory=dict)
    """Permissions of files that are not simply executable, by path."""
    base: Path | None = None
    """An uncompressed tar, the layer below the image's own."""


def layer(image: Image) -> bytes:
    """The image's own layer, an uncompressed tar; the same bytes for the same image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in image.folders:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        for path, content in image.files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), image.modes.get(path, 0o755)
            tar.addfile(entry, io.BytesIO(content))
        for path, target in image.links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def describe(image: Image, layer_digests: Sequence[str]) -> bytes:
    """The image's configuration, in Docker's format."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": list(image.entrypoint) or None,
                "Cmd": list(image.command) or None,
                "User": image.user,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layer_digests]},
        }
    ).encode()


def layers(image: Image) -> list[bytes]:
    """All layers of the image, the lowest first."""
    return [*([image.base.read_bytes()] if image.base else []), layer(image)]


def write(images: Sequence[Image], target: Path) -> None:
    """Write one archive with all these images, complete or not at all; what several share is in it once."""
    manifest = []
    temporary = target.with_name(target.name + ".new")
    written: set[str] = set()
    with tarfile.open(temporary, "w") as tar:
        for image in images:
            files = {f"{hashlib.sha256(data).hexdigest()}/layer.tar": data for data in layers(image)}
            settings = describe(image, [Path(name).parent.name for name in files])
            settings_name = f"{hashlib.sha256(settings).hexdigest()}.json"
            for name, data in [*files.items(), (settings_name, settings)]:
                if name not in written:
                    _add(tar, name, data)
                    written.add(name)
            manifest.append({"Config": settings_name, "RepoTags": [image.name], "Layers": list(files)})
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    temporary.replace(target)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
