"""Versions, toolchains, cache keys, packages and images: what is decided before anything is run."""

import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path

import pytest

from isthmus.lab import archive, binaries, building, imagestore, packages, testimages, toolchain
from isthmus.lab.errors import LabError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go version go1.26.8 linux/amd64\n", (1, 26, 8)),
        ("go version go1.27 linux/amd64\n", (1, 27)),
        ("module x\n\ngo 1.26.0\n\nrequire y v1.2.3\n", (1, 26, 0)),
        ("bash: go: command not found\n", ()),
        ("", ()),
    ],
)
def test_versions_of_go_are_understood(text: str, expected: tuple[int, ...]) -> None:
    assert toolchain.parse_version(text) == expected


@pytest.mark.parametrize("minor", ["1.35", "1.36", "1.37"])
def test_every_served_version_is_pinned_throughout(minor: str) -> None:
    full = binaries.resolve_version(minor)
    assert full.startswith(minor + ".")
    assert binaries.resolve_version(f"v{full}") == full
    modules = (binaries.SOURCES / "kubernetes" / minor / "go.mod").read_text()
    staging = re.findall(r"=> k8s\.io/\S+ v0\.(\S+)", modules)
    assert len(staging) > 25
    assert {f"1.{version}" for version in staging} == {full}
    sums = (binaries.SOURCES / "kubernetes" / minor / "go.sum").read_text()
    assert f"k8s.io/kubernetes v{full} h1:" in sums


@pytest.mark.parametrize("asked", ["1.34", "1.36.0", "latest", "", "../1.36"])
def test_other_versions_are_refused_with_what_there_is(asked: str) -> None:
    with pytest.raises(LabError, match=r"1\.35, 1\.36, 1\.37"):
        binaries.resolve_version(asked)


def test_each_cluster_may_have_a_version_of_its_own() -> None:
    newest = binaries.resolve_version("1.37")
    assert binaries.resolve_versions("1.37", 3) == [newest] * 3
    assert binaries.resolve_versions("1.37,1.35", 2) == [newest, binaries.resolve_version("1.35")]
    with pytest.raises(LabError, match="names 2 versions for 3 clusters: name one for all, or one for each"):
        binaries.resolve_versions("1.37,1.35", 3)


def test_a_build_is_named_after_its_sources(tmp_path: Path) -> None:
    source = tmp_path / "main.go"
    source.write_text("one")
    build = binaries.Build("thing", "1", (source,))
    before = build.key
    assert before == build.key
    source.write_text("two")
    assert build.key != before
    assert binaries.Build("thing", "1", (source,), "-X a=b").key != build.key


def test_a_build_is_named_after_what_stands_in_place_of_a_modules_file(tmp_path: Path) -> None:
    source, ours = tmp_path / "main.go", tmp_path / "replaced" / "a" / "b.go"
    source.write_text("one")
    ours.parent.mkdir(parents=True)
    ours.write_text("eight")
    build = binaries.Build("thing", "1", (source,), replaced=tmp_path / "replaced")
    before = build.key
    assert before != binaries.Build("thing", "1", (source,)).key
    ours.write_text("nine")
    after = build.key
    assert after != before
    ours.rename(ours.with_name("c.go"))
    assert build.key not in (before, after)


def test_the_server_is_told_its_version() -> None:
    linker = binaries.kubernetes_build("1.36.3").linker
    assert "version.gitVersion=v1.36.3" in linker
    assert "version.gitMinor=36" in linker


def test_the_conformance_suite_is_that_of_the_default_kubernetes() -> None:
    suite, *others = binaries.conformance_builds()
    assert f"version.gitVersion=v{suite.version}" in suite.linker
    assert len({build.key for build in (suite, *others)}) == 3
    folders = ("conformance", f"kubernetes/{binaries.DEFAULT_KUBERNETES}")
    modules = [(binaries.SOURCES / folder / "go.mod").read_text() for folder in folders]
    here, there = (re.findall(r"\S+ => \S+ v\S+", text) for text in modules)
    assert here == there != []


def test_a_build_is_named_after_its_package(tmp_path: Path) -> None:
    source = tmp_path / "go.mod"
    source.write_text("module a")
    keys = {binaries.Build("thing", "1", (source,), package=package).key for package in (".", "a/b", "a/c")}
    assert len(keys) == 3


def test_an_image_says_as_whom_it_runs_and_what_its_files_may(tmp_path: Path) -> None:
    image = archive.Image(
        "a:b", files={"usr/bin/nnp": b"x", "run": b"y"}, user="1234", modes={"usr/bin/nnp": 0o6755}
    )
    archive.write([image], tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as tar:
        settings = json.loads(tar.extractfile(next(n for n in tar.getnames() if len(n) == 69)).read())
    assert settings["config"]["User"] == "1234"
    with tarfile.open(fileobj=io.BytesIO(archive.layer(image))) as layer:
        assert {entry.name: entry.mode for entry in layer} == {"usr/bin/nnp": 0o6755, "run": 0o755}


def test_only_what_is_missing_is_installed() -> None:
    listed = "runc installed\ncontainerd config-files\nlibc6 installed\n"
    assert packages.missing(["runc", "containerd", "nftables"], listed) == ["containerd", "nftables"]


def test_the_builder_gets_the_machines_index_and_authority() -> None:
    assert building.options({"PATH": "/bin"}) == []
    options = building.options({"PIP_INDEX_URL": "http://index/", "PIP_CERT": "/etc/bundle.crt"})
    assert "--build-arg=PIP_INDEX_URL=http://index/" in options
    assert f"--build-arg=PIP_CERT={building.BUNDLE}" in options
    assert f"--volume=/etc/bundle.crt:{building.BUNDLE}:ro" in options


def test_agnhost_is_built_of_the_module_that_is_built_already() -> None:
    build = binaries.agnhost_build()
    assert build.version == binaries.resolve_version(binaries.DEFAULT_KUBERNETES)
    (modules,) = [file for file in build.files if file.name == "go.mod"]
    assert modules.parent == binaries.SOURCES / "kubernetes" / binaries.DEFAULT_KUBERNETES
    assert build.key != binaries.Build(build.name, build.version, build.files).key


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A layer that is a file already."""
    archived = tmp_path / "system.tar"
    with tarfile.open(archived, "w") as tar:
        link = tarfile.TarInfo("bin")
        link.type, link.linkname = tarfile.SYMTYPE, "usr/bin"
        tar.addfile(link)
    return archived


def test_an_archive_is_what_container_runtimes_import(tmp_path: Path, system: Path) -> None:
    images = testimages.render(b"pause", b"agnhost", system)
    images.append(testimages.on_debian("registry.example/web:1", system, files={"usr/bin/web": b"web"}))
    target = tmp_path / "images.tar"
    archive.write(images, target)
    with tarfile.open(target) as tar:
        names = tar.getnames()
        contents = {member.name: tar.extractfile(member) for member in tar}
        texts = {name: file.read() for name, file in contents.items() if file is not None}
    assert len(names) == len(set(names)), "what images share is in it once"
    manifest = json.loads(texts["manifest.json"])
    assert [entry["RepoTags"] for entry in manifest] == [[image.name] for image in images]
    assert [len(entry["Layers"]) for entry in manifest] == [1, 2, 2]
    assert manifest[1]["Layers"][0] == manifest[2]["Layers"][0]
    assert texts[manifest[1]["Layers"][0]] == system.read_bytes()
    for entry in manifest:
        settings = json.loads(texts[entry["Config"]])
        layers = [hashlib.sha256(texts[layer]).hexdigest() for layer in entry["Layers"]]
        assert settings["rootfs"]["diff_ids"] == [f"sha256:{layer}" for layer in layers]


@pytest.mark.parametrize("path", ["bin/sh", "sbin/ip", "lib/x", "lib64/y"])
def test_no_image_hides_a_link_of_debian(path: str, system: Path) -> None:
    with pytest.raises(LabError, match=f"a:b: {path} would hide a link of Debian's: put it into usr/{path}"):
        testimages.on_debian("a:b", system, files={path: b""})
    with pytest.raises(LabError, match=path):
        testimages.on_debian("a:b", system, links={path: "busybox"})


def test_a_nodes_images_are_shared_but_for_containerds_records(tmp_path: Path) -> None:
    store, nodes = tmp_path / "store", [tmp_path / "one", tmp_path / "two"]
    (store / "snapshots").mkdir(parents=True)
    (store / "snapshots" / "file").write_text("of an image")
    (store / "meta.db").write_text("records")
    for node in nodes:
        node.mkdir()
        (node / "config.toml").write_text("")
        imagestore.copy(store, node)
    (nodes[0] / "meta.db").write_text("changed")
    assert [(node / "meta.db").read_text() for node in nodes] == ["changed", "records"]
    assert (store / "meta.db").read_text() == "records"
    assert os.path.samefile(nodes[0] / "snapshots" / "file", nodes[1] / "snapshots" / "file")


def test_an_images_layer_is_always_the_same_bytes() -> None:
    image = archive.Image("a:b", files={"bin/x": b"x"}, links={"bin/y": "x"}, folders=["tmp"])
    assert archive.layer(image) == archive.layer(image)
    with tarfile.open(fileobj=io.BytesIO(archive.layer(image))) as tar:
        assert tar.getmember("bin/x").mode == 0o755
        assert tar.getmember("bin/y").linkname == "x"
        assert tar.getmember("tmp").mode == 0o1777
