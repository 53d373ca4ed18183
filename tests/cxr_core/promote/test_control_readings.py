"""A gate of a picture control says whether the control knows a class or the networks prove nothing; none is moved."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_core.evaluate.proofs import Controls
from cxr_core.promote.control_gates import control_gates
from cxr_core.promote.decision import Gate
from tests.cxr_core.promote.examples import POLICY, controls, evidence


def gate_of(verdict: str, advantage: float) -> Gate:
    made: Any = controls(rim=advantage)
    rim, *others = made.pictures
    found: Controls = made.model_copy(update={"pictures": (rim.model_copy(update={"verdict": verdict}), *others)})
    return next(
        gate for gate in control_gates(evidence(proofs={"controls": found}), POLICY) if gate.name == "control.rim"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("shortcut", "tells a class without the lungs: a shortcut."),
        ("nothing proven", "The networks have proven no more than that."),
        ("not beaten", "at least 0.050 is wanted."),
    ],
)
def test_a_gate_that_does_not_pass_says_what_the_verdict_means(verdict: str, words: str) -> None:
    gate = gate_of(verdict, 0.01)
    assert not gate.passed
    assert gate.why.endswith(words)


@pytest.mark.parametrize("verdict", ["beaten", "shortcut", "nothing proven", "not beaten"])
def test_no_verdict_moves_a_gate(verdict: str) -> None:
    assert not gate_of(verdict, 0.0499).passed
    passed = gate_of(verdict, 0.05)
    assert passed.passed
    assert "shortcut" not in passed.why
