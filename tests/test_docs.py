"""What the README says can be run, and its first screen is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cxr_core.curate.external import ExternalReason
from cxr_core.curate.reasons import ExclusionReason
from cxr_core.imaging.faults import ImageFault
from cxr_core.ingest.faults import ArchiveFault, DecoderFault, IngestFault, SourceFault
from flows.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = typer.main.get_command(app)


def test_the_first_screen_is_at_most_forty_lines() -> None:
    first = README.split("\n## ", 1)[0]
    assert len(first.splitlines()) <= 40


def test_the_caution_stands_once() -> None:
    assert README.count("not a medical device") == 1


def test_the_demo_output_is_shown() -> None:
    shown = README.split("<!-- demo -->")[1].split("<!-- /demo -->")[0]
    assert "cxr-resnet34 version 1" in shown
    assert "ledger" in shown


def _verbs() -> set[str]:
    return set(re.findall(r"`?\bcxr ([a-z]+)", README)) - {"is"}


@pytest.mark.parametrize("verb", sorted(_verbs()))
def test_a_verb_that_the_readme_names_exists(verb: str) -> None:
    assert verb in COMMAND.commands  # type: ignore[attr-defined]


def test_every_verb_is_in_the_readme() -> None:
    assert set(COMMAND.commands) <= _verbs() | {"demo", "retrain"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("goal", sorted(set(re.findall(r"\bmake ([a-z]+)", README))))
def test_a_goal_that_the_readme_names_exists(goal: str) -> None:
    assert re.search(rf"^{goal}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:cxr_core|tasks|flows|mlflow|infra|docs|benchmarks|data)/[\w./]*)`", README)))
)
def test_a_place_that_the_readme_names_exists(path: str) -> None:
    made_by_a_run = path.startswith("data/cohort")
    assert made_by_a_run or (ROOT / path).exists()


def test_every_reason_stands_in_its_list_once_and_no_other_does() -> None:
    enums = (ImageFault, DecoderFault, IngestFault, ExclusionReason, ExternalReason, SourceFault, ArchiveFault)
    sections = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8").split("\n## ")[1:]
    written = [re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) for section in sections]
    assert [sorted(codes) for codes in written] == [sorted(reason.value for reason in each) for each in enums]
    for enum, section in zip(enums, sections, strict=True):
        assert enum.__name__ in section
