import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.digests import digest_file
from cxr_core.errors import WeightsError
from cxr_core.model import checkpoint
from cxr_core.model.checkpoint import About
from cxr_core.model.network import build
from tests.cxr_core.model.examples import equal_states

ABOUT = About(architecture="resnet18", size=32, precision="fp32")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("checkpoint") / "network.safetensors"
    return path, checkpoint.save(path, build("resnet18", seed=5), ABOUT)


def _header(**changes: object) -> dict[str, str]:
    fields = {
        "architecture": "resnet18",
        "size": 32,
        "precision": "fp32",
        "classes": ["covid", "viral", "normal"],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "schema": 1,
    }
    return {"cxr": json.dumps(fields | changes)}


def _write(path: Path, header: dict[str, str] | None, value: float = 1.0) -> Path:
    path.write_bytes(safetensors.torch.save({"fc.bias": torch.full((3,), value)}, metadata=header))
    return path


def test_a_network_and_its_header_come_back_equal(saved: tuple[Path, str]) -> None:
    path, digest = saved
    found = checkpoint.read(path, digest=digest)
    assert found.about == ABOUT
    assert found.digest == digest == digest_file(path)
    network = checkpoint.restore(found)
    assert equal_states(network, build("resnet18", seed=5))
    assert not network.training


def test_equal_networks_give_equal_bytes(saved: tuple[Path, str], tmp_path: Path) -> None:
    assert checkpoint.save(tmp_path / "again.safetensors", build("resnet18", seed=5), ABOUT) == saved[1]
    assert checkpoint.save(tmp_path / "other.safetensors", build("resnet18", seed=6), ABOUT) != saved[1]


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_one_changed_byte_anywhere_is_refused(saved: tuple[Path, str], data: st.DataObject) -> None:
    path, digest = saved
    offset = data.draw(st.integers(0, path.stat().st_size - 1))
    flip = data.draw(st.integers(1, 255))
    _xor(path, offset, flip)
    try:
        with pytest.raises(WeightsError) as caught:
            checkpoint.read(path, digest=digest)
        assert caught.value.reason == "digest_mismatch"
    finally:
        _xor(path, offset, flip)


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_file_cut_short_is_damaged(tmp_path: Path, keep: int) -> None:
    path = _write(tmp_path / "cut.safetensors", _header())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError) as caught:
        checkpoint.read(path)
    assert caught.value.reason == "checkpoint_damaged"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors") as caught:
        checkpoint.read(tmp_path / "nowhere.safetensors")
    assert caught.value.reason == "checkpoint_missing"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "checkpoint_foreign"),
        ({"format": "pt"}, "checkpoint_foreign"),
        ({"cxr": "no json"}, "checkpoint_foreign"),
        ({"cxr": "[1]"}, "checkpoint_foreign"),
        ({"cxr": "{}"}, "checkpoint_foreign"),
        (_header(schema=2), "checkpoint_foreign"),
        (_header(unknown=1), "checkpoint_foreign"),
        (_header(classes=["normal", "viral", "covid"]), "classes_mismatch"),
        (_header(mean=[0.5, 0.5, 0.5]), "classes_mismatch"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_with_its_reason(
    tmp_path: Path, header: dict[str, str] | None, reason: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        checkpoint.read(_write(tmp_path / "foreign.safetensors", header))
    assert caught.value.reason == reason


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(WeightsError, match=r"fc\.bias") as caught:
        checkpoint.read(_write(tmp_path / "broken.safetensors", _header(), value))
    assert caught.value.reason == "not_finite"


def test_tensors_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    found = checkpoint.read(_write(tmp_path / "few.safetensors", _header()))
    with pytest.raises(WeightsError, match=r"differ, first bn1\.bias") as caught:
        checkpoint.restore(found)
    assert caught.value.reason == "tensor_mismatch"


def _xor(path: Path, offset: int, flip: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ flip]))
