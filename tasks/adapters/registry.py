"""MLflow's model registry: versions of a registered model, and the aliases that say which one serves.

In: logged models, references such as ``models:/cxr-resnet34@champion``. Out: ``ModelVersion`` values. MLflow guards no
alias: whoever moves one here has written the ledger first and holds its lock. What is asked for and is not there is
answered with what is there.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.adapters.store import shown_uri, translated  # isort: skip  (first: it sets switches that MLflow reads while imported)
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import get_local_path_or_none

from cxr_core.digests import digest_bytes
from cxr_core.errors import TrackingError
from cxr_core.files import write_bytes
from tasks.adapters.references import (
    TEMPERATURE_TAG,
    WEIGHTS_FILE,
    LoggedModelRef,
    ModelReference,
    ModelVersion,
    parse_reference,
)

__all__ = ["WEIGHTS_FILE", "ModelReference", "ModelVersion", "Registry", "model_folder", "parse_reference"]

_LENDING = threading.Lock()


class Registry:
    """The registry of an open store.

    Args:
        client: The store's client.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._uri: str = client.tracking_uri

    def register(
        self, model: LoggedModelRef, *, name: str, commit: str, data: str, evidence: str, description: str
    ) -> ModelVersion:
        """Make a logged model a version; the same logged model again gives the version it has.

        Args:
            model: What ``bundle.log_model`` returned.
            name: The registered model, made where it is not there yet.
            commit: The run's git commit.
            data: The data version, ``sha256:<hex>``.
            evidence: The evidence's digest, ``sha256:<hex>``.
            description: Markdown for people.

        Raises:
            TrackingError: The store refused.
        """
        self._ensure(name)
        for known in self.versions(name):
            if known.model_id == model.model_id:
                return known
        tags = {
            "cxr.commit": commit,
            "cxr.data": data,
            "cxr.run": model.run_id,
            "cxr.weights": model.weights,
            "cxr.evidence": evidence,
            **({} if model.temperature is None else {TEMPERATURE_TAG: repr(model.temperature)}),
        }
        with translated(self._uri), _tracking_uri_for_the_registry(self._uri):
            made = self._client.create_model_version(
                name,
                source=f"models:/{model.model_id}",
                run_id=model.run_id,
                tags=tags,
                description=description,
                model_id=model.model_id,
            )
        return self.get(ModelReference(name=name, version=int(made.version)))

    def get(self, reference: ModelReference) -> ModelVersion:
        """Look a version up.

        Raises:
            TrackingError: ``model_missing``, ``alias_missing`` or ``version_missing``; it lists what exists.
        """
        aliases = self.aliases(reference.name)
        number = reference.version if reference.alias is None else aliases.get(reference.alias)
        if number is None:
            raise self._missing(reference, aliases)
        with translated(self._uri):
            try:
                found = self._client.get_model_version(reference.name, str(number))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise self._missing(reference, aliases) from error
        return _version(found, aliases)

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version, newest first; none where the model is not registered."""
        with translated(self._uri):
            if not self._registered(name):
                return []
            aliases = self.aliases(name)
            found: list[Any] = []
            token: str | None = None
            while True:
                page = self._client.search_model_versions(f"name = '{name}'", page_token=token)
                found += page
                token = page.token
                if not token:
                    break
        return sorted((_version(one, aliases) for one in found), key=lambda one: one.version, reverse=True)

    def aliases(self, name: str) -> dict[str, int]:
        """The version each alias points at.

        Raises:
            TrackingError: No such model is registered.
        """
        with translated(self._uri):
            # Asked for by name: a search returns versions and models without their aliases (mlflow#16734).
            if not self._registered(name):
                raise self._no_model(name)
            aliases: Mapping[str, str] = self._client.get_registered_model(name).aliases
        return {alias: int(version) for alias, version in sorted(aliases.items())}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version; the ledger's entry comes first, under its lock.

        Raises:
            TrackingError: There is no such version, or the alias points elsewhere afterwards (another writer).
        """
        self.get(ModelReference(name=name, version=version))
        with translated(self._uri):
            self._client.set_registered_model_alias(name, alias, str(version))
        now = self.aliases(name).get(alias)
        if now != version:
            raise TrackingError(
                f"Alias {alias!r} of {name} should point at version {version}; it points at {now}.",
                reason="alias_raced",
                hint="Somebody moves aliases without the ledger's lock: `cxr verify` says which.",
            )

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; one that is not there stays so."""
        if alias in self.aliases(name):
            with translated(self._uri):
                self._client.delete_registered_model_alias(name, alias)

    def model_tags(self, name: str) -> dict[str, str]:
        """The tags of the registered model itself.

        Raises:
            TrackingError: No such model is registered.
        """
        with translated(self._uri):
            if not self._registered(name):
                raise self._no_model(name)
            return dict(self._client.get_registered_model(name).tags)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of the registered model itself."""
        with translated(self._uri):
            self._client.set_registered_model_tag(name, key, value)

    def fetch_weights(self, reference: ModelReference, destination: Path) -> ModelVersion:
        """Copy a version's checkpoint to a file, whole or not at all.

        Raises:
            TrackingError: There is no such version, its weights are gone, or they are not those that were registered.
        """
        version = self.get(reference)
        with tempfile.TemporaryDirectory() as scratch:
            content = (model_folder(self._client, version.model_id, Path(scratch)) / WEIGHTS_FILE).read_bytes()
        found = digest_bytes(content)
        if found != version.tags.get("cxr.weights"):
            raise TrackingError(
                f"The weights of {version.uri} should be {version.tags.get('cxr.weights')}; their bytes are {found}.",
                reason="weights_changed",
                hint=f"`cxr trace {version.uri}` says what else changed; `cxr rollback` restores the previous version.",
            )
        write_bytes(destination, content)
        return version

    def _ensure(self, name: str) -> None:
        with translated(self._uri):
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def _registered(self, name: str) -> bool:
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _no_model(self, name: str) -> TrackingError:
        names = [str(one.name) for one in self._client.search_registered_models()]
        return TrackingError(
            f"No model {name!r} is registered at {shown_uri(self._uri)}; there is {', '.join(names) or 'none at all'}.",
            reason="model_missing",
            hint="`cxr retrain` trains and registers one, `cxr demo` does so in three minutes.",
        )

    def _missing(self, reference: ModelReference, aliases: Mapping[str, int]) -> TrackingError:
        numbers = ", ".join(str(one.version) for one in self.versions(reference.name)) or "none"
        named = ", ".join(f"{alias} is {number}" for alias, number in aliases.items()) or "none"
        by_alias = reference.alias is not None
        return TrackingError(
            f"{reference.uri} is not in the registry. Versions: {numbers}. Aliases: {named}.",
            reason="alias_missing" if by_alias else "version_missing",
            hint="`cxr promote` gives a version an alias." if by_alias else "Choose one of the versions listed.",
        )


def model_folder(client: MlflowClient, model_id: str, scratch: Path) -> Path:
    """A logged model's files on this machine: in place where the store is a folder, else downloaded to ``scratch``.

    Raises:
        TrackingError: There is no such model, or its files are gone.
    """
    uri: str = client.tracking_uri
    with translated(uri):
        location: str = client.get_logged_model(model_id).artifact_location
        local = get_local_path_or_none(location)
        folder = Path(local) if local else Path(download_artifacts(location, dst_path=str(scratch), tracking_uri=uri))
    if not (folder / WEIGHTS_FILE).is_file():
        raise TrackingError(
            f"Model {model_id} should hold {WEIGHTS_FILE} in {location}, and does not.",
            reason="artifact_missing",
            hint="Restore the artifact store, or choose another version: `cxr rollback`.",
        )
    return folder


@contextmanager
def _tracking_uri_for_the_registry(tracking_uri: str) -> Generator[None]:
    """Lend the process-wide tracking URI while a version is made, and put back what was there.

    MLflow's database registry looks the logged model up by the process-wide URI, whatever the client was opened with
    (a TODO in its ``create_model_version``); left alone it would make an empty ./mlflow.db and not find the model.
    """
    with _LENDING:
        before = os.environ.get("MLFLOW_TRACKING_URI")
        os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
        try:
            yield
        finally:
            if before is None:
                del os.environ["MLFLOW_TRACKING_URI"]
            else:
                os.environ["MLFLOW_TRACKING_URI"] = before


def _version(found: Any, aliases: Mapping[str, int]) -> ModelVersion:
    number = int(found.version)
    return ModelVersion(
        name=found.name,
        version=number,
        # The database keeps it in the source alone: models:/m-….
        model_id=found.model_id or str(found.source).removeprefix("models:/"),
        run_id=found.run_id or "",
        tags=dict(found.tags),
        aliases=tuple(alias for alias, target in aliases.items() if target == number),
        description=found.description or "",
        created_ms=found.creation_timestamp,
    )
