"""A labelled folder from elsewhere: what is kept, what is left out, and why."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cxr_core.curate.external import ExternalImage, Known, Labelled, LeftOut, labelled, set_apart
from cxr_core.digests import keyed_digest
from cxr_core.errors import SourceError
from cxr_core.ingest.examine import Examined, Task, examine
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.record import Record
from tests.cxr_core.curate.build import params, record

KEY = b"0" * 16


def picture(seed: int) -> bytes:
    """A picture of its own: random blocks, so that no two look alike."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.kron(blocks, np.ones((12, 12), dtype=np.uint8))).save(out, format="PNG")
    return out.getvalue()


def folder_of(root: Path, files: Mapping[str, bytes | str]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def read(root: Path) -> tuple[list[Labelled], list[LeftOut]]:
    table = root / "labels.csv"
    data = table.read_bytes() if table.is_file() else None
    return labelled(list_source(root), data, name="elsewhere", patient_key=KEY)


def looked_at(root: Path) -> list[tuple[Labelled, Examined]]:
    name: Any = "elsewhere"
    made: list[tuple[Labelled, Examined]] = []
    for row in read(root)[0]:
        asked = Task(root=root, path=row.path, sha256=row.sha256, source=name, files=root / ".kept", patient_key=KEY)
        found = examine(asked)
        assert isinstance(found, Examined)
        made.append((row, found))
    return made


def known_of(
    tmp: Path, seeds: Mapping[str, int], *, cohort: set[str], patients: Mapping[str, str] | None = None
) -> Known:
    """Records of a source whose pictures are these seeds'."""
    records: list[Record] = []
    thumbnails: list[NDArray[np.uint8]] = []
    for name, seed in seeds.items():
        root = folder_of(tmp / name.replace(":", "-"), {"covid/a.png": picture(seed)})
        ((_, found),) = looked_at(root)
        one = record(name, sha256=found.sha256, pixel_sha256=found.pixel_sha256, phash=found.phash)
        records.append(replace(one, patient=(patients or {}).get(name, one.patient)))
        thumbnails.append(found.thumbnail)
    return Known(records=records, thumbnails=np.stack(thumbnails), cohort=frozenset(cohort))


def apart(root: Path, known: Known) -> tuple[list[ExternalImage], list[LeftOut]]:
    return set_apart(looked_at(root), known, params().curate)


def reasons(left: list[LeftOut]) -> dict[str, str]:
    return {one.path: one.reason for one in left}


def test_sub_folders_are_labels_and_other_places_are_none(tmp_path: Path) -> None:
    files = {"covid/a.png": "x", "viral/deep/b.jpg": "x", "normal/c.dcm": "x", "bacterial/d.png": "x", "e.png": "x"}
    kept, left = read(folder_of(tmp_path, {**files, "README.txt": "x"}))
    assert {one.path: one.label for one in kept} == {
        "covid/a.png": "covid",
        "normal/c.dcm": "normal",
        "viral/deep/b.jpg": "viral",
    }
    assert reasons(left) == {"bacterial/d.png": "unknown_class", "e.png": "not_labelled"}
    assert all(one.sha256 for one in left)


def test_a_table_labels_its_files_and_each_fault_of_it_has_a_reason(tmp_path: Path) -> None:
    table = (
        "file,label,patient,view,sex,age_years\n"
        "a.png,COVID,7,PA,F,61\nb.png,viral,github:7,,,\nb.png,normal,,,,\ngone.png,covid,,,,\nc.png,tb,,,,\nd.png,,,,,\n"
        "f.png,normal,github:7,,,999\n"
    )
    pictures = {f"{name}.png": "x" for name in "abcdef"}
    kept, left = read(folder_of(tmp_path, {**pictures, "labels.csv": table}))
    assert reasons(left) == {
        "b.png": "conflicting_labels",
        "c.png": "unknown_class",
        "d.png": "not_labelled",
        "e.png": "not_labelled",
        "gone.png": "file_missing",
    }
    first, second = kept
    assert (first.label, first.view, first.sex, first.age_years) == ("covid", "PA", "F", 61)
    assert first.patient == keyed_digest(KEY, "elsewhere:7")
    # A source's patient has the digest that he has there.
    assert second.patient == keyed_digest(KEY, "github:7")
    assert second.age_years is None
    assert {one.path for one in (*kept, *left)} == {*pictures, "gone.png"}


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(folder_of(tmp_path, {"a.png": "x", "labels.csv": "name,finding\na.png,covid\n"}))
    assert caught.value.reason == "missing_columns"


def test_what_the_cohort_holds_does_not_test_it(tmp_path: Path) -> None:
    his = keyed_digest(KEY, "github:7")
    # The patient of the kept image has a lateral one, too, which the cohort left out.
    known = known_of(
        tmp_path / "known",
        {"github:kept.png": 1, "github:lateral.png": 2, "rsna:unused.png": 3},
        cohort={"github:kept.png"},
        patients={"github:kept.png": his, "github:lateral.png": his},
    )
    table = "file,label,patient\nsame.png,covid,\nhis.png,covid,\nnamed.png,covid,github:7\n"
    table += "free.png,covid,\nnew.png,viral,\n"
    files = {"same.png": picture(1), "his.png": picture(2), "named.png": picture(8), "free.png": picture(3)}
    kept, left = apart(folder_of(tmp_path / "set", {**files, "new.png": picture(9), "labels.csv": table}), known)
    assert reasons(left) == {
        "same.png": "in_cohort",
        "his.png": "patient_in_cohort",
        "named.png": "patient_in_cohort",
    }
    # What the cohort has nothing to do with tests it, though a source holds it.
    assert [one.of.path for one in kept] == ["free.png", "new.png"]
    assert "github:kept.png" in next(one.detail for one in left if one.path == "same.png")


def test_of_one_x_ray_one_is_kept_and_none_where_labels_differ(tmp_path: Path) -> None:
    known = known_of(tmp_path / "known", {"rsna:a.png": 1}, cohort={"rsna:a.png"})
    table = "file,label,view\na.png,covid,PA\nb.png,covid,\nc.png,viral,\nd.png,normal,\nlateral.png,covid,L\n"
    files = {
        "a.png": picture(5),
        "b.png": picture(5),
        "c.png": picture(6),
        "d.png": picture(6),
        "lateral.png": picture(7),
    }
    kept, left = apart(folder_of(tmp_path / "set", {**files, "labels.csv": table}), known)
    assert [one.of.path for one in kept] == ["a.png"]
    assert reasons(left) == {
        "b.png": "repeated",
        "c.png": "conflicting_labels",
        "d.png": "conflicting_labels",
        "lateral.png": "not_frontal",
    }


def test_the_order_of_images_changes_nothing(tmp_path: Path) -> None:
    known = known_of(tmp_path / "known", {"rsna:a.png": 1}, cohort={"rsna:a.png"})
    files = {f"covid/{seed % 4}-{seed}.png": picture(seed % 6) for seed in range(10)}
    rows = looked_at(folder_of(tmp_path / "set", files))
    assert set_apart(rows, known, params().curate) == set_apart(rows[::-1], known, params().curate)
