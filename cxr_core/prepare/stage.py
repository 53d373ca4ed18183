"""The stage ``prepare``: a workspace's cohort and raw files in, its packed store out.

Pictures that a memo knows are copied from it; the others are decoded by processes, which write their rows themselves.
Law: the store's bytes are the same with any number of processes, and with any memo or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, repeat
from pathlib import Path
from typing import Any

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.digests import digest_value
from cxr_core.errors import CohortError
from cxr_core.ingest.pool import Died, Limits, map_in_order, processors
from cxr_core.memo import Memo, memo_key, recipe
from cxr_core.params import Params
from cxr_core.prepare.pack import SHARD_IMAGES, Original, Shard, pack, shards
from cxr_core.prepare.store import Draft, Listed, RowFile, new_store

__all__ = ["CODE", "LIBRARIES", "pack_rows", "run"]

CODE = ("digests.py", "imaging", "prepare/pack.py")
"""What makes a picture of a file's bytes; a change here makes the memo's pictures strangers."""
LIBRARIES = ("imagecodecs", "numpy", "pillow")

# Starting workers takes longer than preparing fewer images than this.
_ALONE_BELOW = 256
# Pictures asked of the memo, or given to it, at a time: 3 MB.
_BATCH = 64
# The header of the store's file, and room to spare.
_HEADER_BYTES = 4096


def run(
    *,
    workspace: Path,
    params: Params,
    memo: Memo | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Decode and resize the cohort's originals into the store.

    Args:
        workspace: The workspace's root.
        params: ``prepare`` is read.
        memo: Pictures of earlier runs, and where this one's are kept; None keeps nothing.
        progress: Called with images done and images in all.
        workers: Processes; None takes one a processor, or none beside this one for few images.

    Returns:
        ``{"images", "size", "digest"}``, the digest of the rows' digests, in order.

    Raises:
        CohortError: There is no cohort, an original is absent or differs from the cohort, a worker was ended, or the
            disk is full.
        ImageError: An original cannot be decoded, which ingest would have found.
    """
    cohort, size = read_cohort(workspace / COHORT_PATH), params.prepare.size
    digests = pack_rows(
        cohort, workspace=workspace, target=workspace, size=size, memo=memo, progress=progress, workers=workers
    )
    return {"images": len(cohort), "size": size, "digest": digest_value(digests)}


def pack_rows(
    rows: Sequence[Listed],
    *,
    workspace: Path,
    target: Path,
    size: int,
    memo: Memo | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> list[str]:
    """Decode and resize originals of a workspace into a store under another folder, or its own.

    Args:
        rows: The images, in order.
        workspace: Whose data/raw holds them.
        target: Where data/store is made.
        size: Side in pixels.
        memo: As for ``run``.
        progress: As for ``run``.
        workers: As for ``run``.

    Returns:
        The digest of each row's pixels.

    Raises:
        CohortError: As for ``run``.
        ImageError: As for ``run``.
    """
    with new_store(target, rows, size=size) as draft:
        steps = _fill(draft, rows, workspace=workspace, size=size, memo=memo or Memo(None), workers=workers)
        for done, _ in enumerate(steps, start=1):
            if progress is not None:
                progress(done, len(rows))
    return draft.digests


def _original(workspace: Path, number: int, row: Listed) -> Original:
    path = workspace / "data/raw" / row.source / "files" / row.name.removeprefix(f"{row.source}:")
    return Original(row=number, name=row.name, path=path, sha256=row.sha256)


def _fill(
    draft: Draft, rows: Sequence[Listed], *, workspace: Path, size: int, memo: Memo, workers: int | None
) -> Iterator[None]:
    """Fill every row; yields once a row."""
    keys: list[bytes] = []
    if memo.is_on:
        made_by = recipe("picture", code=CODE, libraries=LIBRARIES, parameters={"size": size})
        keys = [memo_key(made_by, row.sha256) for row in rows]
        yield from _recalled(draft, keys, memo)
    unknown = [_original(workspace, number, row) for number, row in enumerate(rows) if not draft.digests[number]]
    fresh: list[int] = []
    for original in _decoded(draft, unknown, size=size, workers=workers):
        yield
        if memo.is_on:
            fresh.append(original.row)
        if len(fresh) == _BATCH:
            _remember(draft, fresh, keys, memo)
            fresh.clear()
    _remember(draft, fresh, keys, memo)


def _recalled(draft: Draft, keys: Sequence[bytes], memo: Memo) -> Iterator[None]:
    """Fill the rows that the memo knows; while some are written, the next are read and checked."""
    with ThreadPoolExecutor(max_workers=1) as hand:
        writing: Future[None] | None = None
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            known = memo.get(batch)
            found: list[tuple[int, bytes]] = []
            for row, key in enumerate(batch, start=start):
                if key in known and len(known[key].data) == draft.file.row_bytes:
                    found.append((row, known[key].data))
                    draft.digests[row] = known[key].sha256
            if writing is not None:
                writing.result()
            writing = hand.submit(_write, draft.file, found)
            yield from repeat(None, len(found))
        if writing is not None:
            writing.result()


def _write(file: RowFile, found: Sequence[tuple[int, bytes]]) -> None:
    """Write rows, those that follow each other at once."""
    for _, together in groupby(enumerate(found), key=lambda each: each[1][0] - each[0]):
        rows = [each for _, each in together]
        file.write(rows[0][0], *(picture for _, picture in rows))


def _remember(draft: Draft, rows: Sequence[int], keys: Sequence[bytes], memo: Memo) -> None:
    memo.put([(keys[row], draft.file.read(row)) for row in rows])


def _decoded(draft: Draft, originals: Sequence[Original], *, size: int, workers: int | None) -> Iterator[Original]:
    count = workers or (1 if len(originals) < _ALONE_BELOW else processors())
    work = list(shards(originals, draft.file, size=size, workers=count))
    # Bytes that ingest took in under limits may be decoded in this process, too.
    outcomes = map(pack, work) if count == 1 else map_in_order(pack, work, workers=count, limits=_limits(draft))
    for shard, outcome in zip(work, outcomes, strict=True):
        if isinstance(outcome, Died):
            raise _ended(shard, outcome)
        for each, digest in zip(shard.originals, outcome, strict=True):
            draft.digests[each.row] = digest
            yield each


def _limits(draft: Draft) -> Limits:
    """What a picture may take, for a shard of them; a worker writes into the store's file, however large."""
    plain, store_bytes = Limits(), draft.file.row_bytes * len(draft.digests)
    return replace(
        plain,
        cpu_seconds=plain.cpu_seconds * SHARD_IMAGES,
        wall_seconds=plain.wall_seconds * SHARD_IMAGES,
        file_bytes=store_bytes + _HEADER_BYTES,
    )


def _ended(shard: Shard, died: Died) -> CohortError:
    names = ", ".join(each.name for each in shard.originals)
    return CohortError(
        f"Preparing one of {names} ended its worker process, twice: {died.reason.value}.",
        reason="worker_killed",
        hint="Free memory and run `dvc repro prepare` again.",
    )
