"""The hostile corpus, one file of each kind, through the real unpacking and ingest; and that its judge can say no."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import hostile
from cxr_core.digests import digest_file
from tests.hostile.corpus import KINDS, Corpus, make_corpus, read_corpus

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hostile.py"


def test_every_kind_gets_its_reason_and_every_good_file_is_kept():
    done = subprocess.run([sys.executable, SCRIPT, "--small", "--json"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["wrong"] == report["outside"] == []
    assert (report["hostile"], report["refused_rightly"]) == (KINDS, KINDS)
    assert report["rows"] == report["rows_refused_rightly"] > 10
    assert (report["good"], report["kept"]) == (31, 31)
    assert (report["files_outside_staging"], report["left_in_staging"]) == (0, 0)
    assert report["counts_add_up"]
    assert report["rerun_is_a_no_op"]
    assert report["memory_mb"]["together"] <= 1000
    assert (done.returncode, report["ok"]) == (0, True), done.stderr


@pytest.fixture
def judged(tmp_path):
    """A report of a corpus in which nothing went wrong, for some tests to spoil."""
    found = [("kind", "a.png", "corrupt", "corrupt")]
    result = {
        "found": found,
        "rows": [],
        "kept": 1,
        "left_in_stage": 0,
        "outside": [],
        "adds_up": True,
        "rerun_is_a_no_op": True,
    }
    corpus = Corpus(good=("b.png",), images=(None,), rows=(), archives=(), folders=(), deliveries=())

    def judge(*, together=10.0, **spoilt):
        memory = {"parent": 1.0, "largest_worker": 1.0, "together": together}
        return hostile._report(corpus, result | spoilt, memory, hostile._options([]))["ok"]

    return judge


def test_the_judge_says_no_to_each_claim_that_fails(judged):
    assert judged()
    for spoilt in (
        {"found": [("kind", "a.png", "corrupt", "truncated")]},
        {"found": [("kind", "a.png", "corrupt", "kept")]},
        {"rows": [("row", "t#1", "unsafe_path", "file_missing")]},
        {"kept": 0},
        {"left_in_stage": 1},
        {"outside": ["/etc/x"]},
        {"adds_up": False},
        {"rerun_is_a_no_op": False},
        {"together": 1001.0},
    ):
        assert not judged(**spoilt), spoilt


def test_a_file_written_or_changed_beside_the_stage_is_seen(tmp_path):
    (tmp_path / hostile.STAGE).mkdir(parents=True)
    (tmp_path / "beside").write_bytes(b"x")
    before = hostile._bystanders(tmp_path)
    (tmp_path / hostile.STAGE / "meant").write_bytes(b"x")
    assert hostile._bystanders(tmp_path) == before
    (tmp_path / hostile.STAGE.parent / "escaped").write_bytes(b"x")
    assert len(hostile._bystanders(tmp_path) ^ before) == 1
    (tmp_path / "beside").write_bytes(b"longer")
    assert len(hostile._bystanders(tmp_path) ^ before) == 3


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    made = [make_corpus(tmp_path / name, seed=seed, hostile=0, good=5, films=False) for name, seed in _SEEDS]
    digests = [
        {
            path.relative_to(tmp_path / name): digest_file(path)
            for path in (tmp_path / name / "sources").rglob("*")
            if path.is_file()
        }
        for name, _ in _SEEDS
    ]
    assert made[0] == made[1] == read_corpus(tmp_path / "a")
    assert digests[0] == digests[1] != digests[2]


_SEEDS = (("a", 4), ("b", 4), ("c", 5))
