"""Figures as the page prints them: a point never stands without its interval and what it was counted on.

A proportion reads ``92.0 % (86.5 to 95.4), 138 of 150``, any other figure ``0.989 (0.978 to 1.000), n = 150``, each in
a ``<data>`` element, so that the page can be put to the same arithmetic as the paper (``cxr_core.paper.page``).
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from cxr_core.evaluate.p_words import p_words
from cxr_core.evaluate.schema import Estimate, Fold, Population

__all__ = [
    "cell_of",
    "count",
    "estimate",
    "fold_accuracy",
    "fold_error",
    "mean_accuracy",
    "mean_error",
    "missing",
    "p_value",
    "part",
    "share",
]


def share(one: Estimate, *, patients: bool = False) -> Markup:
    """A proportion in per cent.

    Args:
        one: The figure; where it has no count (a mean of proportions) its n is told.
        patients: Also tell the interval over whole patients.
    """
    if one.value is None or one.low is None or one.high is None:
        return missing(one.why)
    counted = f"{one.k} of {one.n}" if one.k is not None else f"n = {one.n}"
    return _figure(
        one.value, f"{one.value:.1%}", f"{one.low:.1%}", f"{one.high:.1%}", counted, _patients(one, patients, ".1%")
    )


def estimate(one: Estimate, *, patients: bool = False) -> Markup:
    """A figure on its own scale, with three decimals."""
    if one.value is None or one.low is None or one.high is None:
        return missing(one.why)
    texts = (f"{one.value:.3f}", f"{one.low:.3f}", f"{one.high:.3f}")
    return _figure(one.value, *texts, f"n = {one.n}", _patients(one, patients, ".3f"))


def part(k: int, n: int) -> Markup:
    """A share without an interval, for tables that describe rather than estimate: ``24.0 %, 36 of 150``."""
    if n == 0:
        return missing("none to count")
    words = Markup('<data class="part" value="{value}">{percent}&nbsp;%, <span class="n">{k} of {n}</span></data>')
    return words.format(value=k / n, percent=f"{100 * k / n:.1f}", k=k, n=n)


def fold_accuracy(fold: Fold) -> Markup:
    """A fold's accuracy with Table 2's two decimals."""
    texts = (f"{fold.accuracy:.2%}", f"{fold.low:.2%}", f"{fold.high:.2%}")
    return _figure(fold.accuracy, *texts, f"{fold.correct} of {fold.n}", "")


def fold_error(fold: Fold) -> Markup:
    """A fold's error rate in thousandths, as Table 2 has it."""
    words = Markup(
        '<data class="part" value="{value}">{shown}&nbsp;×&nbsp;10⁻³, <span class="n">{k} of {n}</span></data>'
    )
    return words.format(value=fold.error, shown=f"{fold.error * 1000:.2f}", k=fold.n - fold.correct, n=fold.n)


def cell_of(k: int, n: int) -> Markup:
    """A cell of a table of counts: ``31 of 35``, and its share of the row below."""
    if n == 0:
        return Markup("<b>0</b>")
    words = Markup(
        '<data class="cell" value="{k}"><b>{k}</b> <span class="n">of {n},</span><br>{percent}&nbsp;%</data>'
    )
    return words.format(k=k, n=n, percent=f"{100 * k / n:.1f}")


def mean_accuracy(people: Population) -> Markup:
    """The mean of the folds' accuracies, with Table 2's two decimals."""
    one = people.mean_fold_accuracy
    if one.value is None or one.low is None or one.high is None:
        return missing(one.why)
    return _figure(one.value, f"{one.value:.2%}", f"{one.low:.2%}", f"{one.high:.2%}", f"n = {one.n}", "")


def mean_error(people: Population) -> Markup:
    """One minus that mean, in thousandths."""
    one = people.mean_fold_accuracy
    if one.value is None:
        return missing(one.why)
    words = Markup(
        '<data class="mean" value="{value}">{shown}&nbsp;×&nbsp;10⁻³, <span class="n">mean of {folds}</span></data>'
    )
    return words.format(value=1 - one.value, shown=f"{(1 - one.value) * 1000:.2f}", folds=len(people.folds))


def missing(why: str) -> Markup:
    """What stands where there is no figure."""
    return Markup('<span class="missing">not measured</span> <span class="why">{why}</span>').format(why=why)


def count(number: Any) -> str:
    """Thousands apart: ``16 588``."""
    return f"{number:,}".replace(",", " ")


def p_value(p: float | None) -> str:
    """``p = 0.031`` or ``p < 0.001``; ``no p`` where there is none."""
    return "no p" if p is None else p_words(p)


def _figure(value: float, shown: str, low: str, high: str, counted: str, tail: str) -> Markup:
    percent = Markup("&nbsp;%") if shown.endswith("%") else ""
    frame = Markup(
        '<data class="figure" value="{value}"><b>{shown}{percent}</b> <span class="ci">({low} to {high}),</span> '
        '<span class="n">{counted}</span>{tail}</data>'
    )
    return frame.format(
        value=value,
        shown=shown.rstrip("%"),
        percent=percent,
        low=low.rstrip("%"),
        high=high.rstrip("%"),
        counted=counted,
        tail=tail,
    )


def _patients(one: Estimate, wanted: bool, form: str) -> str | Markup:
    if not wanted or one.cluster_low is None or one.cluster_high is None or one.method.startswith("cluster"):
        return ""
    low, high = (format(limit, form).rstrip("%") for limit in (one.cluster_low, one.cluster_high))
    return Markup('<span class="patients">; by patients {low} to {high}</span>').format(low=low, high=high)
