"""The paper's printed figures in, what their arithmetic says out: one remark a question, with every number it rests on.

Laws: nothing here was measured on an image; a remark that does not hold names the figures that would.
"""

from __future__ import annotations

from cxr_core.paper.performance import accuracy_of_the_test, certainty, class_shares, equal_specificity, pairs
from cxr_core.paper.protocol import batches, fold_count, mean_of_rows, sample_size, table_2
from cxr_core.paper.remark import Remark

__all__ = ["check_paper"]


def check_paper() -> list[Remark]:
    """Every remark, in the order of the paper."""
    asked = (sample_size, batches, fold_count, table_2, mean_of_rows)
    found = (accuracy_of_the_test, class_shares, equal_specificity, pairs, certainty)
    return [ask() for ask in (*asked, *found)]
