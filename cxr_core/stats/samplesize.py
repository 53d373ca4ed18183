"""How many images a proportion needs: confidence, margin and expected proportion in, a whole number out.

The paper's rule (its cohort section): 99 % confidence and a 1 % margin gave "at least 722", which holds for an expected
proportion of 0.989 only; with nothing known (0.5) the same rule asks for 16 588. It counts independent images; patients
with several images, or three classes, need more.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from cxr_core.errors import EvidenceError

__all__ = ["samplesize"]


def samplesize(*, confidence: float, margin: float, p: float) -> int:
    """Smallest n with z² p (1 − p) / margin² ≤ n (Cochran 1977, eq. 4.2, without finite-population correction).

    Args:
        confidence: Two-sided coverage, in (0, 1).
        margin: Half-width of the interval, in (0, 1).
        p: Expected proportion, in (0, 1).

    Raises:
        EvidenceError: A value is outside (0, 1); at p = 0 or 1 the rule would ask for no image at all.
    """
    for name, value in (("confidence", confidence), ("margin", margin), ("p", p)):
        if not 0 < value < 1:
            raise EvidenceError(f"Expected {name} between 0 and 1, found {value}.", reason="out_of_range")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return max(1, math.ceil(z * z * p * (1 - p) / (margin * margin)))
