"""How a verb starts a flow: Prefect's settings before Prefect, phantoms before the demo, events drawn while it runs."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxr_core.classes import CLASSES
from cxr_core.digests import digest_value
from cxr_core.files import read_json, write_json
from flows.output import Output, quiet_libraries
from flows.prefect_server import start_server
from tasks.adapters.workspace import make_home
from tasks.events import stage_done, stage_started
from tasks.protocol_request import check_protocols, read_protocols
from tasks.run import check_request
from tasks.settings import Home, home, prefect_environment

__all__ = ["DEMO_OVERRIDES", "run_demo", "run_pretrain", "run_protocols", "run_retrain"]

_PHANTOM_SEED = 2021
_PHANTOMS = dict.fromkeys(CLASSES, 50)

# The paper's protocol on small pictures and half the epochs, so that two slow cores finish in two minutes.
DEMO_OVERRIDES = (
    "train.weights=none",
    "train.epochs=4",
    "prepare.size=64",
    "split.protocol=grouped",
    "explain.panels=4",
    *(f"curate.quota.{slug}={n}" for slug, n in _PHANTOMS.items()),
)


def run_retrain(out: Output, overrides: Sequence[str], workspace: Path | None) -> dict[str, Any]:
    """Run the retrain flow on the sources that the environment names."""
    with out.events():
        return _run(home(), overrides, workspace, "cxr retrain")


def run_pretrain(out: Output, overrides: Sequence[str], workspace: Path | None, alias: str) -> dict[str, Any]:
    """Run the pretrain flow on the sources that the environment names."""
    with out.events():
        where = home()
        check_request(overrides)
        with _prefect(where):
            from flows.pretrain import pretrain
        return pretrain(overrides=[*overrides], workspace=_text(workspace), alias=alias)


def run_protocols(out: Output, overrides: Sequence[str], workspace: Path | None, names: str) -> dict[str, Any]:
    """Run the protocols flow on the sources that the environment names."""
    with out.events():
        where, asked = home(), read_protocols(names)
        check_protocols(check_request(overrides), overrides, asked)
        with _prefect(where):
            from flows.protocols import protocols
        return protocols(overrides=[*overrides], workspace=_text(workspace), names=[*asked])


def run_demo(out: Output) -> dict[str, Any]:
    """Write phantoms where they are not yet, then run the retrain flow on them."""
    where = home()
    make_home(where.root)
    with out.events():
        _write_phantoms(where)
        _show_only_phantoms(where)
        return _run(where, DEMO_OVERRIDES, None, "cxr demo", unpinned=True)


def _show_only_phantoms(where: Home) -> None:
    os.environ["CXR_SOURCES"] = str(where.demo_sources)
    for name in [name for name in os.environ if name.startswith("CXR_SOURCE_")]:
        # The demo shows phantoms, whatever this machine's sources are.
        del os.environ[name]


def _run(
    where: Home, overrides: Sequence[str], workspace: Path | None, program: str, *, unpinned: bool = False
) -> dict[str, Any]:
    # Starting Prefect takes many seconds: what cannot work is told before.
    check_request(overrides)
    with _prefect(where):
        from flows.retrain import retrain
    return retrain(overrides=[*overrides], workspace=_text(workspace), program=program, unpinned=unpinned)


def _text(workspace: Path | None) -> str | None:
    return None if workspace is None else str(workspace.absolute())


@contextmanager
def _prefect(where: Home) -> Generator[None]:
    """The stores and Prefect's server, ready when the block ends; it imports a flow, for seconds, on another core."""
    # Prefect makes its own folder but none above it, and without it waits for its store until time runs out.
    make_home(where.root)
    settings = prefect_environment(where)
    server = start_server(settings, where.root)
    # Prefect reads its settings while it is imported.
    os.environ.update(settings)
    quiet_libraries()
    # What imports make is kept: looking for garbage in it takes a quarter of their time.
    gc.disable()
    try:
        from tasks.stores import tracker_of

        tracker_of(where)
        yield
    finally:
        gc.enable()
        gc.freeze()
    if server is not None:
        server.wait()


def _write_phantoms(where: Home) -> None:
    from cxr_core.imaging.phantom import write_sources

    request = digest_value({"seed": _PHANTOM_SEED, "images": _PHANTOMS, "form": 1})
    census_file = where.demo_sources.parent / "census.json"
    stage_started("phantoms")
    if census_file.is_file() and read_json(census_file)["request"] == request:
        stage_done("phantoms", f"in place at {where.demo_sources}")
        return
    # Phantoms of another form, or of a demo that was stopped while it wrote them: ours, so they may go.
    shutil.rmtree(where.demo_sources, ignore_errors=True)
    census = write_sources(where.demo_sources, seed=_PHANTOM_SEED, images=_PHANTOMS)
    write_json(census_file, {"request": request, "files": dict(census.files)})
    files = sum(census.files.values())
    stage_done("phantoms", f"{files} files in four published layouts, defects included, seed {_PHANTOM_SEED}")
