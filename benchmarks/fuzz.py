"""Good files damaged at random, through the product's own readers: does anything but an outcome ever come of one?

    python benchmarks/fuzz.py [--json] [--count 20000] [--seed 1]

PNG, JPEG, DICOM, archives (zip, tar) and tables (CSV) take turns. A worker writes each damaged file and takes it in
as the product does: a picture by ``examine``, which decodes, hashes and keeps it; an archive by ``unpack``; a table by
a source's connector. What was kept is decoded again by workers started fresh, which must see the same picture. Exit
code 1 if the process ended, a file had to be ended by a limit, an error came that is none of ours, something was
written beside its folder, or a file was accepted that does not give its picture again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.digests import digest_bytes
from cxr_core.errors import CxrError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.faults import ImageFault
from cxr_core.imaging.hashing import pixel_digest
from cxr_core.ingest import sirm
from cxr_core.ingest.archive import Limits as ArchiveLimits
from cxr_core.ingest.archive import unpack
from cxr_core.ingest.examine import Examined, Task, examine
from cxr_core.ingest.faults import DecoderFault
from cxr_core.ingest.layout import Tree
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pool import Died, Limits, map_in_order, processors
from tests.hostile.mutants import FORMATS, mutant

LIMITS = Limits(cpu_seconds=20, wall_seconds=120)
ARCHIVE_LIMITS = ArchiveLimits(members=1_000, bytes=100_000_000)
ACCEPTED, UNFORESEEN = "accepted", "unforeseen"


@dataclass(frozen=True, slots=True)
class Job:
    """A mutant to make and take in, in a folder of its own."""

    root: Path
    seed: int
    number: int

    @property
    def folder(self) -> Path:
        """Where everything about it lies."""
        return self.root / f"{self.number:06d}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutant: ``accepted`` with the picture's digest, a reason, or ``unforeseen``."""

    form: str
    outcome: str
    detail: str = ""
    digest: str = ""


def main(argv: list[str] | None = None) -> int:
    """Damage, take in, look again, print."""
    options = _options(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cxr-fuzz-") as scratch:
        jobs = [Job(Path(scratch), options.seed, number) for number in range(options.count)]
        verdicts = [
            verdict if isinstance(verdict, Verdict) else _ended(job, verdict)
            for job, verdict in zip(jobs, map_in_order(attempt, jobs, workers=processors(), limits=LIMITS), strict=True)
        ]
        accepted = [(job, verdict.digest) for job, verdict in zip(jobs, verdicts, strict=True) if verdict.digest]
        again = map_in_order(look_again, [job for job, _ in accepted], workers=processors(), limits=LIMITS)
        undecodable = [job.number for (job, digest), found in zip(accepted, again, strict=True) if found != digest]
        outside = len(list(Path(scratch).iterdir())) - sum(job.folder.is_dir() for job in jobs)
    report = _report(verdicts, undecodable, outside, options)
    report["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def attempt(job: Job) -> Verdict:
    """Make one mutant and take it in."""
    form, suffix, data = mutant(job.seed, job.number)
    job.folder.mkdir()
    take: Callable[[Job, str, bytes], tuple[str, str]] = {"archive": _archive, "table": _table}.get(form, _picture)
    try:
        outcome, digest = take(job, suffix, data)
    except CxrError as error:
        return Verdict(form, error.reason, error.message)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (what the benchmark is for: in the product it would end the run)
        return Verdict(form, UNFORESEEN, f"{type(error).__name__}: {error}")
    return Verdict(form, outcome, digest=digest)


def look_again(job: Job) -> str:
    """The digest of a kept picture, decoded by a process that has seen nothing of it before."""
    (kept,) = (path for path in (job.folder / "files").iterdir() if path.is_file())
    return pixel_digest(decode(kept.read_bytes()).pixels)


def _picture(job: Job, suffix: str, data: bytes) -> tuple[str, str]:
    path = f"given{suffix}"
    (job.folder / path).write_bytes(data)
    task = Task(
        root=job.folder,
        path=path,
        sha256=digest_bytes(data),
        source="sirm",
        files=job.folder / "files",
        patient_key=b"a key of the benchmark's own",
    )
    found = examine(task)
    if isinstance(found, Examined):
        return ACCEPTED, found.pixel_sha256
    # A reason that no enum holds would be a fault as well.
    return ImageFault(found.reason).value, ""


def _archive(job: Job, suffix: str, data: bytes) -> tuple[str, str]:
    (job.folder / f"given{suffix}").write_bytes(data)
    try:
        unpack(job.folder / f"given{suffix}", job.folder / "into", limits=ARCHIVE_LIMITS)
    finally:
        found = {path.name for path in job.folder.iterdir()} - {f"given{suffix}", "into"}
        assert not found, f"left beside the folder: {found}"
    return ACCEPTED, ""


def _table(job: Job, _suffix: str, data: bytes) -> tuple[str, str]:
    source = job.folder / "sirm"
    for number in range(0, 30, 3):
        (source / f"caso-{number}").mkdir(parents=True)
        (source / f"caso-{number}" / "rx-1.png").write_bytes(b"x")
    (source / "cases.csv").write_bytes(data)
    layout = sirm.read(Tree(source="sirm", root=source, listing=list_source(source)))
    files = [row.path for row in layout.candidates] + [row.path for row in layout.exclusions if row.sha256]
    assert len(files) == len(set(files)) == 10, f"{len(files)} of 10 pictures are accounted for"
    return ACCEPTED, ""


def _ended(job: Job, died: Died) -> Verdict:
    form, _, _ = mutant(job.seed, job.number)
    return Verdict(form, died.reason.value, f"mutant {job.number} of seed {job.seed}")


def _report(
    verdicts: list[Verdict], undecodable: list[int], outside: int, options: argparse.Namespace
) -> dict[str, Any]:
    counts = Counter(verdict.outcome for verdict in verdicts)
    hangs, died = counts[DecoderFault.TIMEOUT], counts[DecoderFault.DIED] + counts[DecoderFault.OUT_OF_MEMORY]
    strange = (UNFORESEEN, ImageFault.DECODER_FAILED.value, *(fault.value for fault in DecoderFault))
    shown = [(number, verdict) for number, verdict in enumerate(verdicts) if verdict.outcome in strange]
    forms = {form: Counter(verdict.outcome for verdict in verdicts if verdict.form == form) for form in FORMATS}
    refused = {code: number for code, number in sorted(counts.items()) if code not in (ACCEPTED, UNFORESEEN)}
    return {
        "schema": 1,
        "benchmark": "fuzz",
        "mutants": len(verdicts),
        "seed": options.seed,
        "accepted": counts[ACCEPTED],
        "refused": sum(refused.values()),
        "refused_by_reason": refused,
        "by_format": {form: dict(sorted(found.items())) for form, found in forms.items()},
        "crashes_of_the_parent": 0,  # it would not have come so far
        "hangs": hangs,
        "workers_ended": died,
        "unforeseen_errors": counts[UNFORESEEN],
        "decoder_failed": counts[ImageFault.DECODER_FAILED.value],
        "accepted_but_undecodable": len(undecodable),
        "written_outside": outside,
        "strange": [f"{number}: {verdict.form}: {verdict.outcome}: {verdict.detail}" for number, verdict in shown[:20]],
        "ratios": {"accepted": round(counts[ACCEPTED] / len(verdicts), 4)},
        "ok": not (hangs or died or counts[UNFORESEEN] or undecodable or outside),
    }


def _words(report: dict[str, Any]) -> str:
    lines = [f"{report['mutants']} mutants of seed {report['seed']} in {report['seconds']} s"]
    lines += [f"  {form:8} " + ", ".join(f"{k} {n}" for k, n in found.items()) for form, found in _by_format(report)]
    lines += [
        f"accepted                  {report['accepted']}",
        f"refused                   {report['refused']}, by {len(report['refused_by_reason'])} reasons",
        f"crashes of the parent     {report['crashes_of_the_parent']}",
        f"hangs                     {report['hangs']}",
        f"workers ended             {report['workers_ended']}",
        f"errors that are not ours  {report['unforeseen_errors']}",
        f"decoders' surprises       {report['decoder_failed']}",
        f"accepted but undecodable  {report['accepted_but_undecodable']}",
        f"written outside           {report['written_outside']}",
        *report["strange"],
    ]
    return "\n".join(lines)


def _by_format(report: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    return list(report["by_format"].items())


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--count", type=int, default=20_000, help="mutants")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
