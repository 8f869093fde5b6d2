"""YAML in and out. PyYAML is imported when it is needed, for it costs the start of every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isthmus.install.errors import InstallError
from isthmus.install.values import Tree
from isthmus.kube.objects import Manifest


def to_yaml(data: Any) -> str:
    """One YAML document, without anchors, text of several lines as a block."""
    import yaml

    # libyaml's emitter, where it was built in, is ten times as fast.
    fastest: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(fastest):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    dumped: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)
    return dumped


def to_documents(manifests: list[Manifest]) -> str:
    """Several YAML documents, as kubectl reads them."""
    return "---\n" + "---\n".join(to_yaml(manifest) for manifest in manifests)


def read_values(path: Path) -> Tree:
    """The values in a file. Raises InstallError where it cannot be read or holds something else."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstallError(f"--values {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InstallError(f"--values {path}: not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise InstallError(f"--values {path}: no YAML: {' '.join(str(error).split())}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InstallError(
            f"--values {path}: holds a {type(data).__name__}, not a map", "write for instance `tag: latest`"
        )
    return _with_text_keys(data)


def _with_text_keys(data: dict[Any, Any]) -> Tree:
    return {
        str(key): _with_text_keys(value) if isinstance(value, dict) else value for key, value in data.items()
    }
