"""Decisions: promoted only on proof, refused with every reason, and better evidence never hurts."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.errors import PolicyError
from cxr_core.promote.decide import decide
from cxr_core.promote.decision import decision_json, parse_decision
from cxr_core.promote.gates import champion_gates
from cxr_core.promote.policy import read_policy
from tests.cxr_core.promote.examples import FIGURES, POLICY, POLICY_TEXT, champion, comparison, evidence


def failed(decision):
    return [gate.name for gate in decision.gates if not gate.passed]


def test_a_first_model_that_clears_every_floor_is_promoted():
    decision = decide(evidence(), POLICY)
    assert (decision.outcome, decision.reasons, failed(decision)) == ("promoted", (), [])
    assert decision.candidate == "sha256:new"
    assert decision.champion is None


@pytest.mark.parametrize("figure", FIGURES)
def test_one_low_bound_refuses_and_the_reason_names_both_numbers(figure):
    decision = decide(evidence(bounds={figure: 0.1234}), POLICY)
    assert decision.outcome == "refused"
    assert failed(decision) == [figure]
    (reason,) = decision.reasons
    assert "0.123" in reason
    assert "at least" in reason


def test_every_failed_gate_is_a_reason():
    decision = decide(evidence(bounds=dict.fromkeys(FIGURES, 0.2), n=10, groups=5, weights=None), POLICY)
    assert decision.outcome == "refused"
    assert set(failed(decision)) == {*FIGURES, "images_per_class", "groups", "weights"}
    assert len(decision.reasons) == len(failed(decision))


def test_the_accuracy_floor_stands_above_the_share_of_the_largest_class():
    floor = 1 / 3 + 0.20
    assert decide(evidence(bounds={"accuracy": floor + 1e-9}), POLICY).outcome == "promoted"
    decision = decide(evidence(bounds={"accuracy": floor - 1e-9}), POLICY)
    assert decision.outcome == "refused"
    # The sentence shows as many digits as tell the two apart.
    assert "0.533333332" in decision.reasons[0]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -float("inf")])
def test_what_is_missing_or_not_finite_never_passes(figure, bad):
    decision = decide(evidence(bounds={figure: bad}), POLICY) if bad is None else None
    if decision is None:
        # Such a number cannot come out of a file; a caller that builds evidence by hand must not get by either.
        made = evidence()
        people = made.leak_free
        kind, _, slug = figure.partition(".")
        holder = people.per_class[slug] if slug else people
        broken = getattr(holder, kind).model_copy(update={"cluster_low": bad})
        holder = holder.model_copy(update={kind: broken})
        if slug:
            holder = people.model_copy(update={"per_class": {**people.per_class, slug: holder}})
        decision = decide(made.model_copy(update={"leak_free": holder}), POLICY)
    assert decision.outcome == "refused"
    assert failed(decision) == [figure]
    assert json.dumps(decision_json(decision), allow_nan=False)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_of_the_comparison_and_the_champion_must_be_finite_too(bad):
    held, paired = champion(), comparison()

    def failed_against(champion, comparison):
        return [gate.name for gate in champion_gates(evidence(), POLICY, champion, comparison) if not gate.passed]

    for name in ("accuracy", "macro_auc"):
        broken = paired.model_copy(update={name: getattr(paired, name).model_copy(update={"low": bad})})
        assert failed_against(held, broken) == [f"champion.{name}"]
    assert failed_against(held, paired.model_copy(update={"mcnemar_p": bad})) == ["champion.mcnemar"]
    people = held.leak_free
    pointless = people.model_copy(update={"accuracy": people.accuracy.model_copy(update={"value": bad})})
    assert failed_against(held.model_copy(update={"leak_free": pointless}), None) == ["champion.accuracy"]
    assert failed(decide(evidence().model_copy(update={"confidence": bad}), POLICY)) == ["confidence"]


def test_intervals_narrower_than_the_policys_prove_nothing():
    loose = evidence().model_copy(update={"confidence": 0.6, "bootstrap": 100})
    assert failed(decide(loose, POLICY)) == ["confidence", "bootstrap"]


def test_a_candidate_as_good_as_the_champion_is_promoted_and_a_worse_one_refused():
    held = {"champion": champion()}
    assert decide(evidence(), POLICY, comparison=comparison(accuracy=-0.04), **held).outcome == "promoted"
    worse = decide(evidence(), POLICY, comparison=comparison(accuracy=-0.06, macro_auc=-0.051), **held)
    assert failed(worse) == ["champion.accuracy", "champion.macro_auc"]
    assert "-0.060; at least -0.050 is wanted" in worse.reasons[0]


def test_a_provably_worse_candidate_is_refused_even_within_the_margin():
    decision = decide(evidence(), POLICY, champion=champion(), comparison=comparison(more=12, fewer=1))
    assert failed(decision) == ["champion.mcnemar"]
    assert "12 with the champion alone" in decision.reasons[0]
    assert (
        decide(evidence(), POLICY, champion=champion(), comparison=comparison(more=1, fewer=12)).outcome == "promoted"
    )


@pytest.mark.parametrize("name", ["accuracy", "macro_auc"])
def test_a_comparison_without_its_limit_does_not_pass(name):
    decision = decide(evidence(), POLICY, champion=champion(), comparison=comparison(**{name: None}))
    assert failed(decision) == [f"champion.{name}"]
    loose = decide(evidence(), POLICY, champion=champion(), comparison=comparison(confidence=0.5))
    assert failed(loose) == ["champion.confidence"]


@pytest.mark.parametrize("few", [None, comparison(n=89)])
def test_with_too_few_shared_images_the_limit_is_held_against_the_champions_point(few):
    strong = champion(bounds={"accuracy": 0.90, "macro_auc": 0.90})
    passed = decide(evidence(bounds={"accuracy": 0.86}), POLICY, champion=strong, comparison=few)
    assert passed.outcome == "promoted"
    decision = decide(evidence(bounds={"accuracy": 0.84}), POLICY, champion=strong, comparison=few)
    assert failed(decision) == ["champion.accuracy"]
    assert f"only {few.n if few else 0} leak-free images are shared" in decision.reasons[0]


def test_a_champion_without_its_figure_cannot_be_shown_to_be_matched():
    decision = decide(evidence(), POLICY, champion=champion(bounds={"accuracy": None}))
    assert failed(decision) == ["champion.accuracy"]
    assert "at least unknown" in decision.reasons[0]


def test_phantoms_never_replace_a_model_of_real_x_rays():
    decision = decide(evidence(synthetic=True), POLICY, champion=champion(), comparison=comparison())
    assert decision.outcome == "refused"
    assert failed(decision) == ["synthetic_candidate"]
    allowed = read_policy(POLICY_TEXT.replace("may_replace_real: false", "may_replace_real: true"))
    assert decide(evidence(synthetic=True), allowed, champion=champion(), comparison=comparison()).outcome == "promoted"


def test_phantoms_may_follow_phantoms_and_may_come_first():
    assert decide(evidence(synthetic=True), POLICY).outcome == "promoted"
    held = champion(synthetic=True)
    assert decide(evidence(synthetic=True), POLICY, champion=held, comparison=comparison()).outcome == "promoted"
    worse = decide(evidence(synthetic=True), POLICY, champion=held, comparison=comparison(accuracy=-0.2))
    assert failed(worse) == ["champion.accuracy"]


def test_a_champion_of_phantoms_is_no_comparison_for_real_x_rays():
    perfect = champion(synthetic=True, bounds=dict.fromkeys(FIGURES, 1.0))
    decision = decide(evidence(bounds={"accuracy": 0.6}), POLICY, champion=perfect)
    assert decision.outcome == "promoted"
    (gate,) = (gate for gate in decision.gates if gate.name == "champion")
    assert "synthetic" in gate.why


def test_the_champions_own_weights_change_nothing():
    decision = decide(evidence(weights="sha256:old"), POLICY, champion=champion(), comparison=comparison())
    assert decision.outcome == "unchanged"
    assert decision.reasons == ("The candidate's weights are the champion's own.",)


WANTS_APPROVAL = read_policy(POLICY_TEXT.replace("required: false", "required: true"))
WANTS_ANOTHER = read_policy(
    POLICY_TEXT.replace("required: false", "required: true").replace("not_the_trainer: false", "not_the_trainer: true")
)


@pytest.mark.parametrize(
    ("policy", "approver", "outcome"),
    [
        (WANTS_APPROVAL, "", "pending"),
        (WANTS_APPROVAL, "  ", "pending"),
        (WANTS_APPROVAL, "ada", "promoted"),
        (WANTS_ANOTHER, "ada", "pending"),
        (WANTS_ANOTHER, " ADA ", "pending"),
        (WANTS_ANOTHER, "grace", "promoted"),
    ],
)
def test_a_person_has_the_last_word_where_the_policy_says_so(policy, approver, outcome):
    decision = decide(evidence(), policy, approved_by=approver)
    assert decision.outcome == outcome
    assert bool(decision.reasons) == (outcome == "pending")


def test_an_unknown_trainer_is_no_proof_and_approval_heals_no_failed_gate():
    assert decide(evidence(trained_by=""), WANTS_ANOTHER, approved_by="grace").outcome == "pending"
    assert decide(evidence(n=3), WANTS_APPROVAL, approved_by="grace").outcome == "refused"


def test_a_comparison_of_other_predictions_is_refused():
    foreign = comparison().model_copy(update={"second_predictions": "sha256:other"})
    for held in (champion(), None):
        with pytest.raises(PolicyError) as caught:
            decide(evidence(), POLICY, champion=held, comparison=foreign)
        assert caught.value.reason == "comparison_mismatch"


LIMITS = st.none() | st.floats(0, 1)


@st.composite
def pairs_of_evidence(draw):
    """Numbers of one candidate, and of another that is at least as good in each."""
    worse = {figure: draw(LIMITS) for figure in FIGURES}
    better = {figure: draw(LIMITS) if low is None else draw(st.floats(low, 1)) for figure, low in worse.items()}
    groups = draw(st.integers(0, 200))
    more, fewer = draw(st.integers(0, 15)), draw(st.integers(0, 15))
    low_a, low_b = draw(st.floats(-0.2, 0.2)), draw(st.floats(-0.2, 0.2))
    return (
        {"bounds": worse, "groups": groups},
        {"bounds": better, "groups": groups + draw(st.integers(0, 50))},
        {"more": more, "fewer": fewer, "accuracy": low_a, "macro_auc": low_b},
        {
            "more": draw(st.integers(0, more)),
            "fewer": fewer + draw(st.integers(0, 9)),
            "accuracy": draw(st.floats(low_a, 0.3)),
            "macro_auc": draw(st.floats(low_b, 0.3)),
        },
    )


@given(pairs_of_evidence(), st.sampled_from(["none", "paired", "unpaired"]))
def test_better_evidence_never_turns_a_passed_gate_into_a_failed_one(numbers, mode):
    worse, better, against_worse, against_better = numbers
    outcomes = []
    for own, against in ((worse, against_worse), (better, against_better)):
        held = {} if mode == "none" else {"champion": champion(bounds={"accuracy": 0.6, "macro_auc": 0.6})}
        if mode == "paired":
            held["comparison"] = comparison(**against)
        outcomes.append(decide(evidence(**own), POLICY, **held))
    before, after = outcomes
    assert set(failed(after)) <= set(failed(before))
    assert not (before.outcome == "promoted" and after.outcome == "refused")


# Good evidence with single figures spoilt, so that promotions happen as well as refusals.
@given(st.dictionaries(st.sampled_from(FIGURES), LIMITS, max_size=2), st.integers(25, 40))
def test_promotion_is_exactly_every_gate_passed(bounds, n):
    decision = decide(evidence(bounds=bounds, n=n), POLICY)
    assert (decision.outcome == "promoted") == (not failed(decision))
    assert decision.reasons == tuple(gate.why for gate in decision.gates if not gate.passed)
    assert parse_decision(json.loads(json.dumps(decision_json(decision), allow_nan=False))) == decision


def test_a_changed_word_in_a_decision_is_found():
    body = decision_json(decide(evidence(n=3), POLICY))
    with pytest.raises(PolicyError) as caught:
        parse_decision({**body, "outcome": "promoted"})
    assert caught.value.reason == "digest_mismatch"
    with pytest.raises(PolicyError, match="outcome") as caught:
        parse_decision({**body, "outcome": "maybe"})
    assert caught.value.reason == "bad_decision"


def test_the_same_input_gives_the_same_digest_and_another_policy_another():
    first = decide(evidence(), POLICY)
    assert decide(evidence(), POLICY) == first
    assert decide(evidence(), WANTS_APPROVAL, approved_by="grace").digest != first.digest


def test_deciding_needs_no_torch_no_pandas_and_no_plotting():
    code = (
        "import sys, cxr_core.promote.decide, cxr_core.promote.policy, cxr_core.evaluate.compare;"
        "sys.exit(bool({'torch', 'pandas', 'matplotlib', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
