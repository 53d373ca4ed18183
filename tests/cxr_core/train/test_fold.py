from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_core.errors import TrainingError
from cxr_core.model.inference import Classifier
from cxr_core.train.fold import FoldResult, train_fold
from cxr_core.train.loop import EpochResult, Progress
from tests.cxr_core.model.examples import striped_images
from tests.cxr_core.train.examples import params_of

PARAMS = params_of(learning_rate=0.001)
IMAGES, LABELS = striped_images(18)
ROWS = {"train_idx": np.arange(0, 8), "val_idx": np.arange(8, 12), "test_idx": np.arange(12, 18)}
NO_ROWS = np.empty(0, dtype=np.int64)


def _train(folder: Path, *, images: np.ndarray = IMAGES, **changes: Any) -> FoldResult:
    asked = {"fold": 0, "params": PARAMS, "checkpoint_path": folder / "fold.safetensors", "cache": folder}
    return train_fold(images, LABELS, **(ROWS | asked | changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FoldResult:
    return _train(tmp_path_factory.mktemp("trained"))


def test_a_fold_gives_epochs_a_checkpoint_and_predictions_of_its_test_images(trained: FoldResult) -> None:
    assert [epoch.epoch for epoch in trained.epochs] == [1, 2]
    assert trained.predictions.shape == (6, 3)
    assert trained.predictions.dtype == np.float64
    assert trained.weights.choice == "none"
    assert trained.precision == "fp32"


def test_the_saved_checkpoint_repeats_the_folds_predictions_to_the_last_bit(trained: FoldResult) -> None:
    classifier = Classifier.load(trained.checkpoint, digest=trained.digest)
    assert classifier.about.size == 32
    found = classifier.predict_store(IMAGES[ROWS["test_idx"]])
    np.testing.assert_array_equal(found, trained.predictions)


def test_training_again_gives_the_same_bytes_whatever_the_test_images_are(trained: FoldResult, tmp_path: Path) -> None:
    changed = IMAGES.copy()
    changed[ROWS["test_idx"]] = 255 - changed[ROWS["test_idx"]]
    again = _train(tmp_path, images=changed)
    assert again.digest == trained.digest
    assert (again.predictions != trained.predictions).any()


def test_the_folds_number_orders_the_images_and_callbacks_see_every_epoch_and_step(
    trained: FoldResult, tmp_path: Path
) -> None:
    epochs: list[EpochResult] = []
    steps: list[Progress] = []
    # Three batches, so that the order shows in the weights of one epoch.
    changes = {"params": PARAMS.replace(epochs=1, batch_size=3)}
    one = _train(tmp_path / "one", on_epoch=epochs.append, on_step=steps.append, **changes)
    other = _train(tmp_path / "other", fold=1, **changes)
    assert tuple(epochs) == one.epochs
    assert [step.done for step in steps] == [1, 2, 3]
    assert one.digest != other.digest


def test_a_refit_trains_on_all_and_predicts_nothing(tmp_path: Path) -> None:
    refit = _train(
        tmp_path,
        train_idx=np.arange(18),
        val_idx=NO_ROWS,
        test_idx=NO_ROWS,
        fold=None,
        params=PARAMS.replace(epochs=1),
    )
    assert refit.fold is None
    assert refit.predictions.shape == (0, 3)
    assert refit.epochs[0].val_loss is None
    assert refit.checkpoint.is_file()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test_idx": np.array([7, 12])}, "rows_shared"),
        ({"val_idx": np.array([0])}, "rows_shared"),
        ({"test_idx": np.array([18])}, "rows_outside"),
        ({"test_idx": np.array([-1])}, "rows_outside"),
        ({"images": IMAGES[:17]}, "rows_outside"),
        ({"train_idx": NO_ROWS}, "too_few_images"),
    ],
)
def test_rows_that_are_shared_absent_or_too_few_stop_before_anything_is_written(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as caught:
        _train(tmp_path, **changes)
    assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []
