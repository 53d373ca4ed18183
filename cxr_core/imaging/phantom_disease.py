"""What a disease adds to a phantom chest, and the film that shows it.

Signs follow the paper's own words for the classes: COVID-19 as patchy, bilateral, peripheral ground glass of the lower
zones; other viral pneumonia as diffuse interstitial streaks around the hila; bacterial pneumonia as one dense lobe.
Severity is drawn so that mild cases look nearly clear and some clear chests have a harmless shadow: no picture is
certain, as in life.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cxr_core.imaging.phantom_anatomy import Chest, Field, ridge, smooth_noise
from cxr_core.imaging.phantom_patient import Pose

__all__ = ["Finding", "develop", "opacity"]

Finding = Literal["covid", "viral", "normal", "bacteria"]


def opacity(rng: np.random.Generator, chest: Chest, finding: Finding) -> Field:
    """Optical thickness that a finding adds: float32 (S, S), zero outside the lungs."""
    match finding:
        case "covid":
            return _ground_glass(rng, chest, severity=0.7 + 0.6 * rng.beta(2.2, 1.8))
        case "viral":
            return _interstitial(rng, chest, severity=0.7 + 0.6 * rng.beta(2.2, 1.8))
        case "bacteria":
            return _lobe(rng, chest)
        case "normal":
            return _harmless(rng, chest)


def develop(rng: np.random.Generator, chest: Chest, added: Field, pose: Pose) -> NDArray[np.uint8]:
    """The film: thickness through the exposure's curve, slightly unsharp, with grain. uint8 (S, S), air black."""
    size = chest.thickness.shape[0]
    uneven = 0.02 * smooth_noise(rng, cells=4, size=size) + 0.012 * smooth_noise(rng, cells=size // 5, size=size)
    body = ridge(chest.thickness - 0.04, 0.05)
    depth = np.clip((chest.thickness + added + uneven * body) / 1.05, 0, 1)
    grey = pose.black + (pose.white - pose.black) * depth**pose.gamma
    sharp = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    film = np.asarray(sharp.filter(ImageFilter.GaussianBlur(size / 400)), np.float32)
    grain = 255 * pose.noise * rng.standard_normal((size, size), dtype=np.float32)
    return np.clip(np.rint(film + grain), 0, 255).astype(np.uint8)


def _ground_glass(rng: np.random.Generator, chest: Chest, *, severity: float) -> Field:
    patches = np.zeros_like(chest.lung)
    first_side = int(rng.choice((-1, 1)))
    for number in range(int(rng.integers(4, 9))):
        side = first_side if number % 2 else -first_side
        across = side * chest.anatomy.width * rng.uniform(0.58, 0.98)
        down = chest.anatomy.base - rng.gamma(2.2, 0.13) - 0.06
        patches += _blob(rng, chest, across, down, radius=rng.uniform(0.10, 0.20)) * rng.uniform(0.5, 1.0)
    mottle = 1 + 0.30 * smooth_noise(rng, cells=24, size=chest.lung.shape[0])
    return severity * 0.40 * np.clip(patches, 0, 1.2) * mottle * chest.lung


def _interstitial(rng: np.random.Generator, chest: Chest, *, severity: float) -> Field:
    size = chest.lung.shape[0]
    # A net of thin lines: where smooth noise crosses zero, at two scales.
    fine = np.exp(-((smooth_noise(rng, cells=30, size=size) / 0.30) ** 2))
    coarse = np.exp(-((smooth_noise(rng, cells=16, size=size) / 0.25) ** 2))
    hila = np.exp(-(((np.abs(chest.u) - 0.2) / 0.30) ** 2) - ((chest.v + 0.02) / 0.42) ** 2)
    haze = 0.09 * (1 + 0.5 * smooth_noise(rng, cells=5, size=size))
    return severity * chest.lung * (haze + (0.08 + 0.26 * hila) * (0.55 * fine + 0.45 * coarse))


def _harmless(rng: np.random.Generator, chest: Chest) -> Field:
    if rng.random() < 0.55:
        return np.zeros_like(chest.lung)
    if rng.random() < 0.5:
        return _interstitial(rng, chest, severity=rng.uniform(0.05, 0.25))
    across, down = rng.uniform(-1, 1) * chest.anatomy.width * 0.8, rng.uniform(-0.5, chest.anatomy.base)
    return rng.uniform(0.03, 0.10) * _blob(rng, chest, across, down, radius=rng.uniform(0.06, 0.2)) * chest.lung


def _lobe(rng: np.random.Generator, chest: Chest) -> Field:
    side = int(rng.choice((-1, 1)))
    top = rng.uniform(-0.15, 0.15)
    lobe = ridge(side * chest.u, 0.05) * ridge(chest.v - top - 0.15 * side * chest.u, 0.06)
    mottle = 1 + 0.12 * smooth_noise(rng, cells=12, size=chest.lung.shape[0])
    return rng.uniform(0.22, 0.36) * lobe * mottle * chest.lung


def _blob(rng: np.random.Generator, chest: Chest, across: float, down: float, *, radius: float) -> Field:
    turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.6, 1.0)
    a, b = chest.u - across, chest.v - down
    # math, not numpy: a float64 scalar of numpy's would double the width of every field.
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = a * cos + b * sin, b * cos - a * sin
    return np.exp(-((x / radius) ** 2) - (y / (radius * squeeze)) ** 2)
