"""Examine a source's files, those that a memo knows without decoding them.

Tasks in, one outcome a task out, in order. Law: outcomes and kept files are the same with any memo or none; a file that
is known is still read, checked against its listing and kept as its outcome says, unless the file to keep is read and
found to stand there already. What depends on the moment (a worker that died, memory that ran out) is never remembered;
of a patient there is the keyed digest that records hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from cxr_core.digests import canonical_json
from cxr_core.imaging.faults import ImageFault
from cxr_core.imaging.hashing import THUMBNAIL_PIXELS
from cxr_core.ingest.examine import Examined, Facts, Task, Unusable, examine, keep_again
from cxr_core.ingest.key import key_identity
from cxr_core.ingest.pool import Died, head_start, map_in_order
from cxr_core.ingest.standing import Standing
from cxr_core.memo import Memo, memo_key, recipe

__all__ = ["CODE", "LIBRARIES", "examiners", "outcomes"]

CODE = ("digests.py", "imaging", "ingest/examine.py", "ingest/recall.py")
"""What makes an outcome of a file's bytes; a change here makes the memo's outcomes strangers."""
LIBRARIES = ("imagecodecs", "imagehash", "numpy", "pillow", "scipy")

Outcome = Examined | Unusable | Died

# Outcomes asked of the memo, or given to it, at a time.
_BATCH = 256
# Keeping a file waits for the disk more than for the processor; so many at a time a thread.
_HANDS, _SHARE = 2, 64
# A decoder's surprise may have had another cause than the bytes.
_MOMENTARY = frozenset({ImageFault.DECODER_FAILED.value})


def outcomes(
    tasks: Sequence[Task],
    *,
    memo: Memo,
    workers: int,
    standing: Standing | None = None,
    begun: Callable[[Sequence[Task]], Iterator[Outcome]] | None = None,
) -> Iterator[Outcome]:
    """What ``examine`` gives for each task, in order.

    Args:
        tasks: Of one source, under one patient key.
        memo: Outcomes of earlier runs, and where this one's are kept.
        workers: Processes for the files that are not known.
        standing: What an earlier run kept: a known file that is there, byte for byte, stays and is not kept again.
        begun: What ``examiners`` gave; None starts workers once it is known that they have something to do.

    Raises:
        SourceError: A file's bytes are not the listed ones any more.
        SettingError: Workers cannot start.
    """
    examined = begun or partial(map_in_order, examine, workers=workers)
    if not memo.is_on or not tasks:
        yield from examined(tasks)
        return
    keys = _keys(tasks)
    known = _known(tasks, keys, memo)
    fresh = examined([task for place, task in enumerate(tasks) if place not in known])
    with ThreadPoolExecutor(max_workers=_HANDS + 1) as hands:
        # In a hand of its own, so that workers start while known files are kept.
        first = hands.submit(next, fresh, None)
        kept = _kept(tasks, known, standing, hands)
        try:
            yield from _told(_in_order(tasks, known, kept, _after(first, fresh)), keys, known, memo)
        finally:
            hands.shutdown(cancel_futures=True)


def examiners(workers: int) -> AbstractContextManager[Callable[[Sequence[Task]], Iterator[Outcome]]]:
    """A worker that starts now and is ready when ``outcomes`` has tasks for it and others."""
    return head_start(examine, workers=workers)


def _after(first: Future[Outcome | None], others: Iterator[Outcome]) -> Iterator[Outcome]:
    if (outcome := first.result()) is not None:
        yield outcome
        yield from others


def _kept(
    tasks: Sequence[Task],
    known: Mapping[int, Examined | Unusable],
    standing: Standing | None,
    hands: ThreadPoolExecutor,
) -> Iterator[bool]:
    """Keep the files of known outcomes, beside the workers, which have the others; whether each fitted, in order."""
    places = list(known)
    shares = [places[start : start + _SHARE] for start in range(0, len(places), _SHARE)]

    def stays(path: str, outcome: Examined | Unusable) -> bool:
        return standing is not None and isinstance(outcome, Examined) and standing.keeps(path, outcome.sha256)

    def keep(share: Sequence[int]) -> list[bool]:
        return [stays(tasks[place].path, known[place]) or keep_again(tasks[place], known[place]) for place in share]

    # Begun at once, and not when the first is asked for.
    return chain.from_iterable(future.result() for future in [hands.submit(keep, share) for share in shares])


def _in_order(
    tasks: Sequence[Task], known: Mapping[int, Examined | Unusable], kept: Iterator[bool], fresh: Iterator[Outcome]
) -> Iterator[Outcome]:
    for place, task in enumerate(tasks):
        if place not in known:
            yield next(fresh)
        elif next(kept):
            yield known[place]
        else:
            # What would be kept now differs from what was kept then, so the outcome is not this code's.
            yield from map_in_order(examine, [task], workers=1)


def _told(
    found: Iterator[Outcome], keys: Sequence[bytes], known: Mapping[int, Examined | Unusable], memo: Memo
) -> Iterator[Outcome]:
    """Pass outcomes on, and tell the memo those that it does not know."""
    learnt: list[tuple[bytes, bytes]] = []
    for place, outcome in enumerate(found):
        if known.get(place) is not outcome and (words := _written(outcome)) is not None:
            learnt.append((keys[place], words))
        if len(learnt) == _BATCH:
            memo.put(learnt)
            learnt.clear()
        yield outcome
    memo.put(learnt)


def _keys(tasks: Sequence[Task]) -> list[bytes]:
    parameters = {"source": tasks[0].source, "patient_key": key_identity(tasks[0].patient_key)}
    made_by = recipe("outcome", code=CODE, libraries=LIBRARIES, parameters=parameters)
    return [memo_key(made_by, task.sha256) for task in tasks]


def _known(tasks: Sequence[Task], keys: Sequence[bytes], memo: Memo) -> dict[int, Examined | Unusable]:
    known: dict[int, Examined | Unusable] = {}
    for start in range(0, len(tasks), _BATCH):
        found = memo.get(keys[start : start + _BATCH])
        for place in range(start, min(start + _BATCH, len(tasks))):
            if keys[place] in found and (outcome := _read(found[keys[place]].data)) is not None:
                known[place] = outcome
    return known


def _written(outcome: Outcome) -> bytes | None:
    """An outcome as a line of JSON and the thumbnail's bytes; None where it is not to be remembered."""
    match outcome:
        case Examined():
            words = asdict(replace(outcome, thumbnail=np.zeros(0, np.uint8)))
            del words["thumbnail"]
            return canonical_json(words).encode() + b"\n" + outcome.thumbnail.tobytes()
        case Unusable(reason=reason) if reason not in _MOMENTARY:
            return canonical_json(asdict(outcome)).encode() + b"\n"
        case _:
            return None


def _read(data: bytes) -> Examined | Unusable | None:
    """The outcome that ``_written`` wrote; None where it is none."""
    line, _, pixels = data.partition(b"\n")
    try:
        words: dict[str, Any] = json.loads(line)
        if "reason" in words:
            return Unusable(**words)
        facts: dict[str, Any] | None = words.pop("dicom")
        thumbnail = np.frombuffer(pixels, np.uint8).reshape(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)
        return Examined(**words, dicom=None if facts is None else Facts(**facts), thumbnail=thumbnail)
    except (ValueError, TypeError, KeyError):
        return None
