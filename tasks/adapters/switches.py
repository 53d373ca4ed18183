"""MLflow's process-wide switches. Importing this module sets them: the one import here that has an effect.

MLflow reads some of them while it is imported (its telemetry writes an installation id to the user's home at that very
moment), so a call would come too late. Whoever imports MLflow imports this first. A value that the user set wins.
"""

from __future__ import annotations

import os

__all__ = ["SWITCHES"]

SWITCHES: dict[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Migrations are announced line by line at INFO, on the standard error that the CLI draws its bars on.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # It would print addresses into what `--json` prints.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A uv.lock that happens to lie in the working directory is not the model's list of requirements.
    "MLFLOW_UV_AUTO_DETECT": "false",
}

for _name, _value in SWITCHES.items():
    os.environ.setdefault(_name, _value)
