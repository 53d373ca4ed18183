"""Numbers in gates: what counts as one, how two are told apart, and the sentence that says what was found."""

from __future__ import annotations

import math

from cxr_core.promote.decision import Gate

__all__ = ["apart", "at_least", "finite", "number", "sentence", "stated"]


def at_least(name: str, found: float | None, wanted: float | None, words: str) -> Gate:
    """A gate that passes where both numbers are finite and the first reaches the second."""
    found, wanted = finite(found), finite(wanted)
    passed = found is not None and wanted is not None and found >= wanted
    one, other = apart(found, wanted)
    why = f"{words} is {one}; at least {other} is wanted."
    return Gate(name=name, wanted=wanted, found=found, passed=passed, why=why)


def stated(name: str, why: str) -> Gate:
    """A gate that passes by what it says."""
    return Gate(name=name, wanted=None, found=None, passed=True, why=why)


def finite(value: float | None) -> float | None:
    """The number, or None where it is none: `nan < 0.9` is false, and so is its opposite."""
    return float(value) if value is not None and math.isfinite(value) else None


def number(value: float | None, *, digits: int = 3) -> str:
    """A number as a sentence shows it."""
    if value is None:
        return "unknown"
    return f"{value:.0f}" if value == int(value) and abs(value) >= 2 else f"{value:.{digits}f}"


def apart(found: float | None, wanted: float | None) -> tuple[str, str]:
    """Both numbers with as many digits as tell them apart: a sentence may not say that 0.550 is less than 0.550."""
    for digits in (3, 6, 15):
        one, other = number(found, digits=digits), number(wanted, digits=digits)
        if one != other or found == wanted:
            return one, other
    return repr(found), repr(wanted)


def sentence(text: str) -> str:
    """The text with its full stop."""
    return text if text.endswith(".") else f"{text}."
