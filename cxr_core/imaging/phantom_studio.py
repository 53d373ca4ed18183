"""Pictures of invented patients, in each source's habits, never two alike.

Law: of a studio's pictures no two are near-duplicates by a rule stricter than the cohort's, so that a count of phantoms
is a count of X-rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import Source
from cxr_core.imaging.hashing import perceptual_hash, thumbnail
from cxr_core.imaging.phantom_anatomy import render_chest
from cxr_core.imaging.phantom_disease import Finding, develop, opacity
from cxr_core.imaging.phantom_patient import draw_anatomy, draw_pose

__all__ = ["Shot", "Studio"]

# Wider than params.yaml's 8 bits and r = 0.97, so that no two distinct phantoms are taken for one picture.
_NEAR_BITS = 14
_NEAR_CORRELATION = 0.95
# Share of children, largest crop and share of pictures with a side mark: slight, so that the source can be guessed at
# and not read off.
_CHILDREN: dict[Source, float] = {"sirm": 0.1, "github": 0.1, "rsna": 0.1, "kaggle": 0.5}
_CROP: dict[Source, float] = {"sirm": 0.08, "github": 0.12, "rsna": 0.0, "kaggle": 0.16}
_MARKED: dict[Source, float] = {"sirm": 0.3, "github": 0.3, "rsna": 0.6, "kaggle": 0.4}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture of one patient: uint8 (H, W), and who it shows; patients count from 1 within a source."""

    finding: Finding
    patient: int
    number: int
    child: bool
    pixels: NDArray[np.uint8]


class Studio:
    """Takes pictures of invented patients, never two alike."""

    def __init__(self, *, seed: int, size: int) -> None:
        self.size = size
        self._seed = seed
        self._hashes: list[int] = []
        self._faces: list[NDArray[np.float32]] = []

    def rng(self, *path: int) -> np.random.Generator:
        """A generator for one purpose, independent of all others."""
        return np.random.default_rng([self._seed, *path])

    def patients(self, source: Source, finding: Finding, *, images: int, first: int) -> list[Shot]:
        """So many pictures of as many patients as they take, one to three pictures each (RSNA: one)."""
        rng = self.rng(*source.encode(), *finding.encode())
        shots: list[Shot] = []
        patient = first
        while len(shots) < images:
            # The first patient has two, so that every source but RSNA has a patient with several.
            drawn = 2 if patient == first else int(rng.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))
            numbers = range(1, 1 + min(1 if source == "rsna" else drawn, images - len(shots)))
            shots += [self.shot(source, finding, patient=patient, number=number) for number in numbers]
            patient += 1
        return shots

    def shot(self, source: Source, finding: Finding, *, patient: int, number: int) -> Shot:
        """One picture, unlike every picture taken before."""
        who = self.rng(*source.encode(), patient)
        child = bool(who.random() < _CHILDREN[source])
        anatomy = draw_anatomy(who, child=child)
        attempt = 0
        while True:
            rng = self.rng(*source.encode(), *finding.encode(), patient, number, attempt)
            pose = draw_pose(rng)
            chest = render_chest(anatomy, pose, size=self.size)
            film = develop(rng, chest, opacity(rng, chest, finding), pose)
            pixels = _finish(film, rng, source)
            if self._is_new(pixels):
                return Shot(finding=finding, patient=patient, number=number, child=child, pixels=pixels)
            attempt += 1

    def _is_new(self, pixels: NDArray[np.uint8]) -> bool:
        bits = perceptual_hash(pixels)
        face = thumbnail(pixels).astype(np.float32).ravel()
        face = (face - face.mean()) / np.linalg.norm(face - face.mean())
        for other_bits, other in zip(self._hashes, self._faces, strict=True):
            if (bits ^ other_bits).bit_count() <= _NEAR_BITS and float(face @ other) >= _NEAR_CORRELATION:
                return False
        self._hashes.append(bits)
        self._faces.append(face)
        return True


def _finish(film: NDArray[np.uint8], rng: np.random.Generator, source: Source) -> NDArray[np.uint8]:
    """The source's habits: cropped rows, and the radiographer's side mark."""
    size = film.shape[0]
    pixels = film[: size - int(size * _CROP[source] * rng.random())].copy()
    if rng.random() < _MARKED[source]:
        # An "L" in lead at the patient's left shoulder.
        top, left, arm = int(size * rng.uniform(0.04, 0.12)), int(size * rng.uniform(0.86, 0.92)), max(3, size // 22)
        stroke = max(1, size // 120)
        pixels[top : top + arm, left : left + stroke] = 250
        pixels[top + arm - stroke : top + arm, left : left + arm * 2 // 3] = 250
    return pixels
