"""Our own figures pass the paper's test, and one that is tampered with does not, wherever it stands."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.schema import Evidence
from cxr_core.evaluate.tables import figures_markdown, table2_markdown
from cxr_core.paper.counted import evidence_faults
from cxr_core.paper.texts import figures_faults, table2_faults
from cxr_core.params import EvaluateParams
from tests.cxr_core.evaluate.examples import context, prediction, predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=100, seed=7)


def _evidence(rows: Any, **more: Any) -> Evidence:
    return measure(rows, PARAMS, context=context(), **more)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    held_out = [prediction(900 + n, fold=None, label=n % 3, group=f"h{n}") for n in range(12)]
    return _evidence(predictions(120, leaking=0.2), holdout=held_out)


@settings(max_examples=25)
@given(
    n=st.integers(9, 120),
    seed=st.integers(0, 999),
    strength=st.floats(0, 6),
    folds=st.integers(1, 8),
    leaking=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_what_we_print_always_follows_from_its_counts(
    n: int, seed: int, strength: float, folds: int, leaking: float
) -> None:
    made = _evidence(predictions(n, seed=seed, strength=strength, folds=folds, leaking=leaking))
    assert evidence_faults(made) == []
    assert table2_faults(table2_markdown(made)) == []
    assert figures_faults(figures_markdown(made)) == []


def test_evidence_with_a_held_out_part_and_evidence_of_nothing_have_no_fault(evidence: Evidence) -> None:
    bare = _evidence([prediction(n, label=n % 3, group="one", leak_free=False) for n in range(9)])
    for made in (evidence, bare):
        assert evidence_faults(made) == []
        assert table2_faults(table2_markdown(made)) == []
        assert figures_faults(figures_markdown(made)) == []


NUMBER = re.compile(r"\d+\.\d+|(?<=[( ])\d+(?= (?:/|of) )|(?<=(?:/|f) )\d+")


@pytest.mark.parametrize("table", ["table2", "figures"])
def test_any_printed_figure_that_is_changed_is_found(evidence: Evidence, table: str) -> None:
    text, faults = (
        (table2_markdown(evidence), table2_faults)
        if table == "table2"
        else (figures_markdown(evidence), figures_faults)
    )
    body = text.index("| ---")
    checked = 0
    for found in NUMBER.finditer(text, body):
        line = text[text.rfind("\n", 0, found.start()) + 1 : text.find("\n", found.end())]
        # A bootstrap's limit has no count behind it; only its order can be checked.
        counted = " of " in line or (" / " in line and not (line.startswith("| mean") and found.start() > 0))
        if not counted or "n = " in line:
            continue
        digits = found[0]
        other = digits[:-1] + ("1" if digits[-1] != "1" else "2")
        changed = text[: found.start()] + other + text[found.end() :]
        assert faults(changed), f"{digits} became {other} in: {line}"
        checked += 1
    assert checked >= 30


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"\| mean \| (\d+) /", r"| mean | 9\1 /"),
        (r"(\| mean \| \d+ / \d+ \| )\d+\.\d\d", r"\g<1>12.34"),
        (r"(\| mean .*\| )\d+\.\d\d \|", r"\g<1>0.01 |"),
        (r"\| 1 \| (\d+) / (\d+) \|", r"| 1 | \2\1 / \2 |"),
        (r"\| 1 \| \d+ / \d+ \|", "| 1 | – ?? |"),
    ],
)
def test_a_mean_or_a_count_that_is_changed_is_found(evidence: Evidence, old: str, new: str) -> None:
    text = table2_markdown(evidence)
    changed = re.sub(old, new, text)
    assert changed != text
    if "–" in new:
        # A dash says that nothing was measured; the mean then lacks a row.
        assert any("row mean" in fault.where for fault in table2_faults(changed))
    else:
        assert table2_faults(changed)


def test_a_figure_without_a_count_and_a_leak_of_another_share_are_found(evidence: Evidence) -> None:
    text = figures_markdown(evidence)
    bare = re.sub(r"\| accuracy \| [^|]+ \|", "| accuracy | 0.933 |", text, count=1)
    assert [fault.stated for fault in figures_faults(bare)] == ["nothing"]
    outside = re.sub(r"(\| macro auc \| )\d\.\d{3}", r"\g<1>0.001", text, count=1)
    assert [fault.why for fault in figures_faults(outside)] == ["the point is outside its interval"]
    leak = re.sub(r"\(\d+\.\d%\)", "(77.7%)", text, count=1)
    assert [fault.where for fault in figures_faults(leak)] == ["figures.md, leak"]


def _tampered(evidence: Evidence, path: str, change: Any) -> Evidence:
    """The evidence with one value replaced, its digest as it was: what is checked here is arithmetic."""
    body: Any = evidence.model_dump(mode="python")
    *parents, last = path.split(".")
    place = body
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
        if isinstance(place, tuple):
            raise AssertionError("paths do not lead through tuples")
    place[last] = change(place[last])
    body["schema"] = body.pop("schema_version")
    return Evidence.model_validate(body)


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("all.accuracy.value", lambda value: value + 1e-6),
        ("all.accuracy.low", lambda value: value - 1e-6),
        ("all.accuracy.k", lambda value: value + 1),
        ("leak_free.per_class.covid.sensitivity.value", lambda value: value * 0.99),
        ("leak_free.per_class.viral.specificity.n", lambda value: value + 1),
        ("all.per_class.normal.auc.value", lambda value: value - 1e-6),
        ("all.mean_fold_accuracy.value", lambda value: value + 1e-6),
        ("holdout.accuracy.high", lambda value: value - 1e-3),
        ("all.n", lambda value: value + 1),
        ("leak.share", lambda value: value / 2),
        ("leak.leaking", lambda value: value + 1),
        ("all.confusion", lambda table: ((table[0][0] + 1, *table[0][1:]), *table[1:])),
        ("all.folds", lambda rows: rows[1:]),
        ("all.folds", lambda rows: ({**rows[0], "error": rows[0]["error"] + 1e-6}, *rows[1:])),
        ("all.strata", lambda rows: rows[1:]),
        ("all.reliability", lambda rows: rows[1:]),
        ("all.chi_square", lambda rows: ({**rows[0], "statistic": rows[0]["statistic"] + 1e-6}, *rows[1:])),
        ("all.chi_square", lambda rows: ({**rows[0], "table": ((1, 2), (3, 4))}, *rows[1:])),
    ],
)
def test_evidence_that_is_changed_anywhere_is_found(evidence: Evidence, path: str, change: Any) -> None:
    assert evidence_faults(_tampered(evidence, path, change))
