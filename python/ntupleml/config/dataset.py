"""The dataset config: which files, cuts and weights make the fold files."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ntupleml.config.blocks import ClusterConfig
from ntupleml.config.define import Defined, formulas_of, texts_of
from ntupleml.config.rows import MatchConfig, RowsConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.scale import ScaleConfig  # noqa: TC001
from ntupleml.config.schema import (
    BranchName,
    ClassName,
    FilePath,
    FilePaths,
    FolderPath,
    Formula,
    Name,
    Names,
    OrText,
    Schema,
    TextKeys,
    TreePath,
    class_name,
)

#: Class of recorded data where no other is given.
DATA = "data"


class ProcessConfig(Schema):
    """One process: its files, selection, weight and the class that it is training data for."""

    #: Input files, relative to `base_path`; a text is a list of one.
    files: FilePaths
    #: Formula of the events that are kept, e.g. `pt_1 > 30 && abs(eta_1) < 2.1`.
    cut_string: Formula = "1"
    #: Formula of the weight of an event, e.g. `genWeight * puWeight`.
    weight_string: Formula = "1"
    #: Class that the process is training data for; by default its own name. Several processes may share one.
    class_: ClassName | None = Field(default=None, alias="class")
    #: Whether these are recorded data: scored and shown beside simulation, never trained on. Their class is `data`
    #: unless another is given.
    data: bool = False
    #: Luminosity and cross section, by which the weights are scaled.
    scale: ScaleConfig | None = None
    #: Tree in the files of this process; by default that of the whole config.
    tree_path: TreePath | None = None
    #: Where rows are objects: keep those that have an object of another collection near.
    match: MatchConfig | None = None
    #: New branches, by formulas of the rows or numbers, e.g. a mass that no branch holds.
    define: Defined = {}
    #: One more cut: a formula, or a query in the syntax of pandas, e.g. `eventNumber % 2 == 1 and jet_pt > 40`.
    event_filter: Name | None = None
    #: Exact number of rows that are kept of those that pass, chosen at random by the seed; by default all.
    num_events: int | None = Field(default=None, ge=1)

    @field_validator("cut_string", "weight_string")
    @classmethod
    def _empty_means_one(cls, formula: str) -> str:
        return formula if formula.strip() else "1"


class FoldFileConfig(Schema):
    """A table that has the fold of each event: a column for each branch of `fold_by`, and one of folds."""

    #: HDF5, Parquet or ROOT file.
    path: FilePath
    #: Tree in it, or group; by default the only one.
    tree: TreePath | None = None
    #: Column of the folds, integers from 0 on.
    column: Name = "fold"
    #: What becomes of events that it lacks: they are refused, or their hash decides.
    others: Literal["refused", "hash"] = "refused"
    #: Whether the dataset build writes the file, by hashes, where it is not there.
    write: bool = False

    @property
    def sha256(self) -> str:
        """Nothing: a config takes the file as it is."""
        return ""


def _path_alone(value: Any) -> Any:
    """Let the path of a file stand for the block."""
    return {"path": value} if isinstance(value, str) else value


class DatasetConfig(Schema):
    """Schema of the dataset config."""

    #: Folder of the fold files. Fold k is `{output_path}/fold{k}_{output_filename}`.
    output_path: FilePath
    #: Name of the fold files after `fold{k}_`, e.g. `dataset.root`.
    output_filename: Name
    #: Folder of the input files.
    base_path: FolderPath = "."
    #: Tree in the input files, with its folders; a process may name its own.
    tree_path: TreePath | None = None
    #: Branch of integer event numbers; without it the entry number in each file decides the fold.
    event_branch: Name | None = None
    #: Branches of integers, e.g. `[run, lumi, event]`, whose hash decides the fold.
    fold_by: Annotated[Names | None, OrText] = None
    #: Table that has the fold of each event, which the branches of `fold_by` tell: a file, or a block.
    fold_file: Annotated[FoldFileConfig | None, BeforeValidator(_path_alone, json_schema_input_type=Any)] = None
    #: Name of the new branch that holds the weight.
    training_weight_branch: BranchName = "training_weight"
    #: New branches of all processes, by formulas, for cuts, weights and variables; a training that follows this config
    #: knows their names, labels and units.
    define: Defined = {}
    #: Processes by name: their files, cuts and weights.
    processes: Annotated[dict[Name, ProcessConfig], Field(min_length=1), TextKeys]
    #: Rows of the fold files that are objects of a collection, not events.
    rows: RowsConfig | None = None
    #: Folders that hold a friend of each input file under the same name.
    friend_paths: list[FilePath] = []
    #: Seed of the random choice that `num_events` of a process asks for.
    seed: int = Field(default=1234, ge=0, lt=2**32)
    #: Number of folds k, the same as the number of models. Event number (or hash) modulo k is the fold.
    num_folds: int = Field(default=2, ge=2, le=1000)
    #: Which branches are copied.
    branches: Literal["all", "needed"] | Names = "all"
    #: Inputs of the models, branches or formulas: `branches: needed` keeps what they need besides the branches of event
    #: number and weight, and events without a value of one are named.
    variables: Names | None = None
    #: What the jobs of a batch system ask for, with `--htcondor`.
    cluster: ClusterConfig = ClusterConfig()

    @field_validator("output_filename")
    @classmethod
    def _is_a_plain_root_file_name(cls, name: str) -> str:
        if "/" in name or not name.endswith(".root"):
            raise ValueError(f"'{name}' is not the name of a ROOT file without folders, e.g. 'dataset.root'")
        return name

    @field_validator("processes")
    @classmethod
    def _processes_are_classes(cls, processes: dict[str, ProcessConfig]) -> dict[str, ProcessConfig]:
        for name, process in processes.items():
            if process.class_ is None and not process.data:
                class_name(name)
        return processes

    @model_validator(mode="after")
    def _data_are_apart(self) -> DatasetConfig:
        for name, process in self.processes.items():
            if process.data and process.scale is not None:
                raise ValueError(f"processes.{name}.scale: recorded data have no cross section; leave it out")
            others = [other for other in self.processes if self.class_of(other) == self.class_of(name)]
            mixed = [other for other in others if not self.processes[other].data] if process.data else []
            if mixed:
                raise ValueError(
                    f"processes.{name}: is recorded data, but '{mixed[0]}' of the same class '{self.class_of(name)}' "
                    "is not; give it another class, or data: true"
                )
        return self

    @model_validator(mode="after")
    def _a_table_needs_keys(self) -> DatasetConfig:
        if self.fold_file is not None and not self.fold_by:
            raise ValueError("fold_file: name its columns that tell an event, e.g. fold_by: [run, lumi, event]")
        return self

    @model_validator(mode="after")
    def _each_process_has_a_tree(self) -> DatasetConfig:
        for name, process in self.processes.items():
            if process.match is not None and self.rows is None:
                raise ValueError(f"processes.{name}.match: rows are events; say with rows which objects they are")
            if process.tree_path is None and self.tree_path is None:
                raise ValueError(
                    f"no tree_path, neither here nor in processes.{name}; name the tree of the input files (empty for "
                    "Parquet)"
                )
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> DatasetConfig:
        formulas_of(self.define)
        for name, process in self.processes.items():
            for both in process.define.keys() & self.define.keys():
                raise ValueError(f"processes.{name}.define.{both}: is defined for all processes; choose another name")
        return self

    def defined_for(self, process: str) -> dict[str, str]:
        """Formulas of the new branches of a process, by their names."""
        return texts_of({**self.define, **self.processes[process].define})

    @property
    def fold_files(self) -> list[str]:
        """Paths of the fold files, in the order of the folds."""
        return [os.path.join(self.output_path, f"fold{fold}_{self.output_filename}") for fold in range(self.num_folds)]  # noqa: PTH118 - a text, as that of other paths

    def tree_of(self, process: str) -> str:
        """Path of the tree in the files of a process."""
        own = self.processes[process].tree_path
        tree_path = self.tree_path if own is None else own
        assert tree_path is not None, "checked by the schema"
        return tree_path

    def class_of(self, process: str) -> str:
        """Class that a process belongs to: its own name where none is given, `data` for recorded data."""
        return self.processes[process].class_ or (DATA if self.processes[process].data else process)
