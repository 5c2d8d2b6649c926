"""Training by ROOT's TMVA: the job for the process that runs it, and what becomes of its files."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ntupleml.artifacts import TMVA_JOB, SplitSizes, record_hash
from ntupleml.atomic import hidden_folder
from ntupleml.datasets.fold_trees import class_friends
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.tmva.factory import FactoryJob, FactoryMethod, FactoryResult, FactoryTree
from ntupleml.training.jobs import Fitted, Job, Trainer
from ntupleml.training.outputs import CHECKED_EVENTS, check_difference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import Method, ModelFiles, OnnxCheck, TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.methods import TmvaMethodConfig
    from ntupleml.training.jobs import Staging
    from ntupleml.training.tabular_data import TabularData

log = logging.getLogger(__name__)

_PROGRAM = [sys.executable, "-P", "-m", "ntupleml.tmva.factory"]
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FATAL = re.compile(r"<FATAL>\s*(?P<source>\S*)\s*:\s*(?P<text>.+)")
_ROOT_ERROR = re.compile(r"^Error in <(?P<source>[^>]*)>:\s*(?P<text>.+)")
#: `Factory    : Booking method: BDT`, where TMVA leaves the source out if it is that of the line before.
_LOGGED = re.compile(r"^(?:--- )?(?:<[A-Z]+>)?\s*(?P<source>[\w:]*)\s*:\s+(?P<text>\S.*)")
#: What ROOT prints when a signal has come.
_CRASH = re.compile(r"^\s*\*\*\* Break \*\*\*|^There was a crash")


def has_tmva() -> bool:
    """Whether there is a ROOT with TMVA here, asked of a process of its own where its files do not tell."""
    found = PathFinder.find_spec("ROOT")
    if found is None:
        return False
    # The wheel of PyPI has all its libraries inside the package.
    libraries = Path(found.origin or "").parent / "lib"
    if any(libraries.glob("libCore.*")) and not any(libraries.glob("libTMVA.*")):
        return False
    answer = subprocess.run(_PROGRAM, capture_output=True, text=True, check=False)
    if answer.returncode:
        words = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "")
        log.warning("ROOT cannot be asked for TMVA: %s", one_line(f"{_ending(answer.returncode)}: {words}"))
    return answer.stdout.strip().endswith("yes")


def factory_job(
    config: TrainingConfig, fold: int, methods: Sequence[TmvaMethodConfig], data: TabularData
) -> FactoryJob:
    """What TMVA has to do for a fold, with htt-ml's names.

    Parameters
    ----------
    fold : int
        Index of the model; the trees are those of all folds that it is trained on.
    data : TabularData
        For the trees of the fold files.
    """
    weights = data.config.class_weights_of(None)
    # SplitSeed=0 would mean another division each time.
    parts = [f"TrainTestSplit_{name}={config.train_test_split!r}" for name in config.classes]
    return FactoryJob(
        job_name=TMVA_JOB,
        folder=f"fold{fold}_training",
        output=f"fold{fold}_training.root",
        variables=list(config.variables),
        classes=list(config.classes),
        weight_expression=config.event_weights,
        split=":".join([*parts, "SplitMode=Random", f"SplitSeed={config.seed or 1}", "NormMode=None", "!V"]),
        trees=[
            FactoryTree(
                path=str(Path(tree.file.path).absolute()),
                tree=tree.name,
                class_name=tree.name,
                weight=weights[tree.name] * config.global_weight_scale,
                friends=[friend.tree_path for friend in class_friends(tree.file.path, tree.name)],
            )
            for tree in sorted(data.trees, key=lambda tree: tree.class_index)
            if tree.num_entries
        ],
        methods=[
            FactoryMethod(type=entry.type, name=entry.name.replace("{fold}", str(fold)), options=entry.options)
            for entry in methods
        ],
    )


class _Root(Trainer):
    """All methods of a fold by ROOT's TMVA, in one process.

    A method that leaves no weights, or whose ONNX graph does not give TMVA's answers, fails alone: the others stay.
    """

    isolated = ("write",)

    def title(self, job: Job) -> str:  # noqa: ARG002
        return "TMVA's methods, model"

    def check(self, job: Job) -> None:
        if job.config.missing is not None:
            raise NtuplemlError(f"{job.where}: missing: TMVA cannot replace missing inputs; use --engine xgboost")
        for key in ("selections", "equal_numbers", "exclude_trained_by", "reweight", "parameters"):
            if getattr(job.config, key):
                raise NtuplemlError(
                    f"{job.where}: {key}: ROOT's TMVA reads the fold files itself, with all their rows as they are; "
                    "use --engine xgboost"
                )

    def more_files(self, job: Job) -> list[Path]:
        return [_output(Path(job.config.output_path), job.fold)]

    def log_path(self, job: Job) -> None:
        """TMVA's own log is kept."""

    def fit(self, job: Job, data: TabularData, staging: Staging) -> list[Fitted]:
        output = Path(job.config.output_path)
        factory = factory_job(job.config, job.fold, job.settings, data)
        with hidden_folder(output, f".fold{job.fold}_tmva-") as folder:
            result = _run(factory, folder, output, job.where)
            for path in (folder / factory.folder).glob("weights/*.xml"):
                _restore_names(path, result.plain_names)
            for produced in (factory.output, factory.folder):
                (folder / produced).replace(staging.folder / produced)
        _log_of_failure(output, factory).unlink(missing_ok=True)
        answers = _output(staging.folder, job.fold)
        split = _split_sizes(job.config, data)
        return [
            _FittedMethod(job, method, booked, result, split, answers)
            for method, booked in zip(job.methods, factory.methods, strict=True)
        ]


ROOT_TMVA = _Root()


def _output(folder: Path, fold: int) -> Path:
    """TMVA's output file, which has its answers for test events."""
    return folder / f"fold{fold}_training.root"


class _FittedMethod(Fitted):
    """A method that TMVA has trained: its weights file is there already."""

    def __init__(
        self, job: Job, method: Method, booked: FactoryMethod, result: FactoryResult, split: SplitSizes, answers: Path
    ) -> None:
        super().__init__(
            method,
            {
                "engine": "tmva",
                "network": {
                    "type": booked.type,
                    "options": booked.options,
                    "roc_integrals": result.roc_integrals.get(booked.name, {}),
                },
                "split": split,
                "versions": {"ROOT": result.root_version},
            },
        )
        self._job, self._answers = job, answers
        self._where = f"{job.where}: tmva method '{method.name}'"

    def write(self, files: ModelFiles, record: TrainingRecord) -> None:
        if not files.model.exists():
            raise NtuplemlError(
                f"{self._where}: TMVA wrote no weights for it; {self.method.type} may not be able to tell "
                f"{len(record.classes)} classes apart, as AnalysisType=Multiclass asks for"
            )
        for label, area in record.network["roc_integrals"].items():
            log.info(
                "%s: %s against the rest, by TMVA's test events: area under the ROC curve %.4f",
                self.method.name,
                label,
                area,
            )

    def graph(self, files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto | None:
        """None for the methods that only TMVA's Reader can evaluate, whose weights stay."""
        from ntupleml.onnx_models.tmva_method import tmva_to_onnx
        from ntupleml.tmva.reading import read_weights

        try:
            method = read_weights(files.model)
        except NtuplemlError as error:
            reason = str(error).removeprefix(f"{files.model}: ")
            log.warning("%s: no ONNX file is made: %s", record.method, reason)
            return None
        return tmva_to_onnx(method, variables=record.variables, record_hash=record_hash(record))

    def check(self, graph: onnx.ModelProto) -> OnnxCheck | None:
        """Compare the graph with the answers that TMVA wrote for its test events."""
        tree = f"{self._answers.stem}/TestTree"
        answers = _answers_of_tmva(self._answers, tree, self.method.name, self._job.config.variables)
        if answers is None:
            log.info("%s: TMVA's file has no answers to compare the ONNX graph with", self.method.name)
            return None
        from ntupleml.onnx_models.sessions import graph_scores

        rows, expected = answers
        return check_difference("ONNX graph", "trained method", graph_scores(graph, rows), expected, self._where)


def _run(job: FactoryJob, folder: Path, output: Path, where: str) -> FactoryResult:
    """Run a job in a folder. TMVA's output goes to a file there, which is kept if the job fails."""
    (folder / job.folder).mkdir()
    printed = folder / job.folder / f"{job.job_name}.log"
    (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    log.info("TMVA trains %s", ", ".join(method.name for method in job.methods))
    with printed.open("w", encoding="utf-8") as file:
        ended = subprocess.run(
            [*_PROGRAM, "job.json", "result.json"], cwd=folder, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    try:
        # ROOT may fail when the process ends, with all the work done.
        return FactoryResult.model_validate_json((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = _COLOURS.sub("", printed.read_text(encoding="utf-8", errors="replace"))
        kept = _log_of_failure(output, job)
        kept.parent.mkdir(parents=True, exist_ok=True)
        printed.replace(kept)
        raise NtuplemlError(f"{where}: TMVA: {_reason(text, ended.returncode)}; its log is {kept}") from None


def _log_of_failure(output: Path, job: FactoryJob) -> Path:
    """Beside the log of an earlier training, which stays with its files."""
    return output / job.folder / f"{job.job_name}_failed.log"


def _restore_names(path: Path, plain_names: Mapping[str, str]) -> None:
    """Write the variables' own names into a weights file where the job had to take others, for Reader to know them."""
    text = path.read_text(encoding="utf-8")
    for name, plain in plain_names.items():
        for attribute in ("Expression", "Label", "Title"):
            text = text.replace(f' {attribute}="{plain}"', f" {attribute}={quoteattr(name)}")
    if plain_names:
        path.write_text(text, encoding="utf-8")


def _reason(text: str, status: int) -> str:
    """Why TMVA ended its process, as far as its output tells."""
    lines = text.splitlines()
    for pattern in (_FATAL, _ROOT_ERROR):
        for line in lines:
            found = pattern.search(line)
            if found:
                return _words(found)
    before = lines[: next((index for index, line in enumerate(lines) if _CRASH.match(line)), len(lines))]
    logged = [_words(found) for found in map(_LOGGED.match, before) if found]
    return f"{_ending(status)}, " + (f"after it said '{logged[-1]}'" if logged else "without a word")


def _words(found: re.Match[str]) -> str:
    return one_line(f"{found['source']}: {found['text']}".lstrip(": "))


def _ending(status: int) -> str:
    """How a process ended: by signal n where its status is −n, as Python has it, or 128 + n, as ROOT and shells do.

    Examples
    --------
    >>> _ending(133), _ending(-11), _ending(3)
    ('it was ended by SIGTRAP', 'it was ended by SIGSEGV', 'it ended with status 3')
    """
    try:
        name = signal.Signals(-status if status < 0 else status - 128).name
    except ValueError:
        return f"it ended with status {status}"
    return f"it was ended by {name}" + (" (the memory may be too small for it)" if name == "SIGKILL" else "")


def _split_sizes(config: TrainingConfig, data: TabularData) -> SplitSizes:
    """TMVA's numbers: it divides each class by itself, rounding down."""
    sizes = np.zeros(len(config.classes), dtype=np.int64)
    for tree in data.trees:
        sizes[tree.class_index] += tree.num_entries
    training = int(np.floor(sizes * config.train_test_split).sum())
    return SplitSizes(training=training, validation=int(sizes.sum()) - training)


def _answers_of_tmva(
    path: Path, tree: str, name: str, variables: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float64]] | None:
    """Inputs and answers for some test events, from TMVA's output file; None where it has none."""
    import uproot

    from ntupleml.tmva.writing import internal_name

    names = [internal_name("".join(variable.split()).partition(":=")[0]) for variable in variables]
    with uproot.open(path) as file:
        if tree not in {key.partition(";")[0] for key in file.keys(recursive=True)}:
            return None
        test: Any = file[tree]
        if not {name, *names} <= set(test.keys(recursive=False)):
            return None
        columns = [test[column].array(entry_stop=CHECKED_EVENTS, library="np") for column in names]
        values = test[name].array(entry_stop=CHECKED_EVENTS, library="np")
    if values.dtype.names is not None:
        values = np.stack([values[label] for label in values.dtype.names], axis=1)
    return np.stack(columns, axis=1).astype(np.float32), values.reshape(len(values), -1).astype(np.float64)
