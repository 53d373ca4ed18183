"""One outcome an item, in order; what an item does to its worker costs itself and nothing else."""

import dataclasses
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cxr_core.ingest.faults import DecoderFault
from cxr_core.ingest.pool import Died, Limits, head_start, map_in_order, processors
from tests.cxr_core.ingest.work import (
    complain,
    die_at_seven_and_forty,
    die_once,
    double,
    fill,
    hang,
    surroundings,
    unpicklable,
    write,
)

ROOT = Path(__file__).parents[3]
PATH_TO_US = {**os.environ, "PYTHONPATH": str(ROOT)}
MIB = 1024 * 1024
DEAD, LATE, FULL = (Died(reason=fault) for fault in DecoderFault)


def _workers() -> list[psutil.Process]:
    # multiprocessing's resource tracker is a child, too.
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def _started(number: int) -> list[psutil.Process]:
    # A child bears its parent's command line until it has executed Python anew, which a busy machine may put off.
    end = time.monotonic() + 30
    while len(workers := _workers()) < number and time.monotonic() < end:
        time.sleep(0.01)
    return workers


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_items_order(workers):
    assert list(map_in_order(double, range(50), workers=workers)) == [2 * n for n in range(50)]


def test_more_workers_than_items_are_not_started():
    assert list(map_in_order(double, [4], workers=64)) == [8]


def test_no_items_start_no_worker():
    assert list(map_in_order(double, [], workers=2)) == []


@pytest.mark.parametrize("items", [range(1), range(50)])
def test_a_worker_that_started_first_maps_items_found_later(items):
    with head_start(double, workers=3) as mapped:
        assert len(_started(1)) == 1
        assert list(mapped(items)) == [2 * n for n in items]
    assert not _workers()


def test_a_worker_that_started_for_nothing_is_ended():
    with head_start(double, workers=3):
        (worker,) = _started(1)
    assert not worker.is_running()


@pytest.mark.timeout(120)
def test_a_dead_worker_is_a_named_outcome_and_costs_no_other_item():
    outcomes = list(map_in_order(die_at_seven_and_forty, range(60), workers=2))
    assert outcomes == [DEAD if n in {7, 40} else 2 * n for n in range(60)]


@pytest.mark.timeout(120)
def test_a_death_that_does_not_come_again_is_not_the_item_s_fault(tmp_path):
    markers = [tmp_path / name for name in "abc"]
    for well in (markers[0], markers[2]):
        well.touch()
    assert list(map_in_order(die_once, markers, workers=2)) == ["well"] * 3


@pytest.mark.timeout(120)
def test_a_hang_in_c_code_and_an_endless_sleep_are_ended_by_the_kernel():
    limits = Limits(cpu_seconds=1, wall_seconds=3)
    outcomes = list(map_in_order(hang, range(6), workers=2, limits=limits))
    assert outcomes == [0, 1, LATE, 3, LATE, 5]


@pytest.mark.timeout(120)
def test_a_worker_that_no_clock_of_its_own_ends_is_killed(monkeypatch):
    # A worker whose clocks are off stands for one that is stopped, or waits for a disk that does not answer.
    monkeypatch.setattr("cxr_core.ingest.pool._GRACE_SECONDS", 1.0)
    monkeypatch.setattr("cxr_core.ingest.pool.serve", _serve_without_clocks)
    outcomes = list(map_in_order(hang, [1, 4, 5], workers=1, limits=Limits(wall_seconds=1)))
    assert outcomes == [1, LATE, 5]


def _serve_without_clocks(connection, begun, pickled, limits):
    from cxr_core.ingest.pool_worker import serve

    serve(connection, begun, pickled, dataclasses.replace(limits, wall_seconds=0, cpu_seconds=0))


@pytest.mark.skipif(sys.platform != "linux", reason="no other system keeps a limit on data")
@pytest.mark.timeout(120)
def test_memory_beyond_the_limit_is_tried_again_alone_and_then_refused():
    limits = Limits(memory_bytes=64 * MIB, alone_bytes=256 * MIB)
    outcomes = list(map_in_order(fill, [1, 128, 512, 2], workers=2, limits=limits))
    assert outcomes == [1, 1, FULL, 1]


@pytest.mark.timeout(120)
def test_a_file_beyond_the_limit_ends_its_worker(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    assert list(map_in_order(write, paths, workers=1, limits=Limits(file_bytes=MIB))) == [DEAD, DEAD]
    assert max(path.stat().st_size for path in paths) <= MIB
    assert list(map_in_order(write, paths, workers=1)) == [None, None]


def test_what_an_item_raises_is_raised_here():
    with pytest.raises(ValueError, match="no 0") as caught:
        list(map_in_order(complain, range(3), workers=1))
    assert any("in complain" in note for note in caught.value.__notes__)


def test_a_result_that_cannot_travel_is_an_error_and_no_death():
    with pytest.raises(TypeError, match="cannot be pickled"):
        list(map_in_order(unpicklable, range(12), workers=1))


def test_workers_take_one_thread_and_leave_no_core():
    assert list(map_in_order(surroundings, [0], workers=1)) == [("1", 0)]


@pytest.mark.timeout(60)
def test_a_consumer_may_stop_early_and_no_worker_stays():
    outcomes = map_in_order(double, range(40), workers=2)
    assert next(outcomes) == 0
    workers = _started(2)
    assert len(workers) >= 2
    outcomes.close()
    gc.collect()
    assert not [worker for worker in workers if worker.is_running()]


@pytest.mark.timeout(60)
def test_a_slow_consumer_bounds_what_waits(tmp_path):
    outcomes = map_in_order(die_once, [_touched(tmp_path / str(n)) for n in range(2000)], workers=1)
    assert next(outcomes) == "well"
    time.sleep(0.5)
    # White box on purpose: that memory stays flat at any number of items is this bound.
    waiting = outcomes.gi_frame.f_locals["mapped"].__self__._answers
    assert len(waiting) <= 16 * 9
    assert list(outcomes) == ["well"] * 1999


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.timeout(120)
def test_workers_that_cannot_start_are_not_blamed_on_the_items(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from cxr_core.ingest.pool import map_in_order\n"
        "print(list(map_in_order(abs, range(3), workers=1)))  # each fresh worker would start workers of its own\n"
    )
    ended = subprocess.run([sys.executable, script], cwd=ROOT, env=PATH_TO_US, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "SettingError: Worker processes end as soon as they start." in ended.stderr


def test_there_is_at_least_one_processor():
    assert processors() >= 1
