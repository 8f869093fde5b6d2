"""Labels and annotations that are put on every object a command makes."""

from __future__ import annotations

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.cli.manual import print_manifest
from isthmus.cli.marks import Marks, mark_options, marked, parse_marks

SLICE = {"metadata": {"name": "milan", "namespace": "liqo-tenant-milan", "labels": {"a": "ours"}}, "spec": {}}


def test_placeholders_name_the_object_and_what_is_ours_stays() -> None:
    marks = Marks({"a": "theirs", "b": "x"}, {"id": "app:${group}/${kind}:${namespace}/${name} ${other}"})
    metadata = marked(RESOURCE_SLICES, SLICE, marks)["metadata"]
    assert metadata["labels"] == {"a": "ours", "b": "x"}
    assert metadata["annotations"] == {
        "id": "app:authentication.liqo.io/ResourceSlice:liqo-tenant-milan/milan ${other}"
    }
    assert marked(RESOURCE_SLICES, SLICE, Marks()) is SLICE
    question = {"spec": {}}
    assert marked(RESOURCE_SLICES, question, marks) is question, "what is not kept is not marked"


def test_pairs_are_given_once_or_more_and_quoted_where_they_have_commas() -> None:
    assert parse_marks(("a=1,b=2", "c="), are_labels=True) == {"a": "1", "b": "2", "c": ""}
    assert parse_marks(('"a=1,2",b=x y',), are_labels=False) == {"a": "1,2", "b": "x y"}
    assert parse_marks(("a=${kind}",), are_labels=True) == {"a": "${kind}"}


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "a=b c", "a=-x", "a=" + "x" * 64])
def test_what_is_no_label_is_refused_with_the_pair(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0] or "=1"):
        parse_marks((text,), are_labels=True)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(alphabet="abc =:/${}", max_size=9))
)
def test_annotations_take_any_text(pairs: dict[str, str]) -> None:
    assert parse_marks(tuple(f"{key}={value}" for key, value in pairs.items()), are_labels=False) == pairs


def test_the_flags_reach_what_is_printed() -> None:
    @click.command()
    @mark_options
    def command() -> None:
        print_manifest(RESOURCE_SLICES, SLICE, "yaml")

    flags = ["--global-labels", "team=a", "--global-annotations", "of=${name}"]
    result = CliRunner().invoke(command, flags, obj={})
    metadata = yaml.safe_load(result.output)["metadata"]
    assert (metadata["labels"]["team"], metadata["annotations"]) == ("a", {"of": "milan"})
    wrong = CliRunner().invoke(command, ["--global-labels", "nonsense"], obj={})
    assert wrong.exit_code == 2
    assert '"nonsense" is not a valid key=value pair' in wrong.output
