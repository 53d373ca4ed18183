"""The cohort's report as a person reads it: a plain mapping in, lines on a console out, good at 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxr_core.classes import CLASS_NAMES, CLASSES, SOURCES

__all__ = ["show_data_report"]

_COHORTS = {
    "paper": "the paper's cohort, 240 / 274 / 267",
    "whole": "every usable image",
    "quota": "quotas of params.yaml",
}
_NAMES_SHOWN = 3


def show_data_report(console: Console, report: Mapping[str, Any]) -> None:
    """Classes by source, what was left out and why, and what the numbers allow one to claim."""
    phantoms = " [yellow]phantoms, no patient's[/]" if report["synthetic"] else ""
    digest = escape(report["digest"][:19])
    console.print(f"[bold]{report['images']} images[/]  {_COHORTS[report['cohort']]}  [dim]{digest}[/]{phantoms}\n")
    console.print(_classes(report["counts"]))
    _association(console, report)
    _identity(console, report)
    _accounted(console, report["accounted"])
    _reasons(console, "left out", report["exclusions"], "nothing is left out")
    _reasons(console, "quarantine", report["quarantine"], "nothing is in quarantine")
    _labels(console, report["provenance"])
    _reasons(console, "licences", report["licences"], "no image")
    _sample_size(console, report["sample_size"])
    if "not_for_commercial" in report:
        _commercial(console, report["not_for_commercial"], images=report["images"])
    _end(console, report)


def _classes(counts: Mapping[str, Mapping[str, int]]) -> Table:
    table = _table("class", *SOURCES, "all")
    for slug in CLASSES:
        cells = [counts[slug][source] for source in SOURCES]
        table.add_row(CLASS_NAMES[slug], *map(_count, cells), str(sum(cells)))
    by_source = [sum(counts[slug][source] for slug in CLASSES) for source in SOURCES]
    table.add_row("all", *map(_count, by_source), str(sum(by_source)), style="bold")
    return table


def _association(console: Console, report: Mapping[str, Any]) -> None:
    value = report["cramers_v"]
    told = "Cramér's V cannot be said of one source" if value is None else f"Cramér's V {value:.2f}"
    good = report["verdict"] == "identifiable"
    console.print(f"\n  class and source: {told}, [bold {'green' if good else 'yellow'}]{report['verdict']}[/]")
    apart = [_pair(pair) for pair, sources in report["shared_sources"].items() if not sources]
    if apart:
        console.print(f"  no source holds both of {escape('; '.join(apart))}")
    if not good:
        console.print("  [dim]an accuracy on this cohort may be recognition of the source, not of the disease[/]")


def _identity(console: Console, report: Mapping[str, Any]) -> None:
    copies, groups = report["duplicates"], report["groups"]
    console.print(
        f"  duplicates: {copies['clusters']} X-rays stand under {copies['pictures']} names (at most "
        f"{copies['largest']} each), {copies['across_sources']} of them in several sources"
    )
    console.print(
        f"  patients: {groups['n']} groups, {groups['with_several_images']} with several images, at most "
        f"{groups['largest']} each\n"
    )


def _accounted(console: Console, accounted: Mapping[str, Mapping[str, Any]]) -> None:
    table = _table("source", "files", "cohort", "left out", "quarantine", "no images", "")
    for source, row in accounted.items():
        mark = "[green]adds up[/]" if row["ok"] else "[bold red]does not add up[/]"
        cells = (row[key] for key in ("files", "cohort", "excluded", "quarantined", "others"))
        table.add_row(source, *map(str, cells), mark)
    console.print(table)
    rows = sum(row["rows_without_file"] for row in accounted.values())
    console.print(f"  [dim]and {rows} rows of tables that stand for no file of their own[/]\n" if rows else "")


def _reasons(console: Console, title: str, tally: Mapping[str, int], none: str) -> None:
    ordered = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    text = " · ".join(f"{escape(reason)} {n}" for reason, n in ordered) or none
    _entry(console, title, text)


def _labels(console: Console, provenance: Mapping[str, Mapping[str, int]]) -> None:
    parts = [
        f"{CLASS_NAMES[slug]}: " + ", ".join(f"{escape(kind)} {n}" for kind, n in provenance[slug].items())
        for slug in CLASSES
        if slug in provenance
    ]
    _entry(console, "labels from", " · ".join(parts))


def _commercial(console: Console, listed: Sequence[Mapping[str, Any]], *, images: int) -> None:
    if not listed:
        console.print("\n[bold green]every image's licence allows commercial use[/]")
        return
    n = sum(entry["images"] for entry in listed)
    console.print(f"\n[bold red]{n} of {images} images are not for commercial use[/]")
    for entry in listed:
        use = f"{entry['images']} images, {entry['use']}: {entry['rule']}"
        console.print(f"  [bold]{escape(entry['licence'])}[/]  {use}")
        for name in entry["rows"][:_NAMES_SHOWN]:
            console.print(f"    [dim]{escape(name)}[/]", soft_wrap=True)
        if (more := len(entry["rows"]) - _NAMES_SHOWN) > 0:
            console.print(f"    [dim]and {more} more: --json[/]")


def _sample_size(console: Console, rule: Mapping[str, Any]) -> None:
    wanted = sorted(rule["needed"].items(), reverse=True)
    needed = " or ".join(f"{n:,} (expecting {float(p):.1%})".replace(",", " ") for p, n in wanted)
    met = [n for n in rule["needed"].values() if rule["found_groups"] >= n]
    verdict = "both are met" if len(met) == len(rule["needed"]) else "the first is met" if met else "neither is met"
    _entry(
        console,
        "sample size",
        f"{rule['confidence']:.0%} confidence and a margin of {rule['margin']:.0%} ask for {needed} independent "
        f"images; here are {rule['found_images']} images of {rule['found_groups']} groups: {verdict} by groups",
    )


def _end(console: Console, report: Mapping[str, Any]) -> None:
    if not all(row["ok"] for row in report["accounted"].values()):
        console.print("\n[bold red]files are unaccounted for[/]  remove data/ from the workspace, and run again")
    console.print(f"\n[dim]every row and reason: {escape(report['workspace'])}/data/cohort/[/]", soft_wrap=True)


def _entry(console: Console, title: str, text: str) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(width=11, style="bold")
    table.add_column()
    table.add_row(title, text)
    console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _pair(pair: str) -> str:
    """``covid-viral`` in words."""
    return " and ".join(CLASS_NAMES[slug] for slug in CLASSES if slug in pair.split("-"))


def _count(n: int) -> str:
    return str(n) if n else "·"
