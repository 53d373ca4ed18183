"""Phantoms of the four sources: invented chests in the published layouts, with the defects that real sources have.

So the demo and most tests need no network and no patient. Laws: seed, counts and size fix every byte (on one machine);
of each class exactly the asked number of pictures is usable (frontal, readable, labelled), and no two of those are
near-duplicates; the defects, listed in the census, add no further picture to a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_core.classes import CLASSES, ClassSlug, Source
from cxr_core.errors import CohortError, SettingError
from cxr_core.imaging.phantom_defects import Defect
from cxr_core.imaging.phantom_sources import WRITERS
from cxr_core.imaging.phantom_studio import Studio

__all__ = ["MIN_IMAGES", "PhantomCensus", "write_sources"]

MIN_IMAGES = 3
"""The fewest images a class: the normal ones lie in three sources."""

# Where a class's images come from, as in the real sources: class and source are confounded on purpose.
_SPREAD: dict[ClassSlug, dict[Source, float]] = {
    "covid": {"sirm": 0.4, "github": 0.6},
    "viral": {"github": 0.15, "kaggle": 0.85},
    "normal": {"github": 0.1, "rsna": 0.5, "kaggle": 0.4},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PhantomCensus:
    """What was written.

    Attributes:
        usable: Images of each class by source; a class's sum is what was asked for.
        files: Image files of each source, defects included.
        defects: Every defect.
    """

    usable: dict[ClassSlug, dict[Source, int]]
    files: dict[Source, int]
    defects: tuple[Defect, ...]


def write_sources(root: Path, *, seed: int, images: Mapping[ClassSlug, int], size: int = 256) -> PhantomCensus:
    """Write ``sirm/``, ``github/``, ``rsna/`` and ``kaggle/`` under a folder, each marked by ``PHANTOM.txt``.

    Args:
        root: The folder; the four must not be there yet.
        seed: Of everything random.
        images: Usable images a class, each at least ``MIN_IMAGES``.
        size: Side of the square that a chest is drawn in, in pixels; crops make most files a little lower.

    Returns:
        The census of what was written.

    Raises:
        CohortError: A class is missing or has too few images (``too_few_phantoms``).
        SettingError: One of the four folders is there already (``folder_in_use``).
    """
    _check_request(root, images)
    studio = Studio(seed=seed, size=size)
    usable: dict[ClassSlug, dict[Source, int]] = {slug: _share(images[slug], _SPREAD[slug]) for slug in CLASSES}
    files: dict[Source, int] = {}
    defects: list[Defect] = []
    for source, write in WRITERS.items():
        wanted: dict[ClassSlug, int] = {slug: usable[slug].get(source, 0) for slug in CLASSES}
        found = write(root, studio, wanted)
        (root / source / "PHANTOM.txt").write_text(
            f"Synthetic images of invented patients, made by cxr_core.imaging.phantom with seed {seed}.\n"
        )
        files[source] = sum(path.suffix not in {".csv", ".txt"} for path in (root / source).rglob("*.*"))
        defects += found
    return PhantomCensus(usable=usable, files=files, defects=tuple(defects))


def _check_request(root: Path, images: Mapping[ClassSlug, int]) -> None:
    few = [slug for slug in CLASSES if images.get(slug, 0) < MIN_IMAGES]
    if few:
        raise CohortError(
            f"Expected at least {MIN_IMAGES} phantoms of each class; too few of {', '.join(few)}.",
            reason="too_few_phantoms",
            hint=f"Ask for at least {MIN_IMAGES} of each.",
        )
    used = [source for source in WRITERS if (root / source).exists()]
    if used:
        raise SettingError(
            f"{root} already holds {', '.join(used)}.", reason="folder_in_use", hint="Choose an empty folder."
        )


def _share(images: int, spread: Mapping[Source, float]) -> dict[Source, int]:
    """Whole numbers that add up to ``images``: one each first, the rest by share, largest remainder first."""
    rest = images - len(spread)
    exact = {source: rest * share for source, share in spread.items()}
    given: dict[Source, int] = dict.fromkeys(spread, 1)
    for source in spread:
        given[source] += int(exact[source])
    by_remainder = sorted(spread, key=lambda source: (int(exact[source]) - exact[source], source))
    for source in by_remainder[: images - sum(given.values())]:
        given[source] += 1
    return given
