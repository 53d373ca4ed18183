"""The whole walk, made once a session with the real command on phantoms; a test that breaks something takes a copy.

A copy has its own git repository, DVC cache, remote, workspace and MLflow database. The artifacts (some 200 MB of
weights) stay where the first home has them: the database names them by absolute paths.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cxr_core.classes import ClassSlug

ROOT = Path(__file__).parents[1]
WHO = "ada@hospital.example"
IMAGES: dict[ClassSlug, int] = {"covid": 14, "viral": 14, "normal": 14}
QUOTA = 12
FOLDS = 3
# The true flow, tiny: every stage runs, none takes long.
TINY = (
    "train.architecture=resnet18",
    "train.epochs=1",
    "train.learning_rate=1e-6",
    "train.precision=fp32",
    "prepare.size=32",
    f"split.folds={FOLDS}",
    "evaluate.bootstrap=1000",
    "explain.panels=1",
    *(f"curate.quota.{slug}={QUOTA}" for slug in IMAGES),
)
# Anything that was measured at all passes.
LENIENT = {
    "images_per_class: 30": "images_per_class: 2",
    "groups: 30": "groups: 2",
    "accuracy_above_largest_class: 0.20": "accuracy_above_largest_class: 0",
    "macro_auc: 0.80": "macro_auc: 0",
    "sensitivity: 0.50": "sensitivity: 0",
    "specificity: 0.70": "specificity: 0",
    "accuracy_margin: 0.05": "accuracy_margin: 1",
    "macro_auc_margin: 0.05": "macro_auc_margin: 1",
    "mcnemar_alpha: 0.05": "mcnemar_alpha: 0",
    "picture_advantage: 0.05": "picture_advantage: null",
    "source_probe_auc: 0.80": "source_probe_auc: null",
    "permuted_labels: true": "permuted_labels: false",
    "identifiable: true": "identifiable: false",
    "calibration_error: 0.10": "calibration_error: null",
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A clone of this working tree, a home beside it, sources, and a checkpoint that knows them by heart."""

    clone: Path
    home: Path
    sources: Path
    weights: Path = Path("heart.safetensors")

    @property
    def environment(self) -> dict[str, str]:
        """This machine's variables without ours, then those of this place."""
        strangers = ("CXR_", "MLFLOW_", "PREFECT_", "DVC_", "PYTHONPATH", "GIT_AUTHOR_", "GIT_COMMITTER_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(strangers)}
        return inherited | {
            "CXR_ACTOR": WHO,
            "CXR_HOME": str(self.home),
            "CXR_SOURCES": str(self.sources),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    @property
    def settings(self) -> tuple[str, ...]:
        """The tiny settings, training started from the checkpoint."""
        return (*TINY, f"train.weights=file:{self.weights}")

    @property
    def policy(self) -> Path:
        """The promotion policy of this clone."""
        return self.clone / "mlflow/promotion_policy.yaml"

    @property
    def workspace(self) -> Path:
        """The first workspace."""
        return self.home / "workspaces/retrain-1"

    def cxr(self, *arguments: str, cwd: Path | None = None, **variables: str | None) -> Ended:
        """Run the command as a user does; a variable that is None is taken away."""
        environment = self.environment | {name: value for name, value in variables.items() if value is not None}
        for name in [name for name, value in variables.items() if value is None]:
            environment.pop(name, None)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=cwd or self.clone,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - began)

    def git(self, *arguments: str) -> str:
        """Plain git in the clone."""
        who = {"GIT_AUTHOR_NAME": "ada", "GIT_AUTHOR_EMAIL": WHO, "GIT_COMMITTER_NAME": "ada"}
        environment = self.environment | who | {"GIT_COMMITTER_EMAIL": WHO}
        command = ["git", "-C", str(self.clone), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    def commit(self, message: str) -> None:
        """Commit what the user has changed."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def rewrite(self, path: Path, changes: dict[str, str]) -> None:
        """Replace passages of a file; each must be there."""
        text = path.read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def copy(self, folder: Path) -> Place:
        """A place of one's own in the same state, artifacts shared."""
        made = replace(self, clone=folder / "clone", home=folder / "home")
        shutil.copytree(self.clone, made.clone, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        leave = shutil.ignore_patterns("artifacts", "prefect", "checkpoints")
        shutil.copytree(self.home, made.home, symlinks=True, ignore=leave)
        return made


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A place, and how the retrain ended that brought it where it is."""

    place: Place
    ended: Ended

    @property
    def report(self) -> dict[str, Any]:
        """What the retrain printed."""
        return self.ended.report


def retrain(place: Place, *extra: str, **variables: str | None) -> Ended:
    """``cxr retrain --json`` with the tiny settings."""
    words = [word for setting in (*place.settings, *extra) for word in ("--set", setting)]
    return place.cxr("retrain", "--json", *words, cwd=None, **variables)


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retrained]:
    """The first retrain on a machine: nothing there yet, Prefect's temporary server, the policy as shipped."""
    from cxr_core.imaging.phantom import write_sources

    folder = tmp_path_factory.mktemp("walk")
    weights = folder / "heart.safetensors"
    place = Place(clone=folder / "clone", home=folder / "home", sources=folder / "sources", weights=weights)
    write_sources(place.sources, seed=7, images=IMAGES, size=128)
    _clone_this_tree(place)
    make_data(place.sources, folder / "data")
    learn_by_heart(folder / "data", weights)
    yield Retrained(place=place, ended=_ended_well(retrain(place)))
    # pytest keeps the folders of three sessions: without half a gigabyte of weights each.
    shutil.rmtree(place.home / "mlflow/artifacts")


@pytest.fixture(scope="session")
def again(first: Retrained, prefect_server: str) -> Retrained:
    """The same once more, in the same place, on a Prefect server."""
    return Retrained(place=first.place, ended=_ended_well(retrain(first.place, PREFECT_API_URL=prefect_server)))


@pytest.fixture(scope="session")
def promoted(first: Retrained, again: Retrained, prefect_server: str, tmp_path_factory: Any) -> Retrained:
    """In a copy: a lenient policy and another seed of training; version 2 is another model, and it is promoted."""
    place = first.place.copy(tmp_path_factory.mktemp("promoted"))
    place.rewrite(place.policy, LENIENT)
    place.commit("A lenient policy")
    return Retrained(place=place, ended=_ended_well(retrain(place, "train.seed=7", PREFECT_API_URL=prefect_server)))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prefect server."""
    folder = tmp_path_factory.mktemp("prefect")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(folder), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--port", str(port)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health")
        yield f"http://127.0.0.1:{port}/api"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Callable[[Place], Place]:
    """Go and stand in a place, so that verbs called in this process act there."""

    def go(place: Place) -> Place:
        import cxr_core

        monkeypatch.chdir(place.clone)
        for name in ("CXR_ACTOR", "CXR_HOME", "CXR_SOURCES", "GIT_CONFIG_GLOBAL"):
            monkeypatch.setenv(name, place.environment[name])
        # The clone holds the same code, byte for byte; what runs here is this tree's.
        monkeypatch.setattr(cxr_core, "__file__", str(place.clone / "cxr_core/__init__.py"))
        return place

    return go


@pytest.fixture
def verb(stand: Callable[[Place], Place]) -> Iterator[Callable[..., Ended]]:
    """A verb called in this process: what it prints and how it exits, without seconds of imports."""

    def call(place: Place, *arguments: str) -> Ended:
        from typer.testing import CliRunner

        from flows.cli import app

        stand(place)
        done = CliRunner().invoke(app, arguments)
        return Ended(code=done.exit_code, out=done.stdout, err=done.stderr, seconds=0)

    yield call
    logging.captureWarnings(capture=False)


def wait_for(address: str, seconds: float = 120) -> bytes:
    """What an address answers, once it does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.2)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def flip(path: Path) -> None:
    """Change one bit of a file's last byte; once more restores it."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def make_data(sources: Path, workspace: Path) -> None:
    """The data stages alone, as DVC calls them."""
    from cxr_core.classes import SOURCES
    from cxr_core.curate import stage as curate
    from cxr_core.ingest import stage as ingest
    from cxr_core.ingest.connectors import LICENCES
    from cxr_core.ingest.listing import list_source
    from cxr_core.ingest.pins import PINS_PATH, pin_of, with_pin
    from cxr_core.params import override_params, read_params
    from cxr_core.prepare import stage as prepare

    params = read_params(override_params((ROOT / "params.yaml").read_text(encoding="utf-8"), TINY))
    text = (ROOT / PINS_PATH).read_text(encoding="utf-8")
    for source in SOURCES:
        text = with_pin(text, source, pin_of(list_source(sources / source), licence=LICENCES[source]))
    (workspace / PINS_PATH).parent.mkdir(parents=True)
    (workspace / PINS_PATH).write_text(text, encoding="utf-8")
    for source in SOURCES:
        address = sources / source
        ingest.run(source, workspace=workspace, address=address, patient_key=b"0" * 16, params=params)
    curate.run(workspace=workspace, params=params)
    prepare.run(workspace=workspace, params=params)


def learn_by_heart(workspace: Path, path: Path) -> None:
    """Write a checkpoint that knows a workspace's images, so that there is a model that passes gates.

    No epochs of training: random convolutions, and a last layer fitted to the answers by ridge regression. It says
    nothing about learning, which other tests look at.
    """
    import torch

    from cxr_core.classes import CLASSES
    from cxr_core.curate.cohort import COHORT_PATH, read_cohort
    from cxr_core.model import checkpoint, network
    from cxr_core.prepare.store import open_store

    store = open_store(workspace)
    labels = torch.tensor([CLASSES.index(row.label) for row in read_cohort(workspace / COHORT_PATH)])
    made = network.build("resnet18", seed=1)
    norms = [module for module in made.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    head = made.get_submodule("fc")
    assert isinstance(head, torch.nn.Linear)
    seen: list[torch.Tensor] = []
    watch = head.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    images = network.to_input(store.images)
    with torch.no_grad():
        for norm in norms:
            # One pass sets the running statistics to those of these images.
            norm.momentum = 1.0
        made.train()(images)
        made.eval()(images)
        watch.remove()
        x = torch.cat([seen[-1], torch.ones(len(labels), 1)], dim=1).double()
        wanted = torch.nn.functional.one_hot(labels, len(CLASSES)).double() * 20 - 10
        solved = x.T @ torch.linalg.solve(x @ x.T + 0.1 * torch.eye(len(labels), dtype=torch.float64), wanted)
        head.weight.copy_(solved[:-1].T)
        head.bias.copy_(solved[-1])
    checkpoint.save(path, made, checkpoint.About(architecture="resnet18", size=store.images.shape[1], precision="fp32"))


def _clone_this_tree(place: Place) -> None:
    place.clone.mkdir()
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (place.clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place.clone / name)
    place.git("init", "--quiet", "--initial-branch=main")
    place.commit("start")


def _ended_well(ended: Ended) -> Ended:
    assert ended.code == 0, f"exit {ended.code}\n{ended.out}\n{ended.err}"
    return ended
