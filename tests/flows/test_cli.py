"""``cxr`` and its verbs explain themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from flows.cli import app

VERBS = (
    ("demo",),
    ("retrain",),
    ("ui",),
    ("trace",),
    ("verify",),
    ("promote",),
    ("approve",),
    ("rollback",),
    ("why",),
    ("report",),
    ("compare",),
    ("predict",),
    ("paper",),
    ("paper", "check"),
    ("data",),
    ("data", "report"),
    ("data", "pull"),
    ("data", "verify"),
    ("sources",),
    ("sources", "status"),
    ("sources", "check"),
    ("sources", "update"),
)


def test_help_lists_every_verb_without_importing_a_heavy_library() -> None:
    program = (
        "import sys; sys.argv = ['cxr', '--help']\n"
        "from flows.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'mlflow', 'prefect', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for verb, *_ in VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_says_what_it_does(verb: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS if verb not in (("sources",), ("data",), ("paper",))], ids=" ".join
)
def test_every_verb_takes_json(verb: tuple[str, ...]) -> None:
    assert "--json" in CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "120", "TERM": "dumb"}).output


def test_a_rollback_without_a_reason_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["rollback"])
    assert result.exit_code == 2
    assert "--reason" in result.output
