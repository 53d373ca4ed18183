"""Evidence as text: Table 2 of the paper, the figures of all populations side by side, and flat numbers for a tracker.

Laws: no point stands without its n and interval; what is missing is written as a dash with its reason, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.evaluate.schema import Estimate, Evidence, Population

__all__ = ["figures_markdown", "flat_metrics", "table2_csv", "table2_markdown"]


def table2_markdown(evidence: Evidence) -> str:
    """Accuracy and error rate of each fold and their mean (Table 2), with the counts they come from."""
    people = evidence.all
    percent = f"{evidence.confidence:.0%}"
    lines = [
        f"| k | correct / n | accuracy, % ({percent} interval) | error rate, ×10⁻³ |",
        "| --- | --- | --- | --- |",
    ]
    for row in people.folds:
        interval = f"{row.accuracy:.2%} ({row.low:.2%} to {row.high:.2%})".replace("%", "")
        lines.append(f"| {row.fold + 1} | {row.correct} / {row.n} | {interval} | {row.error * 1000:.2f} |")
    mean = people.mean_fold_accuracy
    if mean.value is None or mean.low is None or mean.high is None:
        return "\n".join([*lines, f"| mean | – | – ({mean.why}) | – |"]) + "\n"
    interval = f"{mean.value:.2%} ({mean.low:.2%} to {mean.high:.2%})".replace("%", "")
    error = (1 - mean.value) * 1000
    lines.append(f"| mean | {people.accuracy.k} / {people.n} | {interval} | {error:.2f} |")
    return "\n".join(lines) + "\n"


def table2_csv(evidence: Evidence) -> str:
    """Table 2 for machines: one line a fold and one for the mean; fractions, not per cent."""
    lines = ["k,n,correct,accuracy,low,high,error"]
    lines += [
        f"{row.fold + 1},{row.n},{row.correct},{row.accuracy!r},{row.low!r},{row.high!r},{row.error!r}"
        for row in evidence.all.folds
    ]
    mean = evidence.all.mean_fold_accuracy
    cells = ["" if cell is None else repr(cell) for cell in (mean.value, mean.low, mean.high)]
    error = "" if mean.value is None else repr(1 - mean.value)
    lines.append(f"mean,{mean.n},{evidence.all.accuracy.k},{','.join(cells)},{error}")
    return "\n".join(lines) + "\n"


def figures_markdown(evidence: Evidence) -> str:
    """Every figure, interval and n: over all test images, leak-free ones and, where there are any, others."""
    leak, columns = evidence.leak, _populations(evidence)
    titles = {
        "all": "all test images",
        "leak_free": "leak-free test images",
        "holdout": "held-out images, by the registered model",
    }
    titles |= {f"external.{name}": f"images of {name}, by the registered model" for name in evidence.external or {}}
    lines = [
        *_coverage(evidence),
        f"{leak.leaking} of {leak.n} test images ({leak.share:.1%}) share a patient or duplicate cluster with images "
        "that trained or validated their fold. Decisions read the leak-free column.",
        "",
        f"| figure ({evidence.confidence:.0%} interval; n) | {' | '.join(titles[name] for name in columns)} |",
        f"| --- |{' --- |' * len(columns)}",
    ]
    lines += [
        f"| {_words(row[0][0])} | {' | '.join(_shown(estimate) for _, estimate in row)} |"
        for row in zip(*map(_named, columns.values()), strict=True)
    ]
    return "\n".join(lines) + "\n"


def flat_metrics(evidence: Evidence) -> dict[str, float]:
    """Figures as ``<population>.<figure>[.low|.high|.n]`` to numbers; what is null is left out."""
    metrics: dict[str, float] = {}
    if evidence.coverage:
        metrics |= {"tested.n": float(evidence.coverage.tested), "cohort.n": float(evidence.coverage.cohort)}
    for prefix, people in _populations(evidence).items():
        for name, estimate in _named(people):
            metrics[f"{prefix}.{name}.n"] = float(estimate.n)
            for suffix, value in (("", estimate.value), (".low", estimate.low), (".high", estimate.high)):
                if value is not None:
                    metrics[f"{prefix}.{name}{suffix}"] = value
    return metrics


def _populations(evidence: Evidence) -> dict[str, Population]:
    found = {"all": evidence.all, "leak_free": evidence.leak_free}
    found |= {"holdout": evidence.holdout} if evidence.holdout else {}
    return found | {f"external.{name}": one.people for name, one in (evidence.external or {}).items()}


def _coverage(evidence: Evidence) -> list[str]:
    if evidence.coverage is None:
        return []
    return [f"{evidence.coverage.words}.", "", *evidence.coverage.not_identifiable.values(), ""]


def _named(people: Population) -> Iterator[tuple[str, Estimate]]:
    yield "accuracy", people.accuracy
    yield "mean_fold_accuracy", people.mean_fold_accuracy
    yield "macro_auc", people.macro_auc
    for slug in CLASSES:
        figures = people.per_class[slug]
        yield f"{slug}.sensitivity", figures.sensitivity
        yield f"{slug}.specificity", figures.specificity
        yield f"{slug}.auc", figures.auc
    yield "brier", people.brier
    yield "calibration_error", people.calibration_error


def _words(name: str) -> str:
    slug, _, figure = name.partition(".")
    return next((f"{CLASS_NAMES[known]}: {figure}" for known in CLASSES if known == slug), name.replace("_", " "))


def _shown(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"– ({estimate.why})"
    count = f"{estimate.k} of {estimate.n}" if estimate.k is not None else f"n = {estimate.n}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}; {count})"
