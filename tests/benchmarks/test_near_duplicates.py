"""The benchmark of near-duplicates: its truth is the tables', and it says what it missed or took wrongly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARK = Path(__file__).parents[2] / "benchmarks/near_duplicates.py"


def run(folder, *arguments, **variables):
    command = [sys.executable, str(BENCHMARK), *([str(folder)] if folder else []), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")} | variables
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def film(seed):
    """Something smooth with structure of its own, (128, 128)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)


def mirrors(root, pages):
    """SIRM and GitHub folders: of each page the films of SIRM, and those of GitHub encoded anew at another size."""
    rows = {"sirm": ["case,file,finding,view,sex,age,url,license"], "github": ["patientid,finding,view,filename,url"]}
    (root / "github/images").mkdir(parents=True)
    for page, (of_sirm, of_github) in enumerate(pages):
        for place, seed in enumerate(of_sirm):
            name = f"caso-{page}/rx-{place}.png"
            (root / "sirm" / name).parent.mkdir(parents=True, exist_ok=True)
            film(seed).save(root / "sirm" / name)
            rows["sirm"].append(f"{page},{name},COVID-19,PA,,,https://s/{page}/,")
        for place, seed in enumerate(of_github):
            film(seed).resize((100, 100)).save(root / f"github/images/{page}-{place}.jpg", quality=90 - 10 * page)
            rows["github"].append(f"{page},COVID-19,PA,{page}-{place}.jpg,https://s/{page}")
    (root / "sirm/cases.csv").write_text("\n".join(rows["sirm"]) + "\n")
    (root / "github/metadata.csv").write_text("\n".join(rows["github"]) + "\n")
    return root


def counts(report):
    return report["twins_known"], len(report["twins_missed"]), report["pairs_by_kind"]


def test_twins_are_told_by_page_and_place(tmp_path):
    done = run(mirrors(tmp_path, [([1, 2], [1, 2]), ([3], [3]), ([4], [4, 5]), ([6], [])]), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    # The third page has one more in GitHub, the fourth has none there: whose twin is whose cannot be known.
    assert counts(report) == (3, 0, {"twin": 3, "same_page": 0, "equal_pixels": 0, "wrong": 0})
    assert report["recall"] == {"value": 1, "k": 3, "n": 3, "low": report["recall"]["low"], "high": 1}
    assert 0 < report["recall"]["low"] < 1


def test_a_twin_that_is_another_picture_is_missed_by_name_and_the_benchmark_fails(tmp_path):
    done = run(mirrors(tmp_path, [([1], [1]), ([2], [3])]), "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["twins_missed"] == ["sirm:caso-1/rx-0.png"]
    assert (report["recall"]["value"], report["ok"]) == (0.5, False)


def test_a_match_across_pages_is_wrong_unless_equal_pixels_say_that_it_is_one_film(tmp_path):
    # Page 1 shows page 0's film in GitHub alone, in other bytes: nothing but the match itself says that they are one.
    report = json.loads(run(mirrors(tmp_path / "a", [([1], [1]), ([2], [1])]), "--json").stdout)
    assert counts(report) == (2, 1, {"twin": 1, "same_page": 0, "equal_pixels": 0, "wrong": 1})
    assert report["wrong"] == [["sirm:caso-0/rx-0.png", "github:images/1-0.jpg"]]
    assert report["precision"]["value"] == 0.5
    # One film as two cases, equal pixel by pixel within each source.
    report = json.loads(run(mirrors(tmp_path / "b", [([1], [1]), ([1], [1])]), "--json").stdout)
    assert counts(report) == (2, 0, {"twin": 2, "same_page": 0, "equal_pixels": 2, "wrong": 0})
    assert report["precision"]["value"] == 1
    assert report["precision_by_address_alone"]["value"] == 0.5


def test_the_folder_is_the_sources_where_none_is_given_and_words_say_every_count(tmp_path):
    done = run(None, CXR_SOURCES=str(mirrors(tmp_path, [([1], [1])])))
    assert done.returncode == 0, done.stderr
    assert "1 pairs accepted: 1 twins" in done.stdout
    assert "within the limits" in done.stdout


@pytest.mark.mirrors
@pytest.mark.skipif("CXR_TEST_MIRRORS" not in os.environ, reason="needs real sources in CXR_TEST_MIRRORS")
def test_on_the_collections_nearly_every_twin_is_found_and_nearly_nothing_else_is_taken_for_one():
    report = json.loads(run(os.environ["CXR_TEST_MIRRORS"], "--json").stdout)
    assert report["twins_known"] == report["pictures"]["sirm"] == 66
    assert report["recall"]["value"] >= 0.98
    assert report["precision"]["value"] >= 0.99
