"""Which usable images a class takes: digests a source and a number wanted in, the chosen digests out.

A class is spread over its sources as evenly as they allow: a small source gives all it has, the rest share what is
left. Within a source images are drawn in the order of sha256('quota', seed, image): whether an image comes early does
not depend on which others are there, so a new image changes few draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from cxr_core.classes import SOURCES, Source

__all__ = ["allocate", "draw", "draw_key"]


def draw_key(seed: int, sha256: str) -> bytes:
    """An image's place in the draw: uniform over images, fixed by the seed and the image's bytes alone."""
    return hashlib.sha256(f"quota:{seed}:{sha256}".encode()).digest()


def allocate(available: Mapping[Source, int], wanted: int) -> dict[Source, int]:
    """Split a quota over sources, smallest source first; what an even division leaves over goes to the larger ones.

    Args:
        available: Usable images a source.
        wanted: Images to take, at most the sum of ``available``.
    """
    taken: dict[Source, int] = {}
    left = wanted
    by_size = sorted(available, key=lambda source: (available[source], SOURCES.index(source)))
    for position, source in enumerate(by_size):
        taken[source] = min(available[source], left // (len(by_size) - position))
        left -= taken[source]
    return taken


def draw(images: Mapping[Source, Sequence[str]], *, wanted: int | None, seed: int) -> frozenset[str]:
    """Choose a class's images.

    Args:
        images: Digests of the usable images a source; no digest twice.
        wanted: How many, at most as many as there are; None takes all.
        seed: Fixes the draw.
    """
    available: dict[Source, int] = {source: len(digests) for source, digests in images.items()}
    share: Mapping[Source, int] = available if wanted is None else allocate(available, wanted)
    chosen: set[str] = set()
    for source, digests in images.items():
        chosen.update(sorted(digests, key=lambda digest: draw_key(seed, digest))[: share[source]])
    return frozenset(chosen)
