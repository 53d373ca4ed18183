"""The border between verbs and people: one message, one reason, one next step, one JSON object; never a traceback."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from cxr_core.errors import PolicyError
from flows.output import boundary

REFUSAL = PolicyError("A reason is needed [really].", reason="no_reason", hint='--reason "why"')


@pytest.fixture(autouse=True)
def _warnings_go_where_they_went() -> Iterator[None]:
    yield
    logging.captureWarnings(capture=False)


def fail(error: BaseException, *, as_json: bool) -> int:
    with pytest.raises(typer.Exit) as ended, boundary(as_json):
        raise error
    return ended.value.exit_code


def test_an_error_is_one_message_with_its_reason_and_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(REFUSAL, as_json=False) == 1
    out, err = capsys.readouterr()
    assert out == ""
    # Brackets are words, not markup.
    assert err.splitlines() == ["error (no_reason) A reason is needed [really].", '  next --reason "why"']


def test_with_json_an_error_is_one_object_on_standard_output_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(REFUSAL, as_json=True) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"ok": False, "error": REFUSAL.as_dict()}
    assert "no_reason" in err


def test_what_a_library_throws_ends_in_words_and_its_traceback_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert fail(ZeroDivisionError("division by zero"), as_json=True) == 1
    out, err = capsys.readouterr()
    (details,) = tmp_path.iterdir()
    assert "Traceback" in details.read_text()
    assert "Traceback" not in out + err
    error = json.loads(out)["error"]
    assert error["reason"] == "unexpected"
    assert "ZeroDivisionError: division by zero" in error["message"]
    assert str(details) in error["hint"]


def test_an_interrupt_says_that_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(KeyboardInterrupt(), as_json=False) == 130
    assert "goes on from there" in capsys.readouterr().err


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_is_0_only_when_what_was_asked_holds(holds: bool, code: int) -> None:
    found = 0
    try:
        with boundary(as_json=True) as out:
            out.demand(holds)
    except typer.Exit as ended:
        found = ended.exit_code
    assert found == code


def test_a_report_is_one_line_of_json_without_numbers_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    with boundary(as_json=True) as out:
        out.report({"b": 1, "a": "é"}, lambda console, report: None)
    assert capsys.readouterr().out == '{"a": "é", "b": 1}\n'
    with pytest.raises(typer.Exit), boundary(as_json=True) as out:
        out.report({"accuracy": float("nan")}, lambda console, report: None)
