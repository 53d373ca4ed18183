"""Cohorts for tests of folds: as hypothesis draws them, and one as large and as uneven as real ones are."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.cohort import CohortRow
from cxr_core.digests import keyed_digest
from cxr_core.params import SplitParams
from tests.cxr_core.curate.build import cohort_row

PROTOCOLS = ("paper", "batches", "grouped", "loso")
# Images of the paper's classes by source, as a cohort of its size comes out of the four.
PAPERS = {
    ("covid", "sirm"): 50,
    ("covid", "github"): 190,
    ("viral", "kaggle"): 250,
    ("viral", "github"): 24,
    ("normal", "rsna"): 130,
    ("normal", "kaggle"): 130,
    ("normal", "github"): 7,
}
_SIZES = (1, 1, 1, 1, 2, 2, 3, 5)


def options(protocol="grouped", *, folds=5, seed=2021, holdout=0.0):
    return SplitParams(protocol=protocol, folds=folds, seed=seed, holdout=holdout)


@st.composite
def cohorts(draw, *, mixed=True):
    """A cohort every protocol can deal: (rows, folds, seed).

    Every class is in every source, in at least ten groups, so that folds can be dealt after a fifth is held out; other
    images join these groups or make larger ones. Where ``mixed``, a group may hold several classes and sources.
    """
    folds = draw(st.integers(3, 5))
    rows = []
    for label in CLASSES:
        n = 24 + draw(st.integers(0, 25))
        for i in range(n):
            source = SOURCES[i % len(SOURCES)] if i < 24 else draw(st.sampled_from(SOURCES))
            patient = i if i < 24 else draw(st.integers(0, n))
            of = label if not mixed or i < 24 or draw(st.booleans()) else draw(st.sampled_from(CLASSES))
            group = keyed_digest(b"k", f"{of}{patient}" if mixed else f"{source}{of}{patient}")
            rows.append(cohort_row(f"{source}:{label}/{i}", label=label, group=group))
    return rows, folds, draw(st.integers(0, 2**32 - 1))


def papers_cohort(n=781, *, seed=0) -> list[CohortRow]:
    """About ``n`` images in the paper's mix; patients with one to five."""
    rng, rows = random.Random(seed), []
    for (label, source), images in PAPERS.items():
        number = group = 0
        wanted = max(1, round(images * n / sum(PAPERS.values())))
        while number < wanted:
            for _ in range(min(wanted - number, rng.choice(_SIZES))):
                name = f"{source}:{seed}/{label}/{number}"
                rows.append(cohort_row(name, label=label, group=f"{seed}{source}{label}{group}"))
                number += 1
            group += 1
    return rows


def one_more(rows, *, seed) -> CohortRow:
    """One image more, like one there is: of a patient there is, or of a new one."""
    rng = random.Random(seed)
    like = rng.choice(rows)
    group = like.group if rng.random() < 0.4 else f"new {seed}"
    return cohort_row(f"{like.source}:new/{seed}", label=like.label, group=group)
