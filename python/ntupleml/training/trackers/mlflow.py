"""Runs of MLflow, in a database beside the outputs or on a server."""

from __future__ import annotations

import json
import logging
import os
import re
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from ntupleml.config.schema import Name  # noqa: TC001  # pydantic needs it
from ntupleml.training.trackers.tracker import Run, Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

#: Parameters and metrics that MLflow takes at a time, and the length of a parameter.
_MOST_PARAMETERS, _MOST_METRICS, _LONGEST_VALUE = 100, 1000, 6000
_NOT_IN_NAMES = re.compile(r"[^\w./: -]")


class Mlflow(Tracker):
    """A run for each training; `mlflow ui --backend-store-uri URI` shows them."""

    module: ClassVar = "mlflow"
    #: Server or database; by default that of `MLFLOW_TRACKING_URI`, else `mlflow.db` in the output folder.
    uri: Name | None = None
    experiment: Name = "ntupleml"

    def start(self, run: Run) -> _MlflowRun:
        """Begin a run with the config as its parameters."""
        run.output_path.mkdir(parents=True, exist_ok=True)
        folder = run.output_path.absolute()
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        # a database has no place for files; MLflow's own choice is the folder that one happens to be in
        files = (folder / "mlflow_files").as_uri() if uri.startswith("sqlite:") else None
        return _MlflowRun(uri, self.experiment, files, run)


class _MlflowRun:
    def __init__(self, uri: str, experiment: str, files: str | None, run: Run) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # its seven take minutes
        with _quiet():
            from mlflow.entities import Param
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            where = self._client.create_experiment(experiment, files) if found is None else found.experiment_id
            self._run: str = self._client.create_run(where, run_name=run.name).info.run_id
            parameters = [Param(key, value[:_LONGEST_VALUE]) for key, value in _flat(run.config).items()]
            for start in range(0, len(parameters), _MOST_PARAMETERS):
                self._client.log_batch(self._run, params=parameters[start : start + _MOST_PARAMETERS])

    def epochs(self, metrics: Mapping[int, Mapping[str, float]]) -> None:
        with _quiet():
            from mlflow.entities import Metric

            now = int(1000 * time.time())
            found = [Metric(*one, now, number) for number, named in metrics.items() for one in named.items()]
            for start in range(0, len(found), _MOST_METRICS):
                self._client.log_batch(self._run, found[start : start + _MOST_METRICS])

    def end(self, files: Sequence[Path]) -> None:
        with _quiet():
            for path in files:
                self._client.log_artifact(self._run, str(path))
            self._client.set_terminated(self._run)

    def fail(self) -> None:
        with _quiet():
            self._client.set_terminated(self._run, "FAILED")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without remarks about tables that are made, and warnings of the libraries below MLflow."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _flat(block: Mapping[str, Any], within: str = "") -> dict[str, str]:
    """Values by dotted keys, lists as JSON; what is not set is left out."""
    flat: dict[str, str] = {}
    for key, value in block.items():
        name = f"{within}{_NOT_IN_NAMES.sub('_', str(key))}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        elif value is not None:
            flat[name] = value if isinstance(value, str) else json.dumps(value)
    return flat
