"""What all trackers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from ntupleml.config.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Run(NamedTuple):
    """A training that is followed."""

    #: Of fold and method, e.g. `fold0_keras`.
    name: str
    #: Folder of the training's outputs.
    output_path: Path
    #: The training config, as plain data.
    config: Mapping[str, Any]


class Follower(Protocol):
    """A run that has begun. Each method may raise what it likes: the training goes on without the tracker then."""

    def epochs(self, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Log the metrics of some epochs, or boosting rounds, by their numbers, from 1."""

    def end(self, files: Sequence[Path]) -> None:
        """Log the files of a training that is complete."""

    def fail(self) -> None:
        """Note that the training failed or was stopped."""


class Tracker(Schema):
    """Settings of a program that shows trainings, and how it begins to follow one."""

    #: Module that has to be installed.
    module: ClassVar[str]

    def start(self, run: Run) -> Follower:
        """Begin a run; raise where it cannot be written."""
        raise NotImplementedError
