"""Whom a phantom shows and how the picture was taken: proportions and exposure, drawn from a generator.

Coordinates: u in [-1, 1] from the picture's left to its right (the patient's left is at u > 0), v in [-1, 1] downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Anatomy", "Pose", "draw_anatomy", "draw_pose"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Anatomy:
    """One patient's proportions; lengths in units of half a picture.

    Attributes:
        child: Children have short, wide chests, a large heart and arms in the picture.
        width: Half-width of the rib cage at its widest.
        apex: v of the lungs' tops.
        base: v of the diaphragm's edge at the sides.
        domes: Heights of the right and left diaphragm.
        heart: Half-width of the heart.
        ribs: Ribs a unit of v.
        rib_slope: How far a rib falls from spine to side.
        rib_depth: How bright ribs are.
        clavicle: v of the clavicles at the middle.
        tissue: Thickness of soft tissue.
        breast: Thickness of the breasts' shadow.
        spine_bend: Sideways bend of the spine.
        vessels: How bright the lungs' vessels are.
        branches: Seed of the vessel tree, which is the patient's own.
    """

    child: bool
    width: float
    apex: float
    base: float
    domes: tuple[float, float]
    heart: float
    ribs: float
    rib_slope: float
    rib_depth: float
    clavicle: float
    tissue: float
    breast: float
    spine_bend: float
    vessels: float
    branches: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """One exposure: where the patient stood and how the film was exposed.

    Attributes:
        shift: Of the chest's middle, (u, v).
        scale: Size of the chest in the picture.
        tilt: Radians.
        breath: Depth of the breath; moves the diaphragm.
        gamma: Of the film curve.
        black: Grey of air, [0, 1].
        white: Grey of the thickest part, [0, 1].
        noise: Standard deviation of the grain, grey [0, 1].
    """

    shift: tuple[float, float]
    scale: float
    tilt: float
    breath: float
    gamma: float
    black: float
    white: float
    noise: float


def draw_anatomy(rng: np.random.Generator, *, child: bool) -> Anatomy:
    """A patient's proportions."""
    wide = rng.uniform(0.56, 0.70) if child else rng.uniform(0.64, 0.82)
    return Anatomy(
        child=child,
        width=wide,
        apex=rng.uniform(-0.84, -0.62),
        base=rng.uniform(0.38, 0.58) if child else rng.uniform(0.44, 0.74),
        domes=(rng.uniform(0.16, 0.30), rng.uniform(0.12, 0.26)),
        heart=wide * rng.uniform(0.40, 0.58) * (1.08 if child else 1.0),
        ribs=rng.uniform(5.0, 6.5),
        rib_slope=rng.uniform(0.10, 0.55),
        rib_depth=rng.uniform(0.045, 0.10) * (1.2 if child else 1.0),
        clavicle=rng.uniform(-0.70, -0.52),
        tissue=rng.uniform(0.52, 0.70),
        breast=max(0.0, rng.uniform(-0.12, 0.10)) * (not child),
        spine_bend=rng.normal(0, 0.02),
        vessels=rng.uniform(0.05, 0.12),
        branches=int(rng.integers(2**32)),
    )


def draw_pose(rng: np.random.Generator) -> Pose:
    """One exposure."""
    return Pose(
        shift=(rng.normal(0, 0.06), rng.normal(0, 0.07)),
        scale=rng.uniform(0.92, 1.2),
        tilt=rng.normal(0, 0.035),
        breath=rng.normal(0, 0.05),
        gamma=rng.uniform(0.75, 1.45),
        black=rng.uniform(0.0, 0.12),
        white=rng.uniform(0.82, 1.0),
        noise=rng.uniform(0.008, 0.03),
    )
