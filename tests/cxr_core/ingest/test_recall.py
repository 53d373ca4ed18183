"""Ingest with a memo: the same bytes on disk, and only what is new is decoded."""

import ast
import json
import shutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from cxr_core.classes import SOURCES
from cxr_core.digests import digest_file
from cxr_core.errors import SourceError
from cxr_core.imaging.phantom import write_sources
from cxr_core.ingest import recall
from cxr_core.ingest.examine import Task, examine
from cxr_core.ingest.faults import DecoderFault
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pool import Died
from cxr_core.ingest.recall import outcomes
from cxr_core.memo import Memo, code_files
from cxr_core.prepare import stage as prepare
from cxr_core.train.key import import_closure
from tests.cxr_core.imaging.pictures import png, ramp
from tests.cxr_core.ingest import recall_work, work
from tests.cxr_core.ingest.build import KEY, ingest, pinned_workspace

PACKAGE = Path(recall.__file__).parents[1]
PLAIN = {"covid": 5, "viral": 4, "normal": 5}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    write_sources(root, seed=3, images=PLAIN, size=64)
    return root


@pytest.fixture(scope="module")
def plain(sources, tmp_path_factory):
    """What ingest leaves of each source without a memo."""
    workspace = pinned_workspace(tmp_path_factory.mktemp("plain"), sources)
    for source in SOURCES:
        ingest(source, workspace=workspace, sources=sources)
    return {source: digests(workspace / "data/raw" / source) for source in SOURCES}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Paths that were decoded since this was last asked, whichever process did it."""
    monkeypatch.setenv("TOLD", str(tmp_path / "told.txt"))
    monkeypatch.setattr(recall, "examine", recall_work.told)

    def paths() -> list[str]:
        file = tmp_path / "told.txt"
        said = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return said

    return paths


def digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in folder.rglob("*") if path.is_file()}


def ingest_with(cache: Path, source, workspace, sources, **more):
    with Memo(cache) as memo:
        summary = ingest(source, workspace=workspace, sources=sources, memo=memo, **more)
    return summary, memo


def tasks(root: Path, files: Path, key: bytes = KEY) -> list[Task]:
    return [
        Task(root=root, path=entry.path, sha256=entry.sha256, source="sirm", files=files, patient_key=key)
        for entry in list_source(root).entries
        if entry.is_image
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_a_memo_changes_no_byte_and_the_second_time_nothing_is_decoded(source, sources, plain, told, tmp_path):
    workspace = pinned_workspace(tmp_path / "w", sources)
    for first in (True, False):
        summary, memo = ingest_with(tmp_path / "cache", source, workspace, sources)
        images = summary["records"] + summary["quarantined"]
        assert len(told()) == (images if first else 0)
        assert memo.reused == (0 if first else images)
        assert digests(workspace / "data/raw" / source) == plain[source]


def test_quarantined_bytes_are_held_again_where_their_reason_is_known(sources, tmp_path):
    workspace = pinned_workspace(tmp_path / "w", sources)
    quarantine = tmp_path / "quarantine"
    held = []
    for _ in range(2):
        shutil.rmtree(quarantine, ignore_errors=True)
        summary, _ = ingest_with(tmp_path / "cache", "github", workspace, sources, quarantine=quarantine)
        held.append(digests(quarantine))
    assert summary["quarantined"] > 0
    assert held[0]
    assert held[0] == held[1]


def test_one_image_more_is_one_image_decoded(sources, told, tmp_path):
    mine = tmp_path / "sources"
    shutil.copytree(sources / "kaggle", mine / "kaggle")
    workspace = pinned_workspace(tmp_path / "w", mine)
    ingest_with(tmp_path / "cache", "kaggle", workspace, mine)
    told()
    new = "chest_xray/train/PNEUMONIA/person9999_virus_1.jpeg"
    (mine / "kaggle" / new).write_bytes(png(255 - ramp()))
    pinned_workspace(workspace, mine)
    summary, memo = ingest_with(tmp_path / "cache", "kaggle", workspace, mine)
    assert told() == [new]
    assert memo.reused == summary["records"] + summary["quarantined"] - 1
    with_memo = digests(workspace / "data/raw/kaggle")
    ingest("kaggle", workspace=workspace, sources=mine)
    assert digests(workspace / "data/raw/kaggle") == with_memo


def test_another_patient_key_or_source_knows_nothing(sources, told, tmp_path):
    workspace = pinned_workspace(tmp_path / "w", sources)
    ingest_with(tmp_path / "cache", "rsna", workspace, sources)
    decoded = len(told())
    ingest_with(tmp_path / "cache", "rsna", workspace, sources, key=b"another key, also of no patient")
    assert len(told()) == decoded > 0


def test_no_patient_s_id_and_no_path_is_written_into_the_memo(sources, tmp_path):
    workspace = pinned_workspace(tmp_path / "w", sources)
    for source in SOURCES:
        ingest_with(tmp_path / "cache", source, workspace, sources)
    words = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    for source in SOURCES:
        for path in (sources / source).rglob("*.*"):
            assert path.stem.encode() not in words
    assert KEY not in words


def test_a_ruined_memo_changes_no_byte(sources, plain, told, tmp_path):
    workspace = pinned_workspace(tmp_path / "w", sources)
    ingest_with(tmp_path / "cache", "github", workspace, sources)
    file = next((tmp_path / "cache").iterdir())
    data = bytearray(file.read_bytes())
    for place in range(30_000, len(data), 5_000):
        data[place] ^= 255
    file.write_bytes(data)
    told()
    ingest_with(tmp_path / "cache", "github", workspace, sources)
    assert told()
    assert digests(workspace / "data/raw/github") == plain["github"]


@pytest.mark.parametrize(
    "forged",
    [
        lambda words: words | {"sha256": "sha256:" + "0" * 64},
        lambda words: words | {"unheard": 1},
        lambda words: {"reason": "blank"},
        lambda words: [],
    ],
)
def test_an_answer_that_does_not_fit_is_worked_out_again(forged, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png(ramp()))
    given = tasks(tmp_path / "in", tmp_path / "files")
    with Memo(tmp_path / "cache") as memo:
        (right,) = outcomes(given, memo=memo, workers=1)
        (key,) = recall._keys(given)
        line, _, pixels = memo.get([key])[key].data.partition(b"\n")
        memo.put([(key, json.dumps(forged(json.loads(line))).encode() + b"\n" + pixels)])
        (again,) = outcomes(given, memo=memo, workers=1)
        assert_same(again, right)
        (key_again,) = recall._keys(given)
        assert memo.get([key_again])[key].data == line + b"\n" + pixels


def test_what_only_that_moment_did_is_not_remembered(monkeypatch, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png(ramp()))
    given = tasks(tmp_path / "in", tmp_path / "files")
    with Memo(tmp_path / "cache") as memo:
        monkeypatch.setattr(recall, "examine", work.die)
        assert list(outcomes(given, memo=memo, workers=1)) == [Died(reason=DecoderFault.DIED)]
        monkeypatch.setattr(recall, "examine", recall_work.surprised)
        list(outcomes(given, memo=memo, workers=1))
        monkeypatch.setattr(recall, "examine", examine)
        (found,) = outcomes(given, memo=memo, workers=1)
    assert_same(found, examine(given[0]))


def test_a_known_file_that_changed_since_the_listing_stops_the_run(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png(ramp()))
    given = tasks(tmp_path / "in", tmp_path / "files")
    with Memo(tmp_path / "cache") as memo:
        list(outcomes(given, memo=memo, workers=1))
        (tmp_path / "in/a.png").write_bytes(png(255 - ramp()))
        with pytest.raises(SourceError) as caught:
            list(outcomes(given, memo=memo, workers=1))
    assert caught.value.reason == "source_changed"


def test_the_code_that_names_an_outcome_is_all_that_makes_it():
    closure = {
        path for path in import_closure(PACKAGE, entry="cxr_core.ingest.examine") if not path.endswith("__init__.py")
    }
    named = {path.relative_to(PACKAGE.parent).as_posix() for path in code_files(recall.CODE)}
    # Names of sources, and how an error is worded into one: they make nothing of a file's bytes.
    assert closure - named == {"cxr_core/classes.py", "cxr_core/errors.py"}


@pytest.mark.parametrize(
    ("entry", "named"),
    [("cxr_core.ingest.examine", recall.LIBRARIES), ("cxr_core.prepare.pack", prepare.LIBRARIES)],
)
def test_the_libraries_that_name_an_answer_are_all_that_its_code_imports(entry, named):
    distributions = packages_distributions()
    imported = {module for path in import_closure(PACKAGE, entry=entry) for module in outside(PACKAGE.parent / path)}
    wanted = {name.lower() for module in imported for name in distributions[module]}
    assert wanted <= set(named)


def outside(path: Path) -> set[str]:
    """Top-level modules that a file imports and that are neither Python's nor ours."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name.partition(".")[0] for alias in aliases}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"cxr_core"}


def assert_same(found, right):
    assert type(found) is type(right)
    for name in right.__slots__:
        np.testing.assert_array_equal(getattr(found, name), getattr(right, name))
