"""Gates of belief: a control that does not fail refuses the model, what was not measured too, each with its reason."""

import pytest

from cxr_core.classes import CLASSES
from cxr_core.promote.decide import decide
from cxr_core.promote.policy import read_policy
from tests.cxr_core.promote.examples import (
    PICTURES,
    POLICY,
    POLICY_TEXT,
    calibration,
    controls,
    evidence,
    identifiability,
)

GATES = ("identifiable", *(f"control.{name}" for name in PICTURES), "control.source_probe", "control.permuted_labels")
SWITCHES = {
    "picture_advantage: 0.05": "picture_advantage: null",
    "source_probe_auc: 0.80": "source_probe_auc: null",
    "permuted_labels: true": "permuted_labels: false",
    "identifiable: true": "identifiable: false",
    "calibration_error: 0.10": "calibration_error: null",
}


def judged(policy=POLICY, **proofs):
    return decide(evidence(proofs=proofs), policy)


def failed(decision):
    return [gate.name for gate in decision.gates if not gate.passed]


def test_controls_that_fail_as_they_must_let_a_model_pass():
    decision = judged()
    assert decision.outcome == "promoted"
    assert {*GATES, "calibration_error"} <= {gate.name for gate in decision.gates}


@pytest.mark.parametrize("name", PICTURES)
def test_a_control_that_does_as_well_for_one_class_refuses_and_is_named_with_that_class(name):
    decision = judged(controls=controls(**{name: 0.0499}))
    assert failed(decision) == [f"control.{name}"]
    (reason,) = decision.reasons
    for word in (name, "other viral pneumonia", "0.0499", "0.05", "n = 300"):
        assert word in reason
    assert judged(controls=controls(**{name: 0.05})).outcome == "promoted"


def test_every_control_that_was_not_measured_is_a_reason():
    decision = judged(controls=None, calibration=None, identifiability=None)
    assert failed(decision) == [*GATES, "calibration_error"]
    assert len(decision.reasons) == len(GATES) + 1


@pytest.mark.parametrize(
    ("proofs", "gate", "words"),
    [
        ({"controls": controls(rim=None)}, "control.rim", "no lower limit of the advantage over the control rim"),
        ({"controls": controls(probe=0.81)}, "control.source_probe", "0.810; at most 0.800"),
        ({"controls": controls(probe=None)}, "control.source_probe", "could not be asked"),
        ({"controls": controls(permuted="above chance")}, "control.permuted_labels", "more. Said so."),
        ({"controls": controls(permuted="not measured")}, "control.permuted_labels", "not measured. Said so."),
        ({"identifiability": identifiability("not identifiable")}, "identifiable", "not identifiable in the cohort"),
        ({"calibration": calibration(error=0.11)}, "calibration_error", "0.110; at most 0.100"),
        ({"calibration": calibration(error=None)}, "calibration_error", "no upper limit of the calibration error"),
    ],
)
def test_what_is_too_much_or_missing_refuses_in_words(proofs, gate, words):
    decision = judged(**proofs)
    assert failed(decision) == [gate]
    assert words in decision.reasons[0]


def test_one_source_alone_leaves_nothing_to_be_told():
    one = identifiability(cramers_v=None)
    assert judged(controls=controls(probe=None), identifiability=one).outcome == "promoted"


def test_a_picture_control_that_is_missing_among_others_refuses():
    some = controls()
    some = some.model_copy(update={"pictures": some.pictures[1:]})
    assert failed(judged(controls=some)) == ["control.rim"]


@pytest.mark.parametrize("open_one", SWITCHES)
def test_what_a_policy_leaves_open_makes_no_gate(open_one):
    assert open_one in POLICY_TEXT
    policy = read_policy(POLICY_TEXT.replace(open_one, SWITCHES[open_one]))
    kept, left = (
        {gate.name for gate in judged(each, controls=None, calibration=None, identifiability=None).gates}
        for each in (POLICY, policy)
    )
    assert left < kept
    assert all(name in (*GATES, "calibration_error") for name in kept - left)


def test_better_controls_never_refuse_what_worse_ones_let_pass():
    for low, high in ((-0.2, 0.0), (0.04, 0.06), (0.05, 0.9)):
        worse, better = (judged(controls=controls(advantage=each)) for each in (low, high))
        assert len(failed(better)) <= len(failed(worse))
    assert set(CLASSES) == set(controls().pictures[0].per_class)
