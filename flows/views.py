"""Reports as a person reads them: one function a verb, a plain mapping in, lines on a console out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from cxr_core.classes import CLASS_NAMES, CLASSES

__all__ = [
    "figure",
    "show_backbone",
    "show_checks",
    "show_decision",
    "show_retrain",
    "show_trace",
    "show_why",
]

_COLOURS = {"promoted": "green", "unchanged": "green", "approved": "green", "pending": "yellow", "refused": "red"}


def show_retrain(console: Console, report: Mapping[str, Any]) -> None:
    """The end of a retrain: figures with their intervals, the decision with its reasons, the next commands."""
    console.print()
    figures = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("accuracy", "n", "95 % interval", ""):
        figures.add_column(name, justify="right" if name == "n" else "left", no_wrap=True)
    trained = len(report["folds"])
    folds = f"mean of {trained} folds {figure(report['mean_fold_accuracy'])}" if trained > 1 else "one fold"
    figures.add_row("all test images", str(report["n"]), figure(report["accuracy"]), folds)
    leak_free = figure(report["leak_free_accuracy"])
    figures.add_row("leak-free", str(report["leak_free_n"]), leak_free, "no training image of the same patient")
    held_out = report.get("holdout")
    if held_out:
        words = f"the registered model, macro AUC {figure(held_out['macro_auc'])}"
        figures.add_row("held out", str(held_out["n"]), figure(held_out["accuracy"]), words)
    for name, one in report.get("external", {}).items():
        left = f", {sum(one['left_out'].values())} left out" if one["left_out"] else ""
        words = f"the registered model on images from elsewhere, macro AUC {figure(one['macro_auc'])}{left}"
        figures.add_row(escape(name), str(one["n"]), figure(one["accuracy"]), escape(words))
    console.print(figures)
    _coverage(console, report.get("coverage"))
    console.print()
    _classes(console, "class", report["per_class"])
    if held_out:
        _classes(console, "class, held out", held_out["per_class"])
    show_decision(console, report["decision"])
    reused = f", {report['reused']} of {len(report['folds']) + 1} trainings reused" if report["reused"] else ""
    console.print(f"run {report['run'][:8]}, data commit {report['commit'][:12]}, {report['seconds']:.0f} s{reused}")
    if page := report.get("page"):
        console.print(f"page {escape(page)}", soft_wrap=True)
    console.print()
    for text, command in report["next"]:
        console.print(f"  {text.ljust(24)} [bold]{escape(command)}[/]", soft_wrap=True)


def show_backbone(console: Console, report: Mapping[str, Any]) -> None:
    """What a backbone learnt from, and how a retrain starts from it."""
    images = report["images"]
    console.print(
        f"{report['model']}: {images['train']} images outside the cohort, {images['validation']} validated; "
        f"labels {', '.join(report['classes'])}",
        soft_wrap=True,
    )
    name = report["model"].removeprefix("models:/").rpartition("/")[0]
    console.print(f"cxr retrain --set train.weights=registry:{name}@{report['alias']}", soft_wrap=True)


def show_decision(console: Console, report: Mapping[str, Any]) -> None:
    """A decision: outcome, the gates that passed by name, each that did not in a sentence."""
    outcome = str(report["outcome"])
    colour = _COLOURS.get(outcome, "cyan")
    gates: Sequence[Mapping[str, Any]] = report["gates"]
    passed = [str(gate["name"]) for gate in gates if gate["passed"]]
    count = f", {len(passed)} of {len(gates)} gates passed" if gates else ""
    lines = [f"[bold {colour}]{outcome}[/]  {report['model']} version {report['version']}{count}"]
    if passed:
        lines.append(f"  [green]✓[/] [dim]{escape(' · '.join(passed))}[/]")
    failed = [str(gate["why"]) for gate in gates if not gate["passed"]]
    lines.extend(f"  [red]✗[/] {escape(why)}" for why in failed)
    lines.extend(f"  because {escape(reason)}" for reason in report["reasons"] if reason not in failed)
    lines.append(f"  [dim]ledger: {escape(str(report['ledger']))}[/]")
    console.print("\n".join(lines), soft_wrap=True)


def show_trace(console: Console, report: Mapping[str, Any]) -> None:
    """A trace: each check, what failed by name, and the counts."""
    console.print(f"[bold]{escape(str(report['model']))}[/]  run {report['run']}  data commit {report['commit'][:12]}")
    _checks(console, report["checks"])
    images: Sequence[Mapping[str, Any]] = report["images"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("images")
    for slug in CLASSES:
        table.add_column(CLASS_NAMES[slug], justify="right")
    for source in sorted({str(image["source"]) for image in images}):
        counts = [sum(i["source"] == source and i["label"] == slug for i in images) for slug in CLASSES]
        table.add_row(source, *map(str, counts))
    console.print(table)
    held = sum(image["fold"] == "holdout" for image in images)
    untested = sum(image["fold"] is None for image in images)
    words = [f"{n} {what}" for n, what in ((held, "held out of every fold"), (untested, "tested by none")) if n]
    fate = f" ({', '.join(words)})" if words else ""
    _verdict(console, report, f"{len(images)} images{fate}, each copy's SHA-256 as recorded; every image: --json")


def show_checks(console: Console, report: Mapping[str, Any]) -> None:
    """Checks alone."""
    _checks(console, report["checks"])
    _verdict(console, report, str(report.get("summary", "every check holds")))


def show_why(console: Console, report: Mapping[str, Any]) -> None:
    """Cache keys part by part; the differences first where two runs are compared."""
    if report.get("differences") is not None:
        console.print(Panel("\n".join(map(escape, report["differences"])) or "no part differs", title="what differs"))
    for run in report["runs"]:
        table = Table(title=escape(str(run["name"])), box=None, pad_edge=False, title_justify="left", show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in run["parts"].items():
            table.add_row(escape(name), escape(_short(value)))
        console.print(table)


def figure(value: Mapping[str, Any] | None) -> str:
    """``0.861 [0.802, 0.905]``, or why there is no figure."""
    if not value or value.get("value") is None:
        return str((value or {}).get("why", "not measured"))
    if value.get("low") is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _coverage(console: Console, coverage: Mapping[str, Any] | None) -> None:
    """How many of the images were tested, where not all were, and why."""
    if coverage and coverage["tested"] < coverage["cohort"]:
        console.print(escape(str(coverage["words"])))
        for why in coverage["not_identifiable"].values():
            console.print(f"  [yellow]·[/] {escape(str(why))}", soft_wrap=True)


def _classes(console: Console, title: str, per_class: Mapping[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (title, "n", "sensitivity", "specificity", "AUC"):
        table.add_column(name, justify="right" if name == "n" else "left", no_wrap=True)
    for slug in CLASSES:
        row = per_class[slug]
        cells = (figure(row[key]) for key in ("sensitivity", "specificity", "auc"))
        table.add_row(CLASS_NAMES[slug], str(row["n"]), *cells)
    console.print(table)
    console.print()


def _checks(console: Console, checks: Sequence[Mapping[str, Any]]) -> None:
    for check in checks:
        mark = "[green]✓[/]" if check["ok"] else "[bold red]✗[/]"
        console.print(f"  {mark} {escape(str(check['name']))}  {escape(str(check['detail']))}")


def _verdict(console: Console, report: Mapping[str, Any], good: str) -> None:
    if report["ok"]:
        console.print(f"[bold green]holds[/]  {escape(good)}")
    else:
        failed = sum(not check["ok"] for check in report["checks"])
        console.print(f"[bold red]does not hold[/]  {failed} of {len(report['checks'])} checks failed")


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
