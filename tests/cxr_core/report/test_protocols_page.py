"""The page of protocols side by side: whole, self-contained, the same each time, its figures with their counts."""

from __future__ import annotations

import re

import pytest

from cxr_core.paper.page import page_faults
from cxr_core.report.protocols import protocols_page
from tests.cxr_core.evaluate.examples import predictions
from tests.cxr_core.evaluate.test_protocols import WHY, dealt, table_of


def made(**changes: str) -> str:
    left = [row for row in predictions(90, strength=1.0) if row.source != "sirm"]
    table = table_of(
        dealt("paper", predictions(90, leaking=0.2), cohort=90),
        dealt("grouped", predictions(90, strength=1.2), cohort=90),
        dealt("loso", left, cohort=90, refused={"sirm": WHY}),
    )
    return protocols_page(table, **({"run": "1f", "name": "protocols x", "started": "now"} | changes))


@pytest.fixture(scope="module")
def text() -> str:
    return made()


def test_every_figure_follows_from_the_count_beside_it(text: str) -> None:
    assert page_faults(text) == []
    assert len(re.findall("<data ", text)) > 30


def test_nothing_is_loaded_and_what_comes_from_outside_is_escaped(text: str) -> None:
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert re.findall(r'(?:src|href)="(?!data:|#)', text) == []
    assert made(name="<b>x</b>").count("<b>x</b>") == 0
    assert text == made()


def test_it_says_what_is_not_measured_and_what_is_pooled(text: str) -> None:
    assert WHY in text
    assert "not identifiable" in text
    assert "saw no image of its source" in text
    assert text.count("not a medical device") == 1
