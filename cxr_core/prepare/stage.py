"""The stage ``prepare``: a workspace's cohort and raw files in, its packed store out.

Decoding is spread over processes; the pictures come back in order and go to the disk one by one.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_core.curate.cohort import COHORT_PATH, CohortRow, read_cohort
from cxr_core.digests import digest_bytes, digest_file
from cxr_core.errors import CohortError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.ingest.pool import processors
from cxr_core.params import Params
from cxr_core.prepare.store import IMAGES_PATH, write_store

__all__ = ["run"]

# Images a message to a worker; and messages under way a worker, which bounds what waits in memory.
_SHARD = 32
_AHEAD = 3
# Starting workers takes longer than preparing fewer images than this.
_ALONE_BELOW = 256

_Job = tuple[Path, str, str]


def run(
    *,
    workspace: Path,
    params: Params,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Decode and resize the cohort's originals into the store.

    Args:
        workspace: The workspace's root.
        params: ``prepare`` is read.
        progress: Called with images done and images in all.
        workers: Processes; None takes one a processor, or none beside this one for few images. The result is the same.

    Returns:
        ``{"images", "size", "digest"}``, the digest of the store's bytes.

    Raises:
        CohortError: There is no cohort, an original is absent or differs from the cohort, or a worker was killed.
        ImageError: An original cannot be decoded, which ingest would have found.
    """
    cohort = read_cohort(workspace / COHORT_PATH)
    size = params.prepare.size
    jobs = [(workspace / "data/raw" / row.source / "files" / _path(row), row.name, row.sha256) for row in cohort]
    pictures = _in_order(jobs, size, workers or (1 if len(jobs) < _ALONE_BELOW else processors()))
    write_store(workspace, cohort, _counted(pictures, len(jobs), progress), size=size)
    return {"images": len(cohort), "size": size, "digest": digest_file(workspace / IMAGES_PATH)}


def _path(row: CohortRow) -> str:
    return row.name.removeprefix(f"{row.source}:")


def _counted(
    pictures: Iterator[NDArray[np.uint8]], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[NDArray[np.uint8]]:
    for done, picture in enumerate(pictures, start=1):
        yield picture
        if progress is not None:
            progress(done, total)


def _in_order(jobs: Sequence[_Job], size: int, workers: int) -> Iterator[NDArray[np.uint8]]:
    shards = (jobs[start : start + _SHARD] for start in range(0, len(jobs), _SHARD))
    if workers == 1:
        for shard in shards:
            yield from _prepared(shard, size)
        return
    # Started fresh: forking a process that has threads (a caller's BLAS, say) can deadlock the child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[Future[list[NDArray[np.uint8]]]] = deque()
        try:
            waiting.extend(pool.submit(_prepared, shard, size) for shard in islice(shards, workers * _AHEAD))
            while waiting:
                yield from waiting.popleft().result()
                waiting.extend(pool.submit(_prepared, shard, size) for shard in islice(shards, 1))
        except BrokenProcessPool as error:
            raise CohortError(
                "A worker process of prepare was killed, probably for want of memory.",
                reason="worker_killed",
                hint="Free memory and run `dvc repro prepare` again.",
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _prepared(shard: Sequence[_Job], size: int) -> list[NDArray[np.uint8]]:
    return [resize(decode(_original(*job)).pixels, size) for job in shard]


def _original(path: Path, name: str, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CohortError(
            f"{name}: the cohort lists it, but its file is not in data/raw.",
            reason="original_missing",
            hint="Run `dvc checkout data/raw` or `dvc pull`.",
        ) from error
    if digest_bytes(data) != sha256:
        raise CohortError(
            f"{name}: expected {sha256}, found {digest_bytes(data)}.",
            reason="original_changed",
            hint="Run `dvc checkout --force data/raw` to restore it, then `dvc repro`.",
        )
    return data
