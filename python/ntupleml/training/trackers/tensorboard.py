"""Event files of TensorBoard, written without TensorFlow."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from ntupleml.config.schema import FilePath  # noqa: TC001  # pydantic needs it
from ntupleml.training.trackers.tracker import Run, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: TensorFlow's number of the type text.
_TEXT = 7


class TensorBoard(Tracker):
    """A folder of event files for each run; `tensorboard --logdir FOLDER` shows them."""

    module: ClassVar = "tensorboard"
    #: By default `tensorboard` in the output folder.
    folder: FilePath | None = None

    def start(self, run: Run) -> _Events:
        """Begin an event file with the config."""
        folder = Path(self.folder) if self.folder else run.output_path / "tensorboard"
        return _Events(folder / run.name / time.strftime("%Y%m%d-%H%M%S"), run.config)


class _Events:
    """An event file. It is open only while something is written, so that a kill leaves whole records."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto

        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        text = "".join(f"    {line}\n" for line in yaml.safe_dump(dict(config), sort_keys=False).splitlines())
        value = Summary.Value(
            tag="config/text_summary",
            metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text")),
            tensor=TensorProto(dtype=_TEXT, string_val=[text.encode()]),
        )
        self._write({"file_version": "brain.Event:2"}, {"summary": Summary(value=[value])})

    def epochs(self, metrics: Mapping[int, Mapping[str, float]]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        events = []
        for number, named in metrics.items():
            values = [Summary.Value(tag=name, simple_value=value) for name, value in named.items()]
            events.append({"step": number, "summary": Summary(value=values)})
        self._write(*events)

    def end(self, files: Sequence[Path]) -> None:
        pass

    def fail(self) -> None:
        pass

    def _write(self, *events: dict[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._path.open("ab") as file:
            for content in events:
                RecordWriter(file).write(Event(wall_time=time.time(), **content).SerializeToString())
