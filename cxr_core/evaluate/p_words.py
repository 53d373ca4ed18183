"""How a p-value is written: three decimals, and never as nought."""

from __future__ import annotations

__all__ = ["p_words"]


def p_words(p: float) -> str:
    """``p = 0.031`` or ``p < 0.001``."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
