"""One question put to the paper's printed figures, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_core.paper.printed import BATCH, BATCHES, IMAGES

__all__ = ["Remark", "listed", "sizes_of_the_test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """One question put to printed figures.

    Attributes:
        code: A stable word for it.
        where: Section, table or figure of the paper.
        printed: What stands there.
        holds: Whether the arithmetic allows it.
        words: What was found, in a sentence or two.
        facts: The numbers behind it.
    """

    code: str
    where: str
    printed: str
    holds: bool
    words: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def sizes_of_the_test() -> tuple[int, int]:
    """The paper's test images where the short batch is among them, and where it is not."""
    return BATCHES[-1] * BATCH - (BATCH - IMAGES % BATCH), BATCHES[-1] * BATCH


def listed(values: Sequence[int]) -> str:
    """Numbers as a sentence has them."""
    texts = [f"{value:,}" for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
