"""An epoch's metrics are written once, whole, and in order."""

from __future__ import annotations

import pytest

from cxr_core.train.journal import Journal


def test_what_was_written_is_read_again(tmp_path) -> None:
    path = tmp_path / "of a fold" / "journal.jsonl"
    journal = Journal(path)
    first, second = journal.add(1, {"train_loss": 1.0986122886681098}), journal.add(2, {"train_loss": 0.1})
    assert Journal(path).points == (first, second) == journal.points
    assert first.timestamp_ms <= second.timestamp_ms


def test_an_epoch_that_is_trained_again_keeps_its_first_line(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Journal(path).add(1, {"seconds": 3.0})
    again = Journal(path)
    assert again.add(1, {"seconds": 4.0}) == first
    assert again.points == (first,)
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("kept", range(1, 30, 4))
def test_a_torn_last_line_is_gone_and_the_next_begins_a_line(kept, tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    first = journal.add(1, {"train_loss": 1.0})
    whole = path.read_bytes()
    journal.add(2, {"train_loss": 0.5})
    path.write_bytes(path.read_bytes()[: len(whole) + kept])
    again = Journal(path)
    assert again.points == (first,)
    second = again.add(2, {"train_loss": 0.5})
    assert Journal(path).points == (first, second)


def test_a_damaged_line_is_dropped_wherever_it_is_and_the_others_stay(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    points = [journal.add(epoch, {"train_loss": 1 / epoch}) for epoch in (1, 2, 3)]
    whole = path.read_bytes()
    lines = [whole.index(b"\n"), whole.rindex(b"\n", 0, -1)]
    for place in range(lines[0] + 1, lines[1]):  # every byte of the second line
        for bit in (0, 5):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            path.write_bytes(bytes(data))
            assert Journal(path).points == (points[0], points[2])
    path.write_bytes(b"\xff\x00" + whole)
    assert Journal(path).points == tuple(points[1:])


def test_a_number_that_is_not_finite_is_never_written(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    with pytest.raises(ValueError, match="JSON"):
        Journal(path).add(1, {"train_loss": float("nan")})
    assert Journal(path).points == ()
