"""A catalogue holds what a source says of each image and nothing of its patients, and proves whose rows it has."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.labels import label_of
from cxr_core.errors import SourceError
from cxr_core.imaging.phantom import write_sources
from cxr_core.ingest.catalogue import catalogue_of, read_catalogue, write_catalogue
from cxr_core.ingest.changes import compare_catalogues
from cxr_core.ingest.layout import Tree
from cxr_core.ingest.listing import list_source
from tests.cxr_core.ingest.build import tree

GITHUB = {
    "metadata.csv": "patientid,finding,view,filename,clinical_notes\n"
    'P-7,"COVID-19, ARDS",PA,a.png,Seen on Monday\nP-8,SARS,PA,b.png,\nP-8,COVID-19,PA,b.png,\n',
    "images/a.png": "1",
    "images/b.png": "2",
    "images/c.png": "3",
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    write_sources(root, seed=3, images=dict.fromkeys(CLASSES, 6), size=64)
    return [Tree(source=source, root=root / source, listing=list_source(root / source)) for source in SOURCES]


def test_every_file_of_every_source_has_a_row_and_each_image_its_words(trees):
    for each in trees:
        catalogue = catalogue_of(each)
        assert [row.path for row in catalogue.rows] == [entry.path for entry in each.listing.entries]
        assert {row.path for row in catalogue.rows if row.finding is not None} == set(each.images)
        assert all(row.finding or row.excluded for row in catalogue.rows if row.finding is not None)


def test_a_row_is_the_finding_or_why_there_is_none(tmp_path):
    rows = {row.path: (row.finding, row.excluded) for row in catalogue_of(tree("github", tmp_path, GITHUB)).rows}
    assert rows == {
        "images/a.png": ("COVID-19, ARDS", ""),
        "images/b.png": ("", "conflicting_rows"),
        "images/c.png": ("", "no_metadata"),
        "metadata.csv": (None, ""),
    }


def test_what_is_written_comes_back_and_holds_no_patient(trees, tmp_path):
    for each in trees:
        path = tmp_path / "catalogues" / f"{each.source}.jsonl"
        catalogue = catalogue_of(each)
        write_catalogue(path, catalogue)
        assert catalogue.revision == each.listing.revision
        assert read_catalogue(path, revision=each.listing.revision) == catalogue
    path = tmp_path / "github.jsonl"
    write_catalogue(path, catalogue_of(tree("github", tmp_path / "github", GITHUB)))
    assert not [words for words in ("P-7", "P-8", "Monday") if words in path.read_text(encoding="utf-8")]


def _change(row: int, **values: object):
    def changed(lines: list[str]) -> list[str]:
        lines[row] = json.dumps({**json.loads(lines[row]), **values})
        return lines

    return changed


@pytest.mark.parametrize(
    "damage",
    [
        _change(0, sha256="sha256:" + "0" * 64),
        _change(0, path="elsewhere.png"),
        _change(0, schema=2),
        _change(0, patient="P-7"),
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-1], lines[-1][:-5]],
        lambda lines: ["7", *lines],
        lambda lines: [],
    ],
)
def test_a_damaged_or_foreign_catalogue_is_refused(tmp_path, damage):
    catalogue = catalogue_of(tree("github", tmp_path / "github", GITHUB))
    path = tmp_path / "one.jsonl"
    write_catalogue(path, catalogue)
    lines = damage(path.read_text(encoding="utf-8").splitlines())
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        read_catalogue(path, revision=catalogue.revision)
    assert caught.value.reason == "bad_catalogue"
    assert str(path) in str(caught.value)


@pytest.mark.mirrors
@pytest.mark.skipif("CXR_TEST_MIRRORS" not in os.environ, reason="CXR_TEST_MIRRORS names no folder of real images")
def test_the_collections_change_of_schema_rewords_real_rows_and_relabels_none():
    root = Path(os.environ["CXR_TEST_MIRRORS"]) / "github"
    rows = catalogue_of(Tree(source="github", root=root, listing=list_source(root))).rows
    in_later_words = [
        replace(row, finding="Pneumonia/Viral/COVID-19") if label_of("github", row.finding or "") == "covid" else row
        for row in rows
    ]
    changes = compare_catalogues(
        rows, in_later_words, label=lambda row: row.excluded or label_of("github", row.finding)
    )
    assert len(changes.reworded) > 100
    assert changes.contradicted == ()
    assert changes.unchanged + len(changes.reworded) == changes.images_before
