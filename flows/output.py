"""One border between verbs and a person or a script: what is printed where, and what an error looks like.

Without ``--json``: words on stdout, errors on stderr. With it: one JSON object on stdout (also for an error), progress
on stderr. No traceback of ours reaches a user; one of somebody else's is written to a file that the message names.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from cxr_core.errors import CxrError

__all__ = ["Output", "boundary", "quiet_libraries"]

_LOG_COLUMNS = 132


class Output:
    """Where a verb's words go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        console = Console(stderr=as_json, highlight=False)
        # Rich takes a file or a pipe for 80 columns, which breaks tables that a log can hold.
        self.console = console if console.is_terminal else Console(stderr=as_json, highlight=False, width=_LOG_COLUMNS)

    def events(self) -> AbstractContextManager[None]:
        """Draw the events of the block's work."""
        from flows.terminal import show_events

        return show_events(self.console)

    def report(self, report: Mapping[str, Any], view: Callable[[Console, Mapping[str, Any]], None]) -> None:
        """Print a report: the object itself, or its view."""
        if self.as_json:
            print(json.dumps(report, ensure_ascii=False, sort_keys=True, allow_nan=False))  # noqa: T201 - this is the printer
        else:
            view(self.console, report)

    def demand(self, holds: bool) -> None:
        """Exit with 1 unless what was asked for holds."""
        if not holds:
            raise typer.Exit(1)


@contextmanager
def boundary(as_json: bool) -> Generator[Output]:
    """Run a verb; errors become one message, its reason, the next command and exit code 1."""
    out = Output(as_json=as_json)
    logging.captureWarnings(capture=True)
    try:
        yield out
    except CxrError as error:
        _refuse(out, error)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; what was finished is kept, and the same command goes on from there")
        raise typer.Exit(130) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost border: whatever a library throws must end in words
        _refuse(out, _unexpected(error))


def _refuse(out: Output, error: CxrError) -> None:
    if out.as_json:
        print(json.dumps({"ok": False, "error": error.as_dict()}, ensure_ascii=False, sort_keys=True))  # noqa: T201
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error[/] [dim]({error.reason})[/] {escape(error.message)}")
    if error.hint:
        console.print(f"  [bold]next[/] {escape(error.hint)}")
    raise typer.Exit(1) from None


def _unexpected(error: Exception) -> CxrError:
    with tempfile.NamedTemporaryFile("w", prefix="cxr-error-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return CxrError(
        f"{type(error).__name__}: {words}",
        reason="unexpected",
        hint=f"This should not happen. The details are in {Path(file.name)}; please report them.",
    )


def quiet_libraries() -> None:
    """Keep libraries' log lines off the terminal; what a person needs is said by our events."""
    for name in ("alembic", "mlflow", "prefect", "httpx", "urllib3", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")
