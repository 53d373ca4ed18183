"""One thing an audit looked at: what, whether it holds, and in words what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["Check", "check_of"]

_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """An audit's answer to one question.

    Args:
        name: What was looked at.
        ok: Whether it holds.
        detail: What was found; where it does not hold, every fault by name.
    """

    name: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return asdict(self)


def check_of(name: str, faults: Sequence[str], *, otherwise: str) -> Check:
    """A check that holds where there is no fault; ``otherwise`` then says what was found right."""
    if not faults:
        return Check(name=name, ok=True, detail=otherwise)
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return Check(name=name, ok=False, detail="; ".join(faults[:_SHOWN]) + more)
