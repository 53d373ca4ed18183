"""A chest that nobody has: a patient's proportions and one exposure in, the fields of an X-ray out.

The picture is a sum of optical thicknesses (tissue adds, air takes away) seen through a film curve, as in an X-ray; it
is a drawing for tests and demos, not a simulation. Everything random comes from generators passed in.

Coordinates: u in [-1, 1] from the picture's left to its right (the patient's left is at u > 0), v in [-1, 1] downwards.
Shapes: S pixels a side; fields are float32 (S, S).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from cxr_core.imaging.phantom_patient import Anatomy, Pose

__all__ = ["Chest", "Field", "render_chest", "ridge", "smooth_noise"]

# float32 in practice; numpy's stubs lose the width when a field meets a Python number.
Field = NDArray[np.floating[Any]]

_SIDES = (-1, 1)
_BRANCHES = 15
_BENDS = 5


@dataclass(frozen=True, kw_only=True)
class Chest:
    """The fields that a disease is drawn into; all float32 (S, S).

    Attributes:
        u: Sideways place from the patient's middle, in the patient's frame.
        v: Downward place, in the patient's frame.
        lung: Share of lung at a pixel, [0, 1].
        thickness: Optical thickness of the healthy chest.
        anatomy: Whose it is.
    """

    u: Field
    v: Field
    lung: Field
    thickness: Field
    anatomy: Anatomy


def render_chest(anatomy: Anatomy, pose: Pose, *, size: int) -> Chest:
    """The healthy chest of a patient in one exposure.

    Args:
        anatomy: The patient.
        pose: The exposure; its film curve is applied later, by the caller.
        size: S.
    """
    # Soft shapes need no full resolution: drawn at five eighths of the size, which takes less than half the time.
    coarse_lung, coarse_thickness = _soft_chest(anatomy, pose, size=max(48, size * 5 // 8))
    lung, thickness = _enlarged(coarse_lung, size), _enlarged(coarse_thickness, size)
    thickness = thickness + anatomy.vessels * _vessels(anatomy, pose, size) * lung
    u, v = _frame(anatomy, pose, size)
    return Chest(u=u, v=v, lung=lung, thickness=thickness, anatomy=anatomy)


def ridge(distance: Field, width: float) -> Field:
    """A soft step: 0 well outside (distance < 0), 1 well inside, ``width`` wide."""
    t = distance * (1 / width)
    t += 0.5
    np.clip(t, 0, 1, out=t)
    return t * t * (3 - 2 * t)


def smooth_noise(rng: np.random.Generator, *, cells: int, size: int) -> Field:
    """Smooth noise with ``cells`` bumps a side: float32 (S, S), mean about 0, deviation about 1."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _soft_chest(anatomy: Anatomy, pose: Pose, *, size: int) -> tuple[Field, Field]:
    """Share of lung, and thickness of everything but the vessels: (S, S) each."""
    u, v = _frame(anatomy, pose, size)
    floor = _diaphragm(u, anatomy, pose)
    heart = _heart(u, v, anatomy, floor)
    lung = _lungs(u, v, anatomy, floor) * (1 - heart)
    thickness = _body(u, v, anatomy) * (anatomy.tissue + 0.12 * np.exp(-((u / 0.5) ** 2)))
    inside = thickness > 0.05
    thickness += 0.07 * heart + inside * _middle(u, v)
    thickness += 0.12 * ridge(v - floor, 0.05) * inside
    # The stomach's bubble of air under the left diaphragm.
    thickness -= 0.22 * np.exp(-(((u - 0.34) / 0.16) ** 2) - ((v - anatomy.base - 0.12) / 0.07) ** 2) * inside
    thickness -= 0.46 * lung
    thickness += (_ribs(u, v, anatomy) + _clavicles(u, v, anatomy)) * inside
    thickness += anatomy.breast * ridge(0.3 - np.hypot(np.abs(u) - 0.42, v - 0.22), 0.12)
    return lung, thickness


def _enlarged(field: Field, size: int) -> Field:
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def _frame(anatomy: Anatomy, pose: Pose, size: int) -> tuple[Field, Field]:
    """Pixel centres in the patient's frame, the spine straightened: u, v float32 (S, S)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = (axis[None, :] - pose.shift[0]) / pose.scale, (axis[:, None] - pose.shift[1]) / pose.scale
    cos, sin = math.cos(pose.tilt), math.sin(pose.tilt)
    u, v = x * cos + y * sin, y * cos - x * sin
    return u - anatomy.spine_bend * np.cos(2.5 * v), v


def _diaphragm(u: Field, anatomy: Anatomy, pose: Pose) -> Field:
    """v of the diaphragm's upper face: a dome a side, its edge at the ribs the lowest point."""
    half = anatomy.width / 2
    right, left = anatomy.domes
    rise = np.where(u < 0, right + 0.03, left)
    place = (np.abs(u) - half * 0.85) / half
    return anatomy.base + pose.breath - rise * np.clip(1 - 0.75 * place**2, -0.4, 1)


def _heart(u: Field, v: Field, anatomy: Anatomy, floor: Field) -> Field:
    """Heart and the knob of the aorta, [0, 1]."""
    low = anatomy.base - 0.30
    a, b = (u - 0.30 * anatomy.heart), (v - low)
    turned = (a * 0.9 + b * 0.45) / anatomy.heart, (b * 0.9 - a * 0.45) / (anatomy.heart * 0.82)
    muscle = ridge(1 - np.hypot(*turned), 0.22)
    knob = ridge(1 - np.hypot((u - 0.09) / 0.11, (v - low + 0.44) / 0.14), 0.5)
    return np.maximum(muscle, 0.8 * knob) * ridge(floor + 0.12 - v, 0.2)


def _lungs(u: Field, v: Field, anatomy: Anatomy, floor: Field) -> Field:
    """Both lungs, [0, 1]: between mediastinum, rib cage and diaphragm."""
    waist = anatomy.base - 0.15
    up = np.clip((waist - v) / (waist - anatomy.apex), 0, 1)
    cage = anatomy.width * np.sqrt(np.clip(1 - up**2.8, 0, 1)) * (1 + 0.05 * np.clip(v - waist, 0, 1))
    x = np.abs(u)
    middle = 0.14 + 0.05 * np.clip(v + 0.1, 0, 1) + 0.10 * up**6 - 0.02 * np.cos(7 * v)
    return ridge(np.minimum(np.minimum(x - middle, cage - x), floor - v), 0.045)


def _body(u: Field, v: Field, anatomy: Anatomy) -> Field:
    """Outline of neck, shoulders and trunk, [0, 1]; a child's arms stand off the trunk."""
    trunk = anatomy.width + 0.15 + 0.05 * v + (0.20 if anatomy.child else 0.45) * np.exp(-(((v + 0.55) / 0.32) ** 2))
    shoulder = ridge(v + 0.88 - 0.22 * np.clip(np.abs(u) - 0.2, 0, 1), 0.16)
    outline = np.maximum(ridge(0.22 - np.abs(u), 0.08), ridge(trunk - np.abs(u), 0.06) * shoulder)
    arm = 0.55 * ridge(0.10 - np.abs(np.abs(u) - anatomy.width - 0.36 - 0.14 * v), 0.05) * ridge(v + 0.62, 0.2)
    return np.maximum(outline, arm) if anatomy.child else outline


def _middle(u: Field, v: Field) -> Field:
    """Mediastinum, spine with its vertebrae, and the windpipe's air."""
    vertebrae = 1 + 0.45 * np.cos(2 * np.pi * 6.5 * v)
    spine = 0.055 * ridge(0.085 - np.abs(u), 0.03) * vertebrae
    return 0.13 * np.exp(-((u / 0.20) ** 2)) + spine - 0.10 * np.exp(-((u / 0.04) ** 2)) * ridge(-0.28 - v, 0.15)


def _ribs(u: Field, v: Field, anatomy: Anatomy) -> Field:
    """Posterior ribs falling to the sides and, fainter, anterior ribs falling to the middle."""
    x = np.abs(u) / anatomy.width
    cage = (
        ridge(1.06 - x, 0.06)
        * ridge(v - anatomy.apex + 0.05, 0.1)
        * ridge(anatomy.base + 0.15 - v, 0.5)
        * ridge(x - 0.12, 0.1)
    )
    back = (v - anatomy.rib_slope * x**2 + 0.10 * np.sin(np.pi * x)) * anatomy.ribs
    front = (v + 0.65 * x**1.5) * anatomy.ribs * 0.9
    edge = 1 + 0.9 * np.clip(x - 0.6, 0, 1)
    return anatomy.rib_depth * cage * (edge * _stripe(back, 0.40) + 0.45 * _stripe(front, 0.34) * ridge(x - 0.35, 0.2))


def _stripe(phase: Field, width: float) -> Field:
    """A bright band a period, brighter at its two edges, as a rib's cortex is."""
    place = np.abs(phase - np.floor(phase) - 0.5) / (width / 2)
    return ridge(1 - place, 0.5) * (0.7 + 0.5 * np.clip(place, 0, 1) ** 3)


def _clavicles(u: Field, v: Field, anatomy: Anatomy) -> Field:
    x = np.abs(u)
    line = anatomy.clavicle - 0.30 * (x - 0.05) + 0.22 * x**2
    return 0.13 * ridge(0.032 - np.abs(v - line), 0.03) * ridge(x - 0.07, 0.04) * ridge(0.72 - x, 0.1)


def _vessels(anatomy: Anatomy, pose: Pose, size: int) -> Field:
    """Vessels that branch from the hila and thin out towards the ribs: float32 (S, S) in [0, 1]."""
    rng = np.random.default_rng(anatomy.branches)
    shape = (len(_SIDES), _BRANCHES, _BENDS)
    headings = rng.uniform(-1.45, 1.45, (*shape[:2], 1)) + np.cumsum(rng.normal(0, 0.25, shape), axis=2)
    reach, sides = rng.uniform(0.07, 0.13, (*shape[:2], 1)), np.array(_SIDES)[:, None, None]
    steps = np.stack([sides * reach * np.cos(headings), reach * np.sin(headings)], axis=-1)
    roots = np.stack([0.17 * sides, -0.06 + 0.02 * sides], axis=-1) + np.zeros((*shape[:2], 1, 2))
    places = np.concatenate([roots, roots + np.cumsum(steps, axis=2)], axis=2)  # (side, branch, bend, uv)
    pixels = (_to_picture(places, pose) + 1) / 2 * size
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)
    for branch in pixels.reshape(-1, _BENDS + 1, 2):
        for bend in range(_BENDS):
            width = max(1, round(size * (_BENDS - bend) / 330))
            pen.line(branch[bend : bend + 2].ravel().tolist(), fill=255 - 38 * bend, width=width)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(size / 220)), np.float32) / 255


def _to_picture(places: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    """The inverse of ``_frame`` for points (..., 2)."""
    cos, sin = np.cos(pose.tilt), np.sin(pose.tilt)
    return places @ np.array([[cos, sin], [-sin, cos]]) * pose.scale + np.array(pose.shift)
