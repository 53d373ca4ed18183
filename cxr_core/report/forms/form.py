"""A reporting form: its items in our own words, each with the answer that the run gives, or blank.

Laws: an answer is made from the run's values alone, never invented; an item without one is blank and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup, escape

from cxr_core.report.material import Material

__all__ = ["Answer", "Entry", "Filled", "Form", "Item", "fill", "items", "markdown"]

Answer = Callable[[Material], "str | Markup | None"]
"""What a run says to an item; None where this run does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One item: its number in the published form, what it asks, and who can answer; None is a person."""

    number: str
    section: str
    asks: str
    answer: Answer | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A published form.

    Attributes:
        slug: Its file's name.
        title: What it is called.
        source: Where it is published; the items are put in other words here.
        items: In the form's order.
    """

    slug: str
    title: str
    source: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An item and its answer; None is blank."""

    item: Item
    answer: Markup | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A form as far as a run could fill it."""

    form: Form
    entries: tuple[Entry, ...]

    @property
    def blanks(self) -> tuple[str, ...]:
        """Numbers of the items left blank."""
        return tuple(entry.item.number for entry in self.entries if entry.answer is None)

    @property
    def answered(self) -> int:
        """How many items have an answer."""
        return len(self.entries) - len(self.blanks)


def items(section: str, *rows: tuple[str, str, Answer | None]) -> tuple[Item, ...]:
    """Items of one section: number, what is asked, who answers."""
    return tuple(Item(number=number, section=section, asks=asks, answer=answer) for number, asks, answer in rows)


def fill(form: Form, material: Material) -> Filled:
    """Ask the run every item of a form."""
    entries = [(item, item.answer(material) if item.answer else None) for item in form.items]
    return Filled(
        form=form,
        entries=tuple(Entry(item=item, answer=escape(answer) if answer else None) for item, answer in entries),
    )


def markdown(filled: Filled, material: Material) -> str:
    """The form as Markdown: how much is blank first, then every item under its section."""
    form, blanks = filled.form, filled.blanks
    lines = [
        f"# {form.title}",
        "",
        f"{material.origin.name}, run `{material.origin.run}`, evidence `{material.evidence.digest}`.",
        f"Items after {form.source}, in our own words.",
        "",
        f"**{filled.answered} of {len(filled.entries)} items are answered by the run; {len(blanks)} are blank**"
        + (f": {', '.join(blanks)}." if blanks else "."),
    ]
    section = ""
    for entry in filled.entries:
        if entry.item.section != section:
            section = entry.item.section
            lines += ["", f"## {section}", "", "| item | asks | answer |", "| --- | --- | --- |"]
        answer = "**blank**: a person must answer" if entry.answer is None else _cell(entry.answer)
        lines.append(f"| {entry.item.number} | {_cell(escape(entry.item.asks))} | {answer} |")
    return "\n".join(lines) + "\n"


def _cell(text: Markup) -> str:
    # A line break between two figures would run them together once the tags are gone.
    plain = text.replace("<br>", "; ").striptags()
    # Markdown takes HTML for HTML.
    return " ".join(plain.split()).replace("|", "\\|").replace("<", "&lt;")
