"""The loops in use today, over JPEG files: PyTorch's DataLoader, fastai's vision learner, Lightning's Trainer.

Each is a generator: it warms up, yields (0, 0.0), then yields what a round trained: (images, seconds). A round is a
pass over the files; its clock starts when its first batch is done, so that starting workers costs a rival nothing.
All train the same architecture from random weights in float32 with Adam, as their documentation shows it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from cxr_core.model.network import IMAGENET_MEAN, IMAGENET_STD
from cxr_core.model.vision import models

__all__ = ["RIVALS", "Job", "write_jpegs"]

Rounds = Iterator[tuple[int, float]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """What every loop trains.

    Attributes:
        files: JPEG files of one X-ray each.
        labels: Their classes, 0 to 2.
        size: Side of the network's input, pixels.
        batch: Images a batch.
        workers: Processes that a rival's loader decodes in.
        architecture: By torchvision's name.
    """

    files: list[Path]
    labels: list[int]
    size: int
    batch: int
    workers: int
    architecture: str


def write_jpegs(folder: Path, *, images: int, pixels: int) -> list[Path]:
    """Write grey JPEG files that decode in about the time an X-ray of that size does: soft shapes with fine grain."""
    random = np.random.default_rng(0)
    files: list[Path] = []
    for number in range(images):
        coarse = Image.fromarray(random.integers(40, 216, (24, 24), dtype=np.uint8))
        soft = np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC), dtype=np.float32)
        grain = random.normal(0.0, 4.0, soft.shape)
        path = folder / f"film-{number:04d}.jpg"
        Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(path, quality=90)
        files.append(path)
    return files


class _Clock:
    """Seconds from the end of the first batch to the end of the last, and the images between."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.stamps: list[float] = []

    def tick(self) -> None:
        self.stamps.append(time.perf_counter())

    def read(self) -> tuple[int, float]:
        found = (len(self.stamps) - 1) * self._job.batch, self.stamps[-1] - self.stamps[0]
        self.stamps.clear()
        return found


class _Films(Dataset[tuple[torch.Tensor, int]]):
    """What the tutorials write: open, scale, normalise."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self._job.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self._job.files[index]) as film:
            small = film.convert("RGB").resize((self._job.size, self._job.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1).float().div(255)
        return (pixels - self._mean) / self._std, self._job.labels[index]


def _loader(job: Job) -> DataLoader[tuple[torch.Tensor, int]]:
    return DataLoader(
        _Films(job),
        batch_size=job.batch,
        shuffle=True,
        drop_last=True,
        num_workers=job.workers,
        persistent_workers=job.workers > 0,
    )


def _network(job: Job) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.get_model(job.architecture, num_classes=3)


def pil_dataloader(job: Job) -> Rounds:
    """The textbook loop: fp32, a DataLoader that decodes with PIL."""
    network, loader, clock = _network(job).train(), _loader(job), _Clock(job)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)

    def train() -> None:
        for x, y in loader:
            optimiser.zero_grad()
            loss = F.cross_entropy(network(x), y)
            loss.backward()
            optimiser.step()
            loss.item()
            clock.tick()

    return _rounds(train, clock)


def fastai(job: Job) -> Rounds:
    """``vision_learner``, unfrozen, ``fit``: fastai's own head, loader and callbacks."""
    with warnings.catch_warnings():
        # It still uses torch.jit.script.
        warnings.simplefilter("ignore")
        import fastai.callback.progress  # noqa: F401  (adds no_bar)
        from fastai.callback.core import Callback
        from fastai.losses import CrossEntropyLossFlat
        from fastai.optimizer import Adam
        from fastai.vision.augment import Resize
        from fastai.vision.data import ImageDataLoaders
        from fastai.vision.learner import vision_learner

    clock = _Clock(job)

    class Ticks(Callback):
        def after_batch(self) -> None:
            clock.tick()

    loaders = ImageDataLoaders.from_lists(
        job.files[0].parent,
        job.files,
        job.labels,
        valid_pct=0,
        item_tfms=Resize(job.size),
        bs=job.batch,
        num_workers=job.workers,
        device=torch.device("cpu"),
    )
    learner = vision_learner(
        loaders,
        getattr(models, job.architecture),
        pretrained=False,
        n_out=3,
        loss_func=CrossEntropyLossFlat(),
        opt_func=Adam,
        cbs=[Ticks()],
    )
    learner.unfreeze()

    def train() -> None:
        with warnings.catch_warnings(), learner.no_bar(), learner.no_logging():
            warnings.simplefilter("ignore")
            learner.fit(1, 1e-3)

    return _rounds(train, clock)


def lightning(job: Job) -> Rounds:
    """Lightning's ``Trainer`` around the same network and loader."""
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightning.pytorch as pl

    # It tells at every start which accelerators it has not found.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    network, loader, clock = _network(job), _loader(job), _Clock(job)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _number: int) -> torch.Tensor:
            x, y = batch
            return F.cross_entropy(self.network(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    class Ticks(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    module = Module()

    def train() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                max_epochs=1,
                accelerator="cpu",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[Ticks()],
            )
            trainer.fit(module, loader)

    return _rounds(train, clock)


def _rounds(train: Callable[[], None], clock: _Clock) -> Generator[tuple[int, float]]:
    train()
    clock.read()
    yield 0, 0.0
    while True:
        train()
        yield clock.read()


RIVALS: dict[str, Callable[[Job], Rounds]] = {"pil_dataloader": pil_dataloader}
"""By name; those whose package is not installed are left out (``pip install -e '.[bench]'``)."""
RIVALS |= {
    name: loop for name, loop in {"fastai": fastai, "lightning": lightning}.items() if find_spec(name) is not None
}
