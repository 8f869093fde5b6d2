"""Labels and annotations of a pod follow to the provider, and what others put there stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube.objects import ObjectMeta
from isthmus.offloading.pods.metadata import (
    POD_UID,
    Identity,
    RemoteMetadata,
    forge_metadata,
    plan_metadata_patch,
    removed_keys,
)

IDENTITY = Identity("rome", "milan", "milan")


def test_changes_and_removals_follow() -> None:
    present = ObjectMeta(uid="s", labels={"app": "old", "gone": "x", "liqo.io/creator-user": "u"})
    patch = plan_metadata_patch(present, RemoteMetadata({"app": "new"}, {"note": "n"}))
    assert patch == {
        "metadata": {"uid": "s", "labels": {"app": "new", "gone": None}, "annotations": {"note": "n"}}
    }


def test_a_key_somebody_puts_back_is_left_to_them() -> None:
    present = ObjectMeta(uid="s", labels={"app": "web", "policy": "theirs"})
    wanted = RemoteMetadata({"app": "web"}, {})
    first = plan_metadata_patch(present, wanted)
    assert removed_keys(first) == {"policy"}
    assert plan_metadata_patch(present, wanted, given_up=removed_keys(first)) == {}


keys = st.dictionaries(st.sampled_from(["a", "b", "c", "liqo.io/shadowPod"]), st.sampled_from("xy"))


@given(labels=keys, annotations=keys, present_labels=keys, present_annotations=keys)
def test_after_the_patch_there_is_nothing_left_to_do(
    labels: dict[str, str],
    annotations: dict[str, str],
    present_labels: dict[str, str],
    present_annotations: dict[str, str],
) -> None:
    wanted = forge_metadata(ObjectMeta(uid="pod", labels=labels, annotations=annotations), IDENTITY)
    present = ObjectMeta(uid="s", labels=present_labels, annotations=present_annotations)
    patch = plan_metadata_patch(present, wanted)["metadata"]
    after_labels = _merge(present_labels, patch.get("labels", {}))
    after_annotations = _merge(present_annotations, patch.get("annotations", {}))
    assert after_labels == wanted.labels
    assert after_annotations == wanted.annotations
    after = ObjectMeta(uid="s", labels=after_labels, annotations=after_annotations)
    assert plan_metadata_patch(after, wanted) == {}
    assert after_annotations[POD_UID] == "pod"


def _merge(present: dict[str, str], patch: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in {**present, **patch}.items() if value is not None}
