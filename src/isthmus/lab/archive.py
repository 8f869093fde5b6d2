"""Container images made without any tool: one layer of given files, as a docker-archive.

Pure but for writing the file. Used for the images that the lab itself needs, so that `up` depends on neither a
registry nor a builder.
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
    files: Mapping[str, bytes]
    """Executable files."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links, from path to target."""
    folders: Sequence[str] = ()
    """Empty folders that everybody may write in."""


def layer(image: Image) -> bytes:
    """The image's one layer, an uncompressed tar; the same bytes for the same image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in image.folders:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        for path, content in image.files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for path, target in image.links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def describe(image: Image, layer_digest: str) -> bytes:
    """The image's configuration, in Docker's format."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": list(image.entrypoint) or None,
                "Cmd": list(image.command) or None,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()


def write(images: Sequence[Image], target: Path) -> None:
    """Write one archive with all these images, complete or not at all."""
    manifest = []
    temporary = target.with_name(target.name + ".new")
    with tarfile.open(temporary, "w") as tar:
        for image in images:
            data = layer(image)
            digest = hashlib.sha256(data).hexdigest()
            settings = describe(image, digest)
            settings_name = f"{hashlib.sha256(settings).hexdigest()}.json"
            _add(tar, f"{digest}/layer.tar", data)
            _add(tar, settings_name, settings)
            manifest.append(
                {"Config": settings_name, "RepoTags": [image.name], "Layers": [f"{digest}/layer.tar"]}
            )
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    temporary.replace(target)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
