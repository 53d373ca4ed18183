"""Class and source: told apart or not, in words that name the classes."""

import pytest

from cxr_core.evaluate.identify import identifiability

SHARED = {"covid-viral": ["github"], "covid-normal": ["github"], "viral-normal": ["github", "kaggle"]}


@pytest.mark.parametrize(
    ("changes", "verdict", "apart", "words"),
    [
        ({}, "identifiable", (), "0.300"),
        ({"cramers_v": None}, "identifiable", (), "one source"),
        ({"verdict": "class and source cannot be told apart", "cramers_v": 0.83}, "not identifiable", (), "0.830"),
        (
            {"verdict": "class and source cannot be told apart", "shared_sources": {**SHARED, "covid-viral": []}},
            "not identifiable",
            (("covid", "viral"),),
            "no source holds both of: COVID-19 and other viral pneumonia",
        ),
    ],
)
def test_the_verdict_is_that_of_the_cohorts_report(changes, verdict, apart, words):
    report = {"verdict": "identifiable", "cramers_v": 0.3, "shared_sources": SHARED} | changes
    found = identifiability(report)
    assert (found.verdict, found.apart, found.cramers_v) == (verdict, apart, report["cramers_v"])
    assert words in found.why
