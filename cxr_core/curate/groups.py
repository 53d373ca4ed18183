"""Who must stay together: patients and duplicate pairs in, one group name a row out.

Laws: two rows of one patient, or of one duplicate pair, have one group, and so have rows joined by a chain of these;
no other rows have. The name is the smallest patient digest of the group, so it does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["components", "group_names", "same_value_edges"]


def components(n: int, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Connected components of an undirected graph.

    Args:
        n: Number of nodes.
        edges: Pairs of nodes in [0, n).

    Returns:
        One component number a node, (n,).
    """
    ends = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


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
    component = components(len(patients), [*same_value_edges(patients), *pairs])
    smallest: dict[int, str] = {}
    for number, patient in zip(component.tolist(), patients, strict=True):
        smallest[number] = min(patient, smallest.get(number, patient))
    return [smallest[number] for number in component.tolist()]
