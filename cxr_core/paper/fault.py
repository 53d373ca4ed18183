"""One of our own printed figures that its stated count cannot give."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A figure that does not follow from what stands beside it.

    Attributes:
        where: File and place, e.g. ``table2.md, row 3``.
        printed: The figure.
        stated: What it is said to be made from.
        why: What that would give.
    """

    where: str
    printed: str
    stated: str
    why: str
