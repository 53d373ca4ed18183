"""Who must stay together: patients and duplicate pairs in, one group name a row out.

Laws: two rows of one patient, or of one duplicate pair, have one group, and so have rows joined by a chain of these;
no other rows have. The name is the smallest patient digest of the group, so it does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest", "components", "group_names", "same_value_edges"]


class Forest:
    """Which of n nodes are joined, while joins go on; a component's number is that of one of its nodes."""

    def __init__(self, n: int) -> None:
        self.labels: NDArray[np.int64] = np.arange(n, dtype=np.int64)
        """The number of each node's component, (n,); kept up to date."""
        self._members: dict[int, list[int]] = {}

    def join(self, one: int, other: int) -> bool:
        """Join two nodes; False where they were joined already."""
        stays, goes = int(self.labels[one]), int(self.labels[other])
        if stays == goes:
            return False
        members, moved = self._members.pop(stays, [stays]), self._members.pop(goes, [goes])
        # The smaller part takes the larger one's number, so that no node changes its own more than log2(n) times.
        if len(moved) > len(members):
            stays, members, moved = goes, moved, members
        self.labels[moved] = stays
        members += moved
        self._members[stays] = members
        return True


def components(n: int, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Connected components of an undirected graph.

    Args:
        n: Number of nodes.
        edges: Pairs of nodes in [0, n).

    Returns:
        One component number a node, (n,).
    """
    forest = Forest(n)
    for one, other in edges:
        forest.join(one, other)
    return forest.labels


def same_value_edges(values: Sequence[str]) -> list[tuple[int, int]]:
    """Join each row to the first row with its value: as many edges as rows at most, however many rows share one."""
    first: dict[str, int] = {}
    edges = [(first.setdefault(value, row), row) for row, value in enumerate(values)]
    return [(one, other) for one, other in edges if one != other]


def group_names(patients: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Name each row's group.

    Args:
        patients: Keyed patient digest a row.
        pairs: Rows that show one X-ray.
    """
    component = components(len(patients), [*same_value_edges(patients), *pairs]).tolist()
    smallest: dict[int, str] = {}
    for number, patient in zip(component, patients, strict=True):
        smallest[number] = min(patient, smallest.get(number, patient))
    return [smallest[number] for number in component]
