"""A model that stands on its own: weights, code, signature and an example, logged on an MLflow run.

In: a checkpoint (safetensors) and one example image. Out: a logged model. Laws: no pickle lies in it; it loads where
this repository is not installed; it has answered its own example before it is marked ready; weights with one other byte
are refused; no temporary path of the machine that made it stays in it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.adapters.store import translated  # isort: skip  (first: it sets switches that MLflow reads while imported)
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from cxr_core.classes import CLASSES
from cxr_core.digests import digest_file
from cxr_core.errors import TrackingError
from tasks.adapters.references import WEIGHTS_FILE, LoggedModelRef
from tasks.adapters.travelling_code import TravellingCode, collect, requirements

with warnings.catch_warnings():
    # MLflow warns about type hints of its own classes, whenever its model module is imported.
    warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType", category=UserWarning)
    import mlflow.pyfunc as pyfunc

__all__ = ["log_model", "log_weights", "save_model"]

_ROOT = Path(__file__).resolve().parents[2]
_ENTRY = "cxr_core.model.inference"
_SCRIPT = Path("tasks/adapters/model_script.py")
_TOLERANCE = 1e-6


def log_model(
    client: MlflowClient,
    *,
    run_id: str,
    name: str,
    weights: Path,
    example: bytes,
    tags: Mapping[str, str],
    temperature: float | None = None,
    root: Path = _ROOT,
) -> LoggedModelRef:
    """Log a checkpoint as a model of a run, ready to be registered.

    Args:
        client: The store's client.
        run_id: The run that trained it.
        name: The name MLflow's pages show, e.g. ``cxr-resnet34``.
        weights: The checkpoint (safetensors).
        example: The bytes of one small image, kept as the input example.
        tags: Said on the logged model.
        temperature: What it was calibrated with; None where it was not.
        root: The checkout or workspace whose code travels.

    Raises:
        TrackingError: The store refused, or the model does not answer its own example; it is then marked FAILED.
    """
    uri: str = client.tracking_uri
    with translated(uri):
        run = client.get_run(run_id)
        logged = client.create_logged_model(
            run.info.experiment_id, name=name, source_run_id=run_id, tags=dict(tags), params=run.data.params
        )
    try:
        with tempfile.TemporaryDirectory() as scratch, translated(uri):
            metadata = Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id)
            folder = Path(scratch) / "model"
            code = save_model(
                folder, weights=weights, example=example, temperature=temperature, metadata=metadata, root=root
            )
            client.log_model_artifacts(logged.model_id, str(folder))
            digest = digest_file(folder / WEIGHTS_FILE)
            client.set_logged_model_tags(logged.model_id, {"cxr.weights": digest})
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    except BaseException:
        with translated(uri):
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return LoggedModelRef(
        model_id=logged.model_id, run_id=run_id, weights=digest, package=code.name, temperature=temperature
    )


def log_weights(
    client: MlflowClient, *, run_id: str, name: str, weights: Path, tags: Mapping[str, str]
) -> LoggedModelRef:
    """Log a checkpoint as a model that others start from and that answers nothing itself.

    Raises:
        TrackingError: The store refused; the model is then marked FAILED.
    """
    uri: str = client.tracking_uri
    digest = digest_file(weights)
    with translated(uri):
        run = client.get_run(run_id)
        logged = client.create_logged_model(
            run.info.experiment_id, name=name, source_run_id=run_id, tags={**tags, "cxr.weights": digest}
        )
    try:
        with tempfile.TemporaryDirectory() as scratch, translated(uri):
            named = Path(scratch) / WEIGHTS_FILE
            named.parent.mkdir(parents=True)
            shutil.copyfile(weights, named)
            client.log_model_artifacts(logged.model_id, scratch)
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    except BaseException:
        with translated(uri):
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return LoggedModelRef(model_id=logged.model_id, run_id=run_id, weights=digest, package="")


def save_model(
    folder: Path,
    *,
    weights: Path,
    example: bytes,
    temperature: float | None = None,
    metadata: Model | None = None,
    root: Path = _ROOT,
) -> TravellingCode:
    """Write the model's folder and ask it about its example.

    Raises:
        TrackingError: The model's code cannot be collected, or it does not answer.
    """
    code = collect(root, _ENTRY, (root / _SCRIPT).read_text(encoding="utf-8"))
    model = Model() if metadata is None else metadata
    frame = pd.DataFrame({"image": [example]})
    calibrated = {} if temperature is None else {"temperature": temperature}
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / _SCRIPT.name
        script.write_text(code.script, encoding="utf-8")
        # MLflow keeps an artifact's file name; the loader expects one name whatever the checkpoint was called.
        named = Path(scratch) / Path(WEIGHTS_FILE).name
        shutil.copyfile(weights, named)
        pyfunc.save_model(
            path=str(folder),
            python_model=str(script),
            code_paths=[str(code.write(Path(scratch)))],
            artifacts={"weights": str(named)},
            model_config={"weights_digest": digest_file(weights), **calibrated},
            signature=_signature(),
            input_example=frame,
            pip_requirements=requirements(code.imports),
            mlflow_model=model,
        )
    _forget_paths(folder, model)
    _ask(folder, frame, code.name)
    return code


def _signature() -> ModelSignature:
    outputs: list[ColSpec | TensorSpec] = [*(ColSpec("double", slug) for slug in CLASSES), ColSpec("string", "label")]
    return ModelSignature(inputs=Schema([ColSpec("binary", "image")]), outputs=Schema(outputs))


def _forget_paths(folder: Path, model: Model) -> None:
    """Take the temporary folders of this machine out of the model's description."""
    flavor: dict[str, Any] = model.flavors["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    model.save(str(folder / "MLmodel"))


def _ask(folder: Path, frame: pd.DataFrame, package: str) -> None:
    """Load the saved model as a user would, and check its answer for the example."""
    with _imports_restored(package):
        answer = pyfunc.load_model(str(folder), suppress_warnings=True).predict(frame)
    total = float(answer[list(CLASSES)].to_numpy(dtype="float64").sum())
    if len(answer) != 1 or not abs(total - 1.0) <= _TOLERANCE or answer["label"].iloc[0] not in CLASSES:
        raise TrackingError(
            f"The saved model should answer one row of probabilities that add up to 1; it answered {answer.to_dict()}.",
            reason="model_does_not_answer",
        )


@contextmanager
def _imports_restored(package: str) -> Generator[None]:
    """Loading a model puts its folder on ``sys.path`` and its modules in ``sys.modules``; take both back."""
    path, modules, writes_bytecode = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    # What is compiled here would be uploaded with the model.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes_bytecode
        for name in set(sys.modules) - modules:
            if name.startswith(f"{package}.") or name == package:
                del sys.modules[name]
