"""What `cxr protocols` is asked for, checked before anything is started: Prefect, a workspace, a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from cxr_core.errors import CohortError, ParamsError
from cxr_core.params import Params, Protocol

__all__ = ["PROTOCOLS", "check_protocols", "read_protocols", "without_loso"]

PROTOCOLS: tuple[Protocol, ...] = ("paper", "grouped", "loso")
"""Those of the evaluation, in the order of how much they ask; the first is what the others are held against."""

_KNOWN: tuple[Protocol, ...] = get_args(Protocol)
_KEY = "split.protocol"


def read_protocols(text: str) -> tuple[Protocol, ...]:
    """Protocols by name, with commas between.

    Raises:
        ParamsError: One is unknown (``unknown_protocol``) or stands twice (``doubled_protocol``), or fewer than two are
            named (``too_few_protocols``).
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    hint = f"cxr protocols --protocols {','.join(PROTOCOLS)}"
    if unknown := [name for name in names if name not in _KNOWN]:
        raise ParamsError(
            f"Expected protocols out of {', '.join(_KNOWN)}; found {', '.join(unknown)}.",
            reason="unknown_protocol",
            hint=hint,
        )
    found: tuple[Protocol, ...] = tuple(known for name in names for known in _KNOWN if known == name)
    if len(set(found)) < len(found):
        raise ParamsError(f"Expected each protocol once; found {text}.", reason="doubled_protocol", hint=hint)
    if len(names) < 2:
        raise ParamsError(
            f"Expected two protocols or more, to hold the others against the first; found {text!r}.",
            reason="too_few_protocols",
            hint=f"{hint}, or one alone: cxr retrain --set {_KEY}={found[0] if found else PROTOCOLS[0]}",
        )
    return found


def check_protocols(params: Params, overrides: Sequence[str], protocols: Sequence[Protocol]) -> None:
    """Refuse what no cohort of these parameters can answer.

    Raises:
        ParamsError: ``split.protocol`` is set too (``two_protocols``).
        CohortError: One source cannot be left out (``one_source``).
    """
    if any(item.partition("=")[0].strip() == _KEY for item in overrides):
        raise ParamsError(
            f"This command deals the folds by each protocol in turn; found {_KEY} set to one of them.",
            reason="two_protocols",
            hint=f"cxr protocols --protocols {','.join(protocols)}",
        )
    if "loso" in protocols and len(params.ingest.sources) == 1:
        raise CohortError(
            f"loso leaves one source out and needs another to learn from; found {params.ingest.sources[0]} alone in "
            "ingest.sources.",
            reason="one_source",
            hint=without_loso(protocols),
        )


def without_loso(protocols: Sequence[Protocol]) -> str:
    """The command that asks for the others."""
    rest = [name for name in protocols if name != "loso"]
    if len(rest) > 1:
        return f"cxr protocols --protocols {','.join(rest)}"
    return "Add a source, or: cxr protocols --protocols paper,grouped"
