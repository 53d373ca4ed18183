"""Records and cohort rows for tests: a whole one by default, and only what a test is about said aloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cxr_core.classes import SOURCES
from cxr_core.curate.cohort import CohortRow
from cxr_core.digests import digest_bytes
from cxr_core.ingest.record import Exclusion, Quarantined, Record, write_rows
from cxr_core.params import Params, override_params, read_params

PARAMS_TEXT = (Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8")


def params(*overrides: str) -> Params:
    return read_params(override_params(PARAMS_TEXT, overrides))


def record(name: str, **changes: Any) -> Record:
    source, _, path = name.partition(":")
    values: dict[str, Any] = {
        "name": name,
        "source": source,
        "path": path,
        "sha256": digest_bytes(name.encode()),
        "source_sha256": digest_bytes(name.encode()),
        "bytes": 1000,
        "finding": "Normal" if source == "rsna" else "COVID-19",
        "modality": "X-ray",
        "view": "PA",
        "patient": digest_bytes(f"patient of {name}".encode())[7:23],
        "sex": "F",
        "age_years": 50.0,
        "origin_url": "",
        "licence": "CC BY 4.0",
        "label_provenance": "case_report",
        "width": 640,
        "height": 480,
        "mode": "L",
        "pixel_sha256": digest_bytes(f"pixels of {name}".encode()),
        "phash": digest_bytes(name.encode())[7:23],
        "synthetic": False,
    }
    return Record(**(values | changes))


def cohort_row(name: str, **changes: Any) -> CohortRow:
    source, _, _ = name.partition(":")
    values: dict[str, Any] = {
        "name": name,
        "source": source,
        "sha256": digest_bytes(name.encode()),
        "source_sha256": digest_bytes(name.encode()),
        "label": "covid",
        "label_provenance": "case_report",
        "group": digest_bytes(f"group of {name}".encode())[7:23],
        "patient": digest_bytes(f"patient of {name}".encode())[7:23],
        "view": "PA",
        "sex": "F",
        "age_years": 50.0,
        "origin_url": "",
        "licence": "",
        "synthetic": False,
        "pixel_sha256": digest_bytes(f"pixels of {name}".encode()),
    }
    return CohortRow(**(values | changes))


def write_raw(
    workspace: Path,
    records: list[Record],
    *,
    exclusions: tuple[Exclusion, ...] = (),
    quarantine: tuple[Quarantined, ...] = (),
) -> None:
    """The tables that ingest leaves of all four sources, with a thumbnail of noise a record."""
    for source in SOURCES:
        folder = workspace / "data/raw" / source
        of_source = sorted((row for row in records if row.source == source), key=lambda row: row.name)
        write_rows(folder / "records.jsonl", of_source)
        write_rows(folder / "exclusions.jsonl", [row for row in exclusions if row.name.startswith(source)])
        write_rows(folder / "quarantine.jsonl", [row for row in quarantine if row.name.startswith(source)])
        noise = [
            np.random.default_rng(int(row.phash, 16)).integers(0, 256, (64, 64), dtype=np.uint8) for row in of_source
        ]
        np.save(folder / "thumbnails.npy", np.array(noise, dtype=np.uint8).reshape(-1, 64, 64))
