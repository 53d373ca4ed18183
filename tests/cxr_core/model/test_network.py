from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from cxr_core.errors import WeightsError
from cxr_core.model.network import build, has_fast_bf16, probabilities, resolve_precision, to_input
from tests.cxr_core.model.examples import SmallNetwork, equal_states, striped_images


def test_a_seed_names_a_network() -> None:
    one = build("resnet18", seed=3)
    assert equal_states(one, build("resnet18", seed=3))
    assert not torch.equal(one.fc.weight, build("resnet18", seed=4).fc.weight)
    assert one.fc.out_features == 3


def test_building_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build("resnet18", seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_architecture_is_refused_by_name() -> None:
    with pytest.raises(WeightsError, match="alexnet") as caught:
        build("alexnet", seed=0)
    assert caught.value.reason == "unknown_architecture"


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(8), st.just(8))))
def test_input_is_what_torchvisions_transforms_make_of_the_picture_in_three_channels(pixels: np.ndarray) -> None:
    from torchvision import transforms  # after cxr_core.model.vision

    reference = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    expected = torch.stack([reference(Image.fromarray(image).convert("RGB")) for image in pixels])
    found = to_input(pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_probabilities_are_float64_rows_that_sum_to_one() -> None:
    images, _ = striped_images(7)
    found = probabilities(SmallNetwork(), images, precision="fp32", batch_size=3)
    assert found.shape == (7, 3)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


def test_predicting_changes_neither_weights_nor_statistics_nor_mode() -> None:
    images, _ = striped_images(5)
    network, untouched = SmallNetwork(), SmallNetwork()
    network.train()
    probabilities(network, images, precision="fp32")
    assert network.training
    assert equal_states(network, untouched)


def test_no_images_give_no_rows() -> None:
    assert probabilities(SmallNetwork(), np.empty((0, 32, 32), np.uint8), precision="fp32").shape == (0, 3)


def test_a_read_only_memory_map_is_read_like_memory(tmp_path: Path) -> None:
    images, _ = striped_images(4)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    network = SmallNetwork()
    np.testing.assert_array_equal(
        probabilities(network, mapped, precision="fp32"), probabilities(network, images, precision="fp32")
    )


def test_bf16_probabilities_stay_near_those_of_float32() -> None:
    images, _ = striped_images(6)
    network = SmallNetwork()
    halves = probabilities(network, images, precision="bf16")
    full = probabilities(network, images, precision="fp32")
    np.testing.assert_allclose(halves, full, atol=0.02)
    assert (halves != full).any()


def test_auto_precision_follows_the_cpu_and_a_choice_is_kept() -> None:
    assert resolve_precision("auto") == ("bf16" if has_fast_bf16() else "fp32")
    assert resolve_precision("bf16") == "bf16"
    assert resolve_precision("fp32") == "fp32"


@pytest.mark.parametrize(
    ("instructions", "fast"),
    [
        ({"avx512_f"}, False),
        ({"avx512_f", "avx512_bf16"}, True),
        ({"avx512_f", "avx512_bf16", "avx512_fp16", "amx_bf16"}, True),
        # Sapphire Rapids in a virtual machine that hides AMX: half as fast in bf16 as in fp32.
        ({"avx512_f", "avx512_bf16", "avx512_fp16"}, False),
        ({"neon", "bf16"}, True),
        ({"neon"}, False),
    ],
)
def test_bf16_is_taken_only_where_it_outruns_float32(
    monkeypatch: pytest.MonkeyPatch, instructions: set[str], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True))
    assert has_fast_bf16() is fast
