"""What every test shares: settings of the machine kept out, threads kept polite, the mirrors where there are some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Fixtures are found by their names in this file.
from tests.browser import browser  # noqa: F401
from tests.walk import again, first, prefect_server, promoted, stand, verb  # noqa: F401

# Before anything imports torch: spinning OpenMP threads make tests several times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shared machine stalls at any moment; how long one example takes says nothing.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# Made once and shared: tests that use them run in one worker, or each worker would make its own.
_SHARED = {**dict.fromkeys(("again", "first", "prefect_server", "promoted"), "retrain"), "ingested_mirrors": "mirrors"}

_OURS = ("CXR_", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_OURS) and name != "CXR_TEST_MIRRORS":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def mirrors() -> Path:
    """Real chest X-rays in the four published layouts."""
    value = os.environ.get("CXR_TEST_MIRRORS")
    if not value:
        pytest.skip("CXR_TEST_MIRRORS names no folder of real X-rays")
    return Path(value)


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in this hook too, and without it may come first
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share a retrain, or the mirrors, together (``--dist loadgroup``)."""
    for item in items:
        for group in {_SHARED[name] for name in getattr(item, "fixturenames", ()) if name in _SHARED}:
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop where groups are not kept together, as pytest 9.2 does with xdist 3.8: it shows in minutes alone."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    if apart := [
        item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
    ]:
        # Not pytest.exit: of that, a worker's controller shows an internal error of its own.
        session.shouldfail = (
            f"xdist does not keep groups together, e.g. {apart[0]}: install what constraints.txt names."
        )
