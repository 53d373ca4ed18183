"""What the paper says of its protocol: sample size, batches, folds and Table 2, each put to arithmetic."""

from __future__ import annotations

from cxr_core.paper.printed import (
    BATCH,
    BATCHES,
    CLASS_SHARES,
    CONFIDENCE,
    IMAGES,
    MARGIN,
    MEAN,
    SAMPLE_SIZE,
    TABLE_2,
)
from cxr_core.paper.remark import Remark, listed, sizes_of_the_test
from cxr_core.stats.granularity import denominators, fits, read_digits
from cxr_core.stats.samplesize import samplesize

__all__ = ["batches", "fold_count", "mean_of_rows", "sample_size", "table_2"]

# Denominators tried: a fold of fewer images cannot show two decimals; the four databases hold no fold of more.
_TRIED = range(30, 3001)
# Error rates are printed by the training library with six decimals, and were shortened to two of the thousandths.
_THROUGH = 6


def sample_size() -> Remark:
    """722 images, and the accuracy they assume."""
    needed = {str(p): samplesize(confidence=CONFIDENCE, margin=MARGIN, p=p) for p in (0.989, 0.5)}
    # In steps of 0.00001: which expected accuracies give the printed size.
    giving = [p / 100_000 for p in range(95_000, 100_000) if _needs(p / 100_000) == SAMPLE_SIZE]
    result = CLASS_SHARES["normal"]
    return Remark(
        code="sample_size",
        where="Methods, sample size",
        printed=f"at least {SAMPLE_SIZE} images for {CONFIDENCE:.0%} confidence and a margin of {MARGIN:.0%}",
        holds=False,
        words=(
            f"{SAMPLE_SIZE} ⇔ an expected proportion of {giving[0]:.5f} to {giving[-1]:.5f}, which is {result} %, the "
            f"paper's own result for normal images; with nothing known (0.5) the rule asks for {needed['0.5']:,} "
            "images. It counts images, not patients."
        ),
        facts={"needed": needed, "p_from": giving[0], "p_to": giving[-1]},
    )


def batches() -> Remark:
    """49 batches, and the images in each part."""
    full, last = divmod(IMAGES, BATCH)
    sizes = [batches * BATCH for batches in BATCHES]
    sizes[-1] -= BATCH - last
    shares = ", ".join(f"{size / IMAGES:.1%}" for size in sizes)
    return Remark(
        code="batches",
        where="Methods, training",
        printed=f"{IMAGES} images in 49 batches of {BATCH}, split {'/'.join(map(str, BATCHES))}",
        holds=full + 1 == sum(BATCHES) and sum(sizes) == IMAGES,
        words=(
            f"{full} batches of {BATCH} and one of {last}; with the short one in the test, "
            f"{' / '.join(map(str, sizes))} images ({shares})."
        ),
        facts={"full": full, "last": last, "images": sizes, "test_images": list(sizes_of_the_test())},
    )


def fold_count() -> Remark:
    """How many folds there are said to be."""
    return Remark(
        code="fold_count",
        where="Methods, Results, Table 2",
        printed="three-fold in the text, one- to five-fold in Methods, five rows in Table 2",
        holds=False,
        words="Three accounts of one cross-validation; a 1-fold cross-validation has no training part.",
        facts={"rows": len(TABLE_2)},
    )


def table_2() -> Remark:
    """Of how many images the five error rates can be shares."""
    errors = [read_digits(row.error, scale=1000) for row in TABLE_2]
    found = denominators(errors, _TRIED, ties="up", through=_THROUGH)
    loose = denominators(errors, _TRIED, ties="either", through=_THROUGH)
    shares = [read_digits(row.accuracy, scale=100) for row in TABLE_2]
    also = [n for n, wrong in found.items() if all(fits(d, n - k, n) for d, k in zip(shares, wrong, strict=True))]
    least, folds = min(found), (IMAGES // len(TABLE_2), -(-IMAGES // len(TABLE_2)))
    lowest = min(TABLE_2, key=lambda row: float(row.error))
    return Remark(
        code="table_2",
        where="Table 2",
        printed="error rates " + " / ".join(row.error for row in TABLE_2) + " × 10⁻³",
        holds=IMAGES in found or all(fold in found for fold in folds),
        words=(
            f"Of the denominators {_TRIED.start} to {_TRIED.stop - 1} only {listed(list(found))} give all five errors "
            f"({listed(list(found[least]))} of {least}), and their accuracies too. {IMAGES} does not, nor can a fold "
            f"of {folds[0]} or {folds[1]}: its smallest error above 0 is {1000 / folds[1]:.2f} × 10⁻³, more than the "
            f"{lowest.error} of row {lowest.fold}. Five folds of {least} are {len(TABLE_2) * least:,} images."
        ),
        facts={
            "denominators": list(found),
            "with_ties_either_way": [n for n in loose if n not in found],
            "accuracies_fit": also,
            "wrong": {str(n): list(wrong) for n, wrong in found.items()},
            "five_folds": len(TABLE_2) * least,
        },
    )


def mean_of_rows() -> Remark:
    """Whether the mean is the mean of its rows."""
    rows = [float(row.accuracy) for row in TABLE_2]
    errors = [float(row.error) for row in TABLE_2]
    mean, error = sum(rows) / len(rows), sum(errors) / len(errors)
    other = 100 - float(MEAN.error) / 10
    return Remark(
        code="table_2_mean",
        where="Table 2, last row",
        printed=f"{MEAN.accuracy} %, {MEAN.error} × 10⁻³",
        holds=f"{mean:.2f}" == MEAN.accuracy,
        words=(
            f"The five accuracies have the mean {mean:.3f}, which prints as {mean:.2f}; the five errors have "
            f"{error:.3f}, which is the printed {MEAN.error}. {MEAN.accuracy} is {other:.3f}, one minus the printed "
            "mean error, rounded up."
        ),
        facts={"mean_accuracy": round(mean, 6), "prints_as": f"{mean:.2f}", "mean_error": round(error, 6)},
    )


def _needs(p: float) -> int:
    return samplesize(confidence=CONFIDENCE, margin=MARGIN, p=p)
