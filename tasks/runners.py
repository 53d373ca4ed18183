"""Where trainings run, by setting: one after the other here, in worker processes, on Dask or Ray; bits stay the same.

``CXR_RUNNER`` is ``sequential`` (the default), ``processes``, ``dask`` or ``ray``; ``CXR_WORKERS`` how many train at
once. Laws: every training has a process to itself while it runs, since torch's random state and thread count belong to
the process; at most ``CXR_FOLDS_PER_GPU`` train on one GPU at once; a training that fails stops no other, and the first
failure, in the order of the folds, is raised when all have ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal, cast, get_args

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from cxr_core.errors import SettingError
from cxr_core.train.device import open_device, resolve_device
from tasks.data import DataVersion
from tasks.live import progress_bar
from tasks.plan import Plan
from tasks.pool import TrainingPool
from tasks.run import Run
from tasks.train import epochs_of_refit, train
from tasks.trained import Trained, stage_name

__all__ = ["Runner", "read_runner", "runner_of", "train_all", "train_folds"]

Kind = Literal["sequential", "processes", "dask", "ray"]

_RUNNER, _WORKERS, _PER_GPU, _ADDRESS = "CXR_RUNNER", "CXR_WORKERS", "CXR_FOLDS_PER_GPU", "CXR_RUNNER_ADDRESS"


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """Where trainings run.

    Attributes:
        kind: Which runner.
        workers: Trainings at once.
        gpus: A GPU's number for each of them; empty where none is used.
        gpu_share: What one training takes of a GPU, in (0, 1]; 0 where none is used.
        address: Of a Dask scheduler or Ray head that runs already; empty starts one on this machine.
    """

    kind: Kind
    workers: int
    gpus: tuple[int, ...] = ()
    gpu_share: float = 0.0
    address: str = ""


def runner_of(run: Run) -> Runner:
    """The runner that the environment names, for this retrain on this machine.

    Raises:
        SettingError: A variable does not hold.
        TrainingError: The parameters ask for a GPU, and folds train on this machine, which has none.
    """
    params = run.params.train
    elsewhere = bool(os.environ.get(_ADDRESS))
    if not elsewhere:
        open_device(params.device)
    # A GPU that no training uses bounds nothing. One asked for by name is there where folds train, if not here.
    wanted = resolve_device(params.device) == "cuda"
    return read_runner(threads=params.threads, gpus=max(torch.cuda.device_count(), elsewhere) if wanted else 0)


def read_runner(*, threads: int, gpus: int, cores: int | None = None) -> Runner:
    """The runner that the environment names.

    Args:
        threads: CPU threads of one training; without ``CXR_WORKERS`` as many train at once as the cores allow.
        gpus: GPUs to train on; with one or more, these bound how many train at once.
        cores: CPU cores; None counts those this process may use.

    Raises:
        SettingError: A variable does not hold.
    """
    kind = os.environ.get(_RUNNER) or "sequential"
    if kind not in get_args(Kind):
        raise SettingError(
            f"{_RUNNER} should be one of {', '.join(get_args(Kind))}; found {kind!r}.",
            reason="bad_runner",
            hint=f"Unset {_RUNNER} to train one fold after the other.",
        )
    usable = len(os.sched_getaffinity(0)) if cores is None else cores
    workers = _number(_WORKERS, default=max(1, usable // threads))
    address = os.environ.get(_ADDRESS) or ""
    per_gpu = _number(_PER_GPU, default=1)
    if kind == "dask" and gpus > 1 and not address:
        raise SettingError(
            f"{_RUNNER}=dask trains on one GPU of this machine; found {gpus}, and Dask would have every worker use the "
            "first.",
            reason="bad_runner",
            hint=f"{_RUNNER}=processes uses all of them. Or set CUDA_VISIBLE_DEVICES to one, or name a Dask cluster "
            f"whose workers have one each: {_ADDRESS}.",
        )
    slots = tuple(range(gpus)) * per_gpu
    workers = min(workers, len(slots)) if slots else workers
    return Runner(
        kind=cast(Kind, kind),
        workers=workers,
        gpus=slots[:workers],
        gpu_share=1 / per_gpu if gpus else 0.0,
        address=address,
    )


def train_all(run: Run, plan: Plan, data: DataVersion, parent: str, runner: Runner) -> list[Trained]:
    """Train every fold, then the refit, or find them trained; in the order of the folds, the refit last."""
    folds = range(len(plan.folds))
    params = run.params.train
    if runner.kind == "sequential":
        # With all cores each: torch's random state and thread count belong to the process.
        trained = [train(run, plan, data, parent, fold) for fold in folds]
        return [*trained, train(run, plan, data, parent, None, epochs_of_refit(params, trained))]
    asked = {"run": run, "plan": plan, "data": data, "parent": parent}
    with _submitter(runner) as submit:
        futures = [submit({**asked, "fold": fold, "epochs": None}) for fold in folds]
        if params.patience is None:
            return _results([*futures, submit({**asked, "fold": None, "epochs": None})])
        trained = _results(futures)
        return trained + _results([submit({**asked, "fold": None, "epochs": epochs_of_refit(params, trained)})])


def train_folds(run: Run, plan: Plan, data: DataVersion, parent: str, runner: Runner) -> list[Trained]:
    """Train every fold, or find it trained, in the order of the folds; no refit."""
    folds = range(len(plan.folds))
    if runner.kind == "sequential":
        return [train(run, plan, data, parent, fold) for fold in folds]
    asked = {"run": run, "plan": plan, "data": data, "parent": parent, "epochs": None}
    with _submitter(runner) as submit:
        return _results([submit({**asked, "fold": fold}) for fold in folds])


def _results(futures: Sequence[Any]) -> list[Trained]:
    for future in futures:
        future.wait()
    return [future.result() for future in futures]


@task(name="train", task_run_name="train {fold}", cache_policy=NO_CACHE)
def _train_apart(
    pool: TrainingPool,
    run: Run,
    plan: Plan,
    data: DataVersion,
    parent: str,
    fold: int | None,
    epochs: int | None,
) -> Trained:
    """Have a worker process train a fold."""
    with progress_bar(stage_name(fold, len(plan.folds))):
        return pool.train(run, plan, data, parent, fold, epochs)


@contextmanager
def _submitter(runner: Runner) -> Generator[Callable[[dict[str, Any]], Any]]:
    """How a training is handed over, while its workers are up."""
    if runner.kind == "processes":
        with (
            TrainingPool(workers=runner.workers, gpus=runner.gpus) as pool,
            ThreadPoolTaskRunner(max_workers=runner.workers) as threads,
        ):
            yield lambda asked: threads.submit(_train_apart, parameters={"pool": pool, **asked})
        return
    with _cluster(runner) as cluster:
        yield partial(_on_cluster, runner, cluster)


def _on_cluster(runner: Runner, cluster: Any, asked: dict[str, Any]) -> Any:
    share: AbstractContextManager[Any] = nullcontext()
    if runner.gpu_share:
        # The engine places no more on a GPU than it has.
        if runner.kind == "ray":
            share = import_module("prefect_ray.context").remote_options(num_gpus=runner.gpu_share)
        else:
            share = import_module("dask").annotate(resources=_resources(runner))
    with share:
        return cluster.submit(train, parameters=asked)


def _cluster(runner: Runner) -> Any:
    """Prefect's task runner on a Dask or Ray cluster, an existing one or one on this machine."""
    try:
        if runner.kind == "dask":
            made = import_module("prefect_dask").DaskTaskRunner
            if runner.address:
                return made(address=runner.address)
            # One thread a worker: see the laws above.
            local = {
                "n_workers": runner.workers,
                "threads_per_worker": 1,
                "processes": True,
                "dashboard_address": None,
                # What a worker may give out: Dask keeps a task for ever that asks for what no worker has declared.
                "resources": _resources(runner),
            }
            return made(cluster_kwargs=local)
        # One CPU a training is Ray's own measure; so many train at once as CPUs are offered.
        return import_module("prefect_ray").RayTaskRunner(
            address=runner.address or None,
            init_kwargs=None if runner.address else {"num_cpus": runner.workers, "include_dashboard": False},
        )
    except ImportError as error:
        raise SettingError(
            f"{_RUNNER}={runner.kind} needs the package prefect-{runner.kind}, which is not installed.",
            reason="runner_missing",
            hint=f"pip install -e '.[{runner.kind}]' -c constraints.txt",
        ) from error


def _resources(runner: Runner) -> dict[str, float]:
    """What a training takes of a Dask worker, which must have been declared there (``--resources GPU=1``)."""
    return {"GPU": runner.gpu_share} if runner.gpu_share else {}


def _number(name: str, *, default: int) -> int:
    text = os.environ.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(
            f"{name} should be a whole number, 1 or more; found {text!r}.", reason="bad_number", hint=f"Unset {name}."
        )
    return int(text)
