"""``cxr why`` and ``cxr compare``: what runs were made from, what differs, and which was better on what both tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.walk import FOLDS, Ended, Retrained

Verb = Callable[..., Ended]


def test_by_default_the_parts_are_those_of_what_serves(promoted: Retrained, verb: Verb) -> None:
    report = verb(promoted.place, "why", "--json").report
    (run,) = report["runs"]
    assert run["run"] == promoted.report["run"]
    assert set(run["parts"]) == {"folds", "refit", "cohort", "split", "protocol", "evaluate", "explain", "code"}
    assert len(run["parts"]["folds"]) == FOLDS
    # Judging is part of it, training has its own keys.
    assert "cxr_core/evaluate/evidence.py" in run["parts"]["code"]
    assert "cxr_core/train/fold.py" not in run["parts"]["code"]
    assert report["differences"] is None


def test_a_fold_names_images_parameters_code_weights_and_environment(promoted: Retrained, verb: Verb) -> None:
    fold = promoted.report["folds"][0]
    (run,) = verb(promoted.place, "why", fold["run_id"][:10], "--json").report["runs"]
    assert run["key"] == fold["key"]
    assert {"train", "validation", "test", "params", "code", "weights"} <= set(run["parts"])


def test_against_another_run_each_part_that_differs_is_a_sentence(
    first: Retrained, promoted: Retrained, verb: Verb
) -> None:
    ours, theirs = (report["folds"][0]["run_id"] for report in (promoted.report, first.report))
    differences = verb(promoted.place, "why", ours, "--against", theirs, "--json").report["differences"]
    # Another seed of training, and nothing else.
    assert len(differences) == 1
    assert "seed" in differences[0]
    assert "7" in differences[0]
    assert "2021" in differences[0]
    shown = verb(promoted.place, "why", ours, "--against", theirs)
    assert differences[0] in " ".join(shown.out.split())


def test_a_run_does_not_differ_from_itself(promoted: Retrained, verb: Verb) -> None:
    run = promoted.report["run"]
    assert verb(promoted.place, "why", run, "--against", run, "--json").report["differences"] == []


@pytest.mark.parametrize("name", ["ffffffffffffffff", "x y"])
def test_a_run_that_is_not_there_is_told(promoted: Retrained, verb: Verb, name: str) -> None:
    ended = verb(promoted.place, "why", name, "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "no_run")


def test_two_retrains_are_compared_on_the_images_that_both_tested(
    first: Retrained, promoted: Retrained, verb: Verb
) -> None:
    runs = [first.report["run"], "models:/cxr-resnet34@champion"]
    report = verb(promoted.place, "compare", *runs, "--json").report
    assert [row["run"] for row in report["runs"]] == [first.report["run"], promoted.report["run"]]
    (pair,) = report["pairs"]
    assert (pair["first"], pair["second"]) == tuple(runs)
    assert pair["shared"] == promoted.report["n"]
    assert pair["n"] == promoted.report["leak_free_n"]
    difference = pair["accuracy"]
    assert difference["value"] == pytest.approx(difference["first"] - difference["second"])
    assert pair["text"] in " ".join(verb(promoted.place, "compare", *runs).out.split())


def test_the_papers_systems_stand_below_as_printed_and_runs_name_their_architecture(
    promoted: Retrained, verb: Verb
) -> None:
    report = verb(promoted.place, "compare", promoted.report["run"], "--json").report
    assert [row["architecture"] for row in report["runs"]] == ["resnet18"]
    assert report["pairs"] == []
    names = " ".join(system["name"] for system in report["systems"])
    for name in ("COVID-Net", "VGG19 and DenseNet", "ResNet-18", "ResNet-50", "DenseNet-169"):
        assert name in names
    shown = " ".join(verb(promoted.place, "compare", promoted.report["run"]).out.split())
    assert "as printed in the paper, other data" in shown
    assert "accuracy 93.3 %" in shown


def test_a_pair_has_delong_mcnemar_and_non_inferiority_at_the_policys_margin(
    first: Retrained, promoted: Retrained, verb: Verb
) -> None:
    runs = [first.report["run"], promoted.report["run"]]
    (pair,) = verb(promoted.place, "compare", *runs, "--json").report["pairs"]
    assert set(pair["areas"]) == {"covid", "viral", "normal"}
    assert pair["mcnemar_p"] is not None
    # The lenient policy of this place: a margin of 1, which no difference passes.
    assert pair["non_inferior"]["accuracy"] == {"margin": 1.0, "low": pair["accuracy"]["low"], "verdict": "shown"}
    assert pair["second_non_inferior"]["macro_auc"]["low"] == -pair["macro_auc"]["high"]
    shown = " ".join(verb(promoted.place, "compare", *runs).out.split())
    assert "no worse than" in shown
    assert "AUC of COVID-19" in shown


def test_a_fold_alone_is_no_retrain_to_compare(promoted: Retrained, verb: Verb) -> None:
    fold = promoted.report["folds"][0]["run_id"]
    ended = verb(promoted.place, "compare", promoted.report["run"], fold, "--json")
    assert (ended.code, ended.report["error"]["kind"]) == (1, "TrackingError")
    assert "evidence.json" in ended.report["error"]["message"]
