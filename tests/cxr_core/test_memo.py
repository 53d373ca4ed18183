"""A memo gives back what was put, or nothing: after damage, beside other processes, and after a kill at any moment."""

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_core.digests import digest_bytes
from cxr_core.memo import Memo, code_files, memo_key, recipe

ROOT = Path(__file__).parents[2]
FILE = "memo-1.sqlite"
# The limit counts answers; what finds them takes a few pages more.
PAGES = 4 * 16384


def key(number: int) -> bytes:
    return memo_key("a recipe", digest_bytes(str(number).encode()))


def answer(number: int, size: int = 1000) -> bytes:
    return random.Random(number).randbytes(size)


def filled(folder: Path, numbers: range = range(40), **more) -> Path:
    with Memo(folder, **more) as memo:
        memo.put((key(number), answer(number)) for number in numbers)
        assert memo.added == len(numbers)
    return folder


def known(folder: Path, numbers: range = range(40)) -> dict[int, bytes]:
    with Memo(folder) as memo:
        found = memo.get([key(number) for number in numbers])
    by_key = {key(number): number for number in numbers}
    for each in found.values():
        assert each.sha256 == digest_bytes(each.data)
    return {by_key[each]: given.data for each, given in found.items()}


def test_another_process_s_answers_are_given_and_counted(tmp_path):
    filled(tmp_path / "not" / "yet" / "there")
    with Memo(tmp_path / "not" / "yet" / "there") as memo:
        assert memo.get([key(3), key(1000)]) == {key(3): (answer(3), digest_bytes(answer(3)))}
        assert (memo.reused, memo.added) == (1, 0)


def test_more_keys_than_one_question_holds(tmp_path):
    filled(tmp_path, range(1000))
    assert known(tmp_path, range(2000)) == {number: answer(number) for number in range(1000)}


def test_an_answer_put_again_replaces_the_first(tmp_path):
    filled(tmp_path, range(3))
    with Memo(tmp_path) as memo:
        memo.put([(key(1), b"better")])
        assert [each.data for each in memo.get([key(1), key(2)]).values()] == [b"better", answer(2)]


def test_without_a_folder_nothing_is_known_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Memo(None) as memo:
        memo.put([(key(1), b"lost")])
        assert memo.get([key(1)]) == {}
        assert not memo.is_on
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_reads_it(tmp_path):
    file = filled(tmp_path / "cache") / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_byte_changed_anywhere_never_gives_a_wrong_answer(tmp_path, caplog):
    whole = (filled(tmp_path / "whole") / FILE).read_bytes()
    dice = random.Random(7)
    lost = 0
    for turn in range(150):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 1, 30])):
            data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        (folder / FILE).write_bytes(data)
        found = known(folder)
        assert all(data == answer(number) for number, data in found.items())
        lost += len(found) < 40
        # What is worked out again is kept again, whatever is left of the file.
        filled(folder)
        found = known(folder)
        assert len(found) >= 35
        assert all(data == answer(number) for number, data in found.items())
    assert lost > 50, "the flips must reach what is stored"


@pytest.mark.parametrize("keep", [0, 1, 99, 100, 8192, 40_000])
def test_a_file_cut_short_never_gives_a_wrong_answer_and_is_filled_again(tmp_path, keep):
    file = filled(tmp_path) / FILE
    assert file.stat().st_size > 40_000
    os.truncate(file, keep)
    assert all(data == answer(number) for number, data in known(tmp_path).items())
    filled(tmp_path)
    assert len(known(tmp_path)) == 40


def test_an_answer_moved_under_another_key_is_not_given(tmp_path):
    with sqlite3.connect(filled(tmp_path) / FILE) as connection:
        connection.execute("UPDATE body SET data = (SELECT data FROM body WHERE id = 2) WHERE id = 1")
        connection.execute("UPDATE entry SET seal = (SELECT seal FROM entry WHERE id = 2) WHERE id = 1")
    connection.close()
    assert set(known(tmp_path)) == set(range(1, 40))


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(4000), b""])
def test_a_foreign_file_in_its_place_is_replaced(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    filled(tmp_path)
    assert len(known(tmp_path)) == 40


def test_a_database_of_another_form_is_replaced(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE entry (other TEXT)")
    connection.close()
    filled(tmp_path)
    assert len(known(tmp_path)) == 40


def test_a_place_that_cannot_be_used_costs_the_memo_and_not_the_work(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with Memo(tmp_path / "cache") as memo:
        memo.put([(key(1), b"lost")])
        assert memo.get([key(1)]) == {}
    assert "is not used" in caplog.text
    (tmp_path / "taken" / FILE).mkdir(parents=True)
    with Memo(tmp_path / "taken") as memo:
        assert memo.get([key(1)]) == {}


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    limit = 400_000
    filled(tmp_path, range(100), limit_bytes=limit)
    assert len(known(tmp_path, range(50))) == 50
    for start in range(100, 300, 50):
        filled(tmp_path, range(start, start + 50), limit_bytes=limit)
        assert len(known(tmp_path, range(50))) == 50
        assert (tmp_path / FILE).stat().st_size <= limit + PAGES
    # The rest of the first hundred was never asked for, and went first.
    assert len(known(tmp_path, range(50, 100))) < 50
    assert len(known(tmp_path, range(250, 300))) == 50


def test_a_run_larger_than_the_limit_keeps_the_part_that_fits(tmp_path):
    for _ in range(3):
        with Memo(tmp_path, limit_bytes=400_000) as memo:
            known_before = memo.get([key(number) for number in range(2000)])
            for number in range(2000):
                if key(number) not in known_before:
                    memo.put([(key(number), answer(number))])
    assert len(known_before) > 200
    assert (tmp_path / FILE).stat().st_size <= 400_000 + PAGES


WRITER = """
import sys
from pathlib import Path
from cxr_core.memo import Memo
from tests.cxr_core.test_memo import answer, key
with Memo(Path(sys.argv[1])) as memo:
    print("ready", flush=True)
    for start in range(int(sys.argv[2]), int(sys.argv[3]), 10):
        memo.put((key(number), answer(number)) for number in range(start, start + 10))
        assert memo.get([key(start)])[key(start)].data == answer(start)
"""


def writer(folder: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(last)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_share_it_at_once(tmp_path):
    writers = [writer(tmp_path, 0, 600), writer(tmp_path, 300, 900), writer(tmp_path, 600, 1200)]
    said = [each.communicate(timeout=120) for each in writers]
    assert [each.returncode for each in writers] == [0, 0, 0], said
    assert all("memo" not in error for _, error in said), said
    assert known(tmp_path, range(1200)) == {number: answer(number) for number in range(1200)}


def test_a_kill_at_any_moment_leaves_no_wrong_answer_and_a_memo_that_serves(tmp_path):
    dice = random.Random(3)
    for turn in range(8):
        process = writer(tmp_path, turn * 100_000, (turn + 1) * 100_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    found = known(tmp_path, range(0, 800_000, 10))
    assert found
    assert all(data == answer(number) for number, data in found.items())
    filled(tmp_path)
    assert known(tmp_path) == {number: answer(number) for number in range(40)}


def test_a_recipe_changes_with_its_code_libraries_parameters_and_kind(monkeypatch, tmp_path):
    given = {"code": ("digests.py",), "libraries": ("numpy",), "parameters": {"size": 224}}
    plain = recipe("picture", **given)
    others = [
        recipe("picture", **given | {"code": ("digests.py", "files.py")}),
        recipe("picture", **given | {"libraries": ("numpy", "no-such-library")}),
        recipe("picture", **given | {"parameters": {"size": 225}}),
        recipe("outcome", **given),
    ]
    assert len({plain, *others}) == 5
    assert recipe("picture", **given) == plain
    for each in (*others, plain):
        assert memo_key(each, "sha256:0") != memo_key(each, "sha256:1")


def test_a_folder_named_stands_for_its_modules():
    names = {path.relative_to(ROOT / "cxr_core").as_posix() for path in code_files(["imaging", "digests.py"])}
    assert {"digests.py", "imaging/__init__.py", "imaging/raster.py"} <= names
    assert all(name == "digests.py" or name.startswith("imaging/") for name in names)
