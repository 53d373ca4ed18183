"""What the paper says of its performance: accuracy, sensitivity, specificity, each put to arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.paper.printed import CLASS_SHARES, COHORT, IMAGES, TEST_ACCURACY
from cxr_core.paper.remark import Remark, listed, sizes_of_the_test
from cxr_core.stats.association import chi_square
from cxr_core.stats.granularity import counts, fits, read_digits
from cxr_core.stats.intervals import Interval, clopper_pearson, wilson

__all__ = ["accuracy_of_the_test", "certainty", "class_shares", "equal_specificity", "pairs"]

_CONFIDENCE = 0.95


def accuracy_of_the_test() -> Remark:
    """Of which images 99.5 % can be a share."""
    digits = read_digits(TEST_ACCURACY, scale=100)
    subset = {size: counts(digits, size) for size in sizes_of_the_test()}
    all_images = counts(digits, IMAGES)
    near = ", ".join(f"{n - 1} of {n} is {(n - 1) / n:.2%}" for n in subset)
    return Remark(
        code="test_accuracy",
        where="Abstract, Results",
        printed=f"{TEST_ACCURACY} % for the testing subset",
        holds=any(subset.values()),
        words=(
            f"No count of {listed(list(subset))} images prints as {TEST_ACCURACY} % ({near}). Of all {IMAGES} exactly "
            f"one does: {all_images[0]}/{IMAGES} = {all_images[0] / IMAGES:.2%}, training images included."
        ),
        facts={"of_the_test": {str(n): found for n, found in subset.items()}, "of_all": all_images},
    )


def class_shares() -> Remark:
    """How many of each class were right."""
    found = _right_of_each()
    words = [", ".join(f"{k}/{COHORT[slug]}" for slug, k in one.items()) for one in found]
    return Remark(
        code="class_shares",
        where="Abstract, Fig. 3",
        printed=" / ".join(f"{text} %" for text in CLASS_SHARES.values()) + " classifying all source images",
        holds=len(found) == 1,
        words=(
            f"Together with '{TEST_ACCURACY} %' these have one reading: {' or '.join(words)}, which is "
            f"{sum(found[0].values())} of {IMAGES}. The two figures are one, of all images."
        ),
        facts={"correct": found, "sum": sum(found[0].values())},
    )


def equal_specificity() -> Remark:
    """Whether any table of counts makes specificity equal sensitivity."""
    (right,) = _right_of_each()
    placements = list(_placements({slug: COHORT[slug] - right[slug] for slug in CLASSES}))
    equal = [place for place in placements if _specificities_as_printed(place)]
    reached: dict[ClassSlug, tuple[float, float]] = {}
    for slug in CLASSES:
        values = [1 - place[slug] / (IMAGES - COHORT[slug]) for place in placements]
        reached[slug] = min(values), max(values)
    ranges = ", ".join(f"{slug} {low:.2%} to {high:.2%}" for slug, (low, high) in reached.items())
    return Remark(
        code="equal_specificity",
        where="Abstract, Results",
        printed="identical sensitivity and specificity of " + " / ".join(f"{text} %" for text in CLASS_SHARES.values()),
        holds=bool(equal),
        words=(
            f"The {IMAGES - sum(right.values())} errors can fall on other classes in {len(placements)} ways, and none "
            f"gives these specificities ({ranges}). Neither an AUC nor a table of three classes makes the two equal."
        ),
        facts={"placements": len(placements), "equal": len(equal), "reached": reached},
    )


def pairs() -> Remark:
    """What the two tables of Fig. 3 leave out."""
    (right,) = _right_of_each()
    table = [
        [right["viral"], COHORT["viral"] - right["viral"]],
        [COHORT["normal"] - right["normal"], right["normal"]],
    ]
    test = chi_square(table)
    return Remark(
        code="pairs",
        where="Fig. 3",
        printed="'chi-square' of two pairs, without a statistic, degrees of freedom or p",
        holds=False,
        words=(
            "Two tables of counts stand there. Were all errors viral and normal taken for each other, the second pair "
            f"would have χ² = {test.statistic:.0f}, df = {test.df}. COVID-19 against other viral pneumonia, the pair "
            "that is hard for people, is not shown."
        ),
        facts={"table": table, "statistic": round(test.statistic, 3), "df": test.df},
    )


def certainty() -> Remark:
    """What 100 % of so many images is compatible with."""
    pairs = {"48/48": (48, 48), "240/240": (240, 240), f"777/{IMAGES}": (777, IMAGES)}
    limits = {
        name: {"wilson": wilson(k, n, confidence=_CONFIDENCE), "clopper_pearson": _exact(k, n)}
        for name, (k, n) in pairs.items()
    }

    def low(name: str) -> str:
        return f"{limits[name]['wilson'].low:.1%} ({limits[name]['clopper_pearson'].low:.1%} by the exact interval)"

    return Remark(
        code="certainty",
        where="Abstract, Results",
        printed="100 % for COVID-19, with no interval anywhere",
        holds=False,
        words=(
            f"48 of 48, the COVID-19 images of a test of one fifth, are compatible with {low('48/48')}; 240 of 240 "
            f"with {low('240/240')}."
        ),
        facts={
            name: {method: [round(one.low, 6), round(one.high, 6)] for method, one in both.items()}
            for name, both in limits.items()
        },
    )


def _exact(k: int, n: int) -> Interval:
    return clopper_pearson(k, n, confidence=_CONFIDENCE)


def _right_of_each() -> list[dict[ClassSlug, int]]:
    """Every choice of right images a class that prints as the classes' shares and, summed, as the test's accuracy."""
    choices = [counts(read_digits(text, scale=100), COHORT[slug]) for slug, text in CLASS_SHARES.items()]
    whole = counts(read_digits(TEST_ACCURACY, scale=100), IMAGES)
    return [dict(zip(CLASS_SHARES, some, strict=True)) for some in product(*choices) if sum(some) in whole]


def _placements(wrong: dict[ClassSlug, int]) -> Iterator[dict[ClassSlug, int]]:
    """False positives a class, for every way in which the errors of each class fall on the other two."""
    for chosen in product(*(range(wrong[slug] + 1) for slug in CLASSES)):
        place: dict[ClassSlug, int] = dict.fromkeys(CLASSES, 0)
        for slug, first in zip(CLASSES, chosen, strict=True):
            others: list[ClassSlug] = [each for each in CLASSES if each != slug]
            place[others[0]] += first
            place[others[1]] += wrong[slug] - first
        yield place


def _specificities_as_printed(place: dict[ClassSlug, int]) -> bool:
    others = {slug: IMAGES - COHORT[slug] for slug in CLASSES}
    return all(
        fits(read_digits(text, scale=100), others[slug] - place[slug], others[slug])
        for slug, text in CLASS_SHARES.items()
    )
