from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.digests import digest_bytes
from cxr_core.errors import TrackingError
from tasks.adapters.references import LoggedModelRef
from tasks.adapters.registry import WEIGHTS_FILE, ModelReference, Registry, parse_reference
from tasks.adapters.tracking import Tracker
from tests.tasks.adapters.mlflow_stores import PROVENANCE, store_at

MODEL = "cxr-resnet34"
WEIGHTS = b"weights"
WEIGHTS_DIGEST = digest_bytes(WEIGHTS)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return store_at(tmp_path_factory.mktemp("store"))


@pytest.fixture
def registry(tracker: Tracker) -> Registry:
    return Registry(tracker.client)


def logged(tracker: Tracker, scratch: Path) -> LoggedModelRef:
    """A logged model of which only the weights are there: all that the registry reads."""
    folder = scratch / "model"
    (folder / WEIGHTS_FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(WEIGHTS)
    with tracker.run("refit", kind="refit", provenance=PROVENANCE) as run:
        model = tracker.client.create_logged_model(tracker.experiment_id, name=MODEL, source_run_id=run.id)
        tracker.client.log_model_artifacts(model.model_id, str(folder))
    return LoggedModelRef(model_id=model.model_id, run_id=run.id, weights=WEIGHTS_DIGEST, package="cxr_model_0")


def register(registry: Registry, model: LoggedModelRef, name: str) -> int:
    return registry.register(
        model, name=name, commit="a" * 40, data="sha256:d", evidence="sha256:e", description="A model."
    ).version


def test_a_version_carries_what_a_trace_starts_from(tracker: Tracker, registry: Registry, tmp_path: Path) -> None:
    model = logged(tracker, tmp_path)
    number = register(registry, model, "traced")
    found = registry.get(parse_reference(f"models:/traced/{number}", default=MODEL))
    assert found.tags == {
        "cxr.commit": "a" * 40,
        "cxr.data": "sha256:d",
        "cxr.run": model.run_id,
        "cxr.weights": WEIGHTS_DIGEST,
        "cxr.evidence": "sha256:e",
    }
    assert (found.model_id, found.run_id, found.uri) == (model.model_id, model.run_id, f"models:/traced/{number}")
    assert (found.description, found.aliases) == ("A model.", ())


def test_registering_again_after_an_interruption_makes_no_second_version(
    tracker: Tracker, registry: Registry, tmp_path: Path
) -> None:
    model = logged(tracker, tmp_path)
    assert register(registry, model, "resumed") == register(registry, model, "resumed") == 1
    assert [one.version for one in registry.versions("resumed")] == [1]


def test_an_alias_moves_and_every_reading_agrees(tracker: Tracker, registry: Registry, tmp_path: Path) -> None:
    for _ in range(2):
        register(registry, logged(tracker, tmp_path), "moved")
    registry.set_alias("moved", "champion", 1)
    registry.set_alias("moved", "challenger", 2)
    registry.set_alias("moved", "champion", 2)
    registry.set_alias("moved", "previous", 1)
    assert registry.aliases("moved") == {"challenger": 2, "champion": 2, "previous": 1}
    assert registry.get(ModelReference(name="moved", alias="champion")).version == 2
    assert [(one.version, one.aliases) for one in registry.versions("moved")] == [
        (2, ("challenger", "champion")),
        (1, ("previous",)),
    ]
    registry.delete_alias("moved", "challenger")
    registry.delete_alias("moved", "challenger")
    assert registry.aliases("moved") == {"champion": 2, "previous": 1}


def test_a_missing_alias_or_version_is_answered_with_what_there_is(
    tracker: Tracker, registry: Registry, tmp_path: Path
) -> None:
    register(registry, logged(tracker, tmp_path), "partial")
    registry.set_alias("partial", "challenger", 1)
    for reference, reason in [
        (ModelReference(name="partial", alias="champion"), "alias_missing"),
        (ModelReference(name="partial", version=7), "version_missing"),
    ]:
        with pytest.raises(TrackingError) as caught:
            registry.get(reference)
        assert caught.value.reason == reason
        assert f"{reference.uri} is not in the registry. Versions: 1. Aliases: challenger is 1." in str(caught.value)
    with pytest.raises(TrackingError, match="Versions: 1"):
        registry.set_alias("partial", "champion", 7)
    assert registry.aliases("partial") == {"challenger": 1}


def test_a_missing_model_is_answered_with_the_models_there_are(
    tracker: Tracker, registry: Registry, tmp_path: Path
) -> None:
    register(registry, logged(tracker, tmp_path), "present")
    with pytest.raises(TrackingError, match="present") as caught:
        registry.get(ModelReference(name="absent", alias="champion"))
    assert (caught.value.reason, "cxr retrain" in caught.value.hint) == ("model_missing", True)
    assert registry.versions("absent") == []


def test_weights_are_handed_out_only_as_they_were_registered(
    tracker: Tracker, registry: Registry, tmp_path: Path
) -> None:
    model = logged(tracker, tmp_path)
    number = register(registry, model, "weighed")
    reference = ModelReference(name="weighed", version=number)
    out = tmp_path / "out.safetensors"
    registry.fetch_weights(reference, out)
    assert out.read_bytes() == WEIGHTS
    location = tracker.client.get_logged_model(model.model_id).artifact_location.removeprefix("file://")
    stored = Path(location) / WEIGHTS_FILE
    stored.write_bytes(b"weightz")
    with pytest.raises(TrackingError) as caught:
        registry.fetch_weights(reference, tmp_path / "second")
    assert caught.value.reason == "weights_changed"
    stored.unlink()
    with pytest.raises(TrackingError) as caught:
        registry.fetch_weights(reference, tmp_path / "second")
    assert caught.value.reason == "artifact_missing"
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("models:/cxr-resnet34@champion", ModelReference(name=MODEL, alias="champion")),
        ("models:/cxr-resnet34/3", ModelReference(name=MODEL, version=3)),
        ("other@champion", ModelReference(name="other", alias="champion")),
        ("other/12", ModelReference(name="other", version=12)),
        ("champion", ModelReference(name=MODEL, alias="champion")),
        ("@champion", ModelReference(name=MODEL, alias="champion")),
        ("3", ModelReference(name=MODEL, version=3)),
    ],
)
def test_a_reference_is_read_in_every_form_people_write(text: str, wanted: ModelReference) -> None:
    assert parse_reference(text, default=MODEL) == wanted


@pytest.mark.parametrize(
    "text", ["", "models:/", "models:/a@", "models:/a/0", "a/b/c", "a@b@c", "runs:/x/y", "0", "a b"]
)
def test_what_is_no_reference_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(TrackingError, match="models:/cxr-resnet34@champion") as caught:
        parse_reference(text, default=MODEL)
    assert caught.value.reason == "bad_model_reference"


@pytest.mark.parametrize("text", ["champion", "3"])
def test_a_bare_alias_or_number_needs_a_model_to_belong_to(text: str) -> None:
    with pytest.raises(TrackingError):
        parse_reference(text)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]*", fullmatch=True) | st.integers(1, 10**9),
)
def test_a_references_address_reads_back_as_itself(name: str, which: str | int) -> None:
    reference = (
        ModelReference(name=name, version=which) if isinstance(which, int) else ModelReference(name=name, alias=which)
    )
    assert parse_reference(reference.uri) == parse_reference(reference.uri, default="another") == reference
