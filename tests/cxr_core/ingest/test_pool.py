"""One outcome an item, in order; a worker's death costs its own item and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_core.ingest.pool import Died, map_in_order, processors
from tests.cxr_core.ingest.work import complain, die_at_seven_and_forty, double

ROOT = Path(__file__).parents[3]
PATH_TO_US = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_items_order(workers):
    assert list(map_in_order(double, range(50), workers=workers)) == [2 * n for n in range(50)]


def test_no_items_start_no_worker():
    assert list(map_in_order(double, [], workers=2)) == []


@pytest.mark.timeout(120)
def test_a_dead_worker_is_a_named_outcome_and_costs_no_other_item():
    outcomes = list(map_in_order(die_at_seven_and_forty, range(60), workers=2))
    assert outcomes == [Died() if n in {7, 40} else 2 * n for n in range(60)]


def test_what_an_item_raises_is_raised_here():
    with pytest.raises(ValueError, match="no 0"):
        list(map_in_order(complain, range(3), workers=1))


def test_a_consumer_may_stop_early():
    outcomes = map_in_order(double, range(40), workers=1)
    assert next(outcomes) == 0
    outcomes.close()


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
