"""Protocols side by side as one HTML page: self-contained, without a script, right in light, dark and print.

Laws: the same table gives the same text; whatever comes from outside is escaped; a figure stands with its interval and
its count; what cannot be had says so.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cxr_core.classes import CLASS_NAMES, CLASSES, SOURCE_NAMES
from cxr_core.evaluate.compare import Difference
from cxr_core.evaluate.protocol_figure import draw_protocols
from cxr_core.evaluate.protocol_parts import ProtocolTable
from cxr_core.evaluate.protocol_tables import difference_words, drop_words
from cxr_core.report import number
from cxr_core.report.figures import Panel, svg_address

__all__ = ["protocols_page"]


def protocols_page(table: ProtocolTable, *, run: str, name: str, started: str) -> str:
    """The page.

    Args:
        table: What was measured.
        run: Id of the run that measured it.
        name: Its name.
        started: UTC, in words.
    """
    environment = Environment(
        loader=PackageLoader("cxr_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None
    # Ours, not a visitor's: a stylesheet is text that HTML does not escape.
    style = Markup(loader.get_source(environment, "style.css")[0].strip())  # noqa: S704
    return environment.get_template("side_by_side.html.j2").render(
        style=style,
        table_=table,
        run=run,
        name=name.capitalize(),
        started=started,
        picture=_picture(table),
        drops=[drop_words(row) for row in table.rows[1:]],
        sources=list(dict.fromkeys(one.source for row in table.rows for one in row.sources)),
        difference=_difference,
        classes=CLASSES,
        class_names=CLASS_NAMES,
        source_names=SOURCE_NAMES,
        **{each: getattr(number, each) for each in number.__all__},
    )


def _picture(table: ProtocolTable) -> Panel:
    told = "; ".join(f"{row.protocol}: accuracy {_value(row.people.accuracy.value)}" for row in table.rows)
    return Panel(
        source=svg_address(draw_protocols(table)),
        alt=f"Accuracy and macro AUC by protocol with their intervals. {told}.",
        caption="Accuracy and macro AUC by protocol",
    )


def _difference(one: Difference) -> str | Markup:
    return difference_words(one).replace("-", "−") or number.missing(one.why)


def _value(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
