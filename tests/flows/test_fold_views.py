"""What a person reads of folds: how many images were tested, by whom, and what was kept apart."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from flows.compare_views import show_comparison
from flows.views import show_trace


def shown(view: Callable[[Console, Mapping[str, Any]], None], report: Mapping[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    view(console, report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def trace(*folds: int | str | None) -> dict[str, Any]:
    images = [{"source": "sirm", "label": "covid", "fold": fold} for fold in folds]
    return {"ok": True, "model": "m", "run": "r", "commit": "c" * 40, "checks": [], "images": images}


def compared(**changes: Any) -> dict[str, Any]:
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    row = {"name": "one", "architecture": "resnet34", "protocol": "loso", "n": 613}
    row |= dict.fromkeys(("accuracy", "leak_free_accuracy", "leak_free_macro_auc"), figure)
    return {"runs": [row | changes], "pairs": [], "systems": []}


def test_a_trace_says_how_many_images_no_fold_tested_and_how_many_were_held_out() -> None:
    text = shown(show_trace, trace(0, 1, "holdout", "holdout", None))
    assert "5 images (2 held out of every fold, 1 tested by none), each copy's SHA-256" in text
    assert "3 images, each copy's SHA-256" in shown(show_trace, trace(0, 1, 2))


def test_runs_side_by_side_say_how_many_of_their_images_were_tested() -> None:
    assert "613 of 781" in shown(show_comparison, compared(cohort=781))
    for whole in (compared(cohort=613), compared(cohort=None), compared()):
        assert " 613 " in shown(show_comparison, whole)
        assert "613 of" not in shown(show_comparison, whole)
