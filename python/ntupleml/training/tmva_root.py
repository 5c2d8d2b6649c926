"""Training by ROOT's TMVA: the job for the process that runs it, and what becomes of its files."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ntupleml.artifacts import TMVA_JOB, Method, OnnxCheck, SplitSizes, model_files, record_hash
from ntupleml.datasets.fold_trees import class_friends
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.tmva.factory import FactoryJob, FactoryMethod, FactoryResult, FactoryTree
from ntupleml.training.data import CHECKED_EVENTS
from ntupleml.training.record_parts import log_contents, log_training, training_record
from ntupleml.training.tabular_data import load_tabular_data
from ntupleml.training.tmva_outputs import TrainedMethods, check_difference, finish_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.training import TmvaMethodConfig
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
    config : TrainingConfig
    fold : int
        Index of the model; the trees are those of all folds that it is trained on.
    methods : sequence of TmvaMethodConfig
    data : TabularData
        For the trees of the fold files.
    """
    weights = config.class_weights_of(None)
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


def train_with_tmva(
    config: TrainingConfig, fold: int, methods: Sequence[TmvaMethodConfig], *, overwrite: bool, where: str
) -> TrainedMethods:
    """Train the methods of a fold by ROOT's TMVA, and add ONNX files and records to its files.

    A method that leaves no weights, or whose ONNX graph does not give TMVA's answers, fails alone: the others stay.

    Raises
    ------
    NtuplemlError
        With TMVA's own words if it ends the job; and if outputs exist that are not to be overwritten.
    """
    if config.missing is not None:
        raise NtuplemlError(f"{where}: missing: TMVA cannot replace missing inputs; use --engine xgboost")
    output = Path(config.output_path)
    final = output / f"fold{fold}_training.root"
    if final.exists() and not overwrite:
        raise NtuplemlError(f"{final}: exists already; give --overwrite to train anew")
    log_training(fold, config.num_folds, "TMVA's methods, model")
    data = load_tabular_data(config, fold)
    log_contents(data.trees, data.contents)
    job = factory_job(config, fold, methods, data)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=f".fold{fold}-") as name:
        folder = Path(name)
        result = _run(job, folder, output, where)
        for path in (folder / job.folder).glob("weights/*.xml"):
            _restore_names(path, result.plain_names)
        trained = TrainedMethods([], [])
        for entry in zip(methods, job.methods, strict=True):
            try:
                trained.records.append(_finish_method(config, fold, entry, data, folder, result, where))
            except NtuplemlError as error:
                trained.failures.append(str(error))
                _remove_method(folder, fold, entry[1])
        if trained.records:
            _put_in_place(folder, output, job)
            log.info("written: %s and %s", final, output / job.folder / "weights")
    return trained


def _run(job: FactoryJob, folder: Path, output: Path, where: str) -> FactoryResult:
    """Run a job in a folder; what TMVA prints goes to a file of the folder, and stays in the output if it fails."""
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


def _finish_method(
    config: TrainingConfig,
    fold: int,
    entry: tuple[TmvaMethodConfig, FactoryMethod],
    data: TabularData,
    folder: Path,
    result: FactoryResult,
    where: str,
) -> TrainingRecord:
    """Write the ONNX file and the record of a method beside its weights."""
    booked = entry[1]
    files = model_files(folder, fold, Method("tmva", booked.name, booked.type))
    if not files.model.exists():
        raise NtuplemlError(
            f"{where}: tmva method '{booked.name}': TMVA wrote no weights for it; {booked.type} may not be able to "
            f"tell {len(config.classes)} classes apart, as AnalysisType=Multiclass asks for"
        )
    record = training_record(
        config,
        fold,
        data.trees,
        data.contents,
        engine="tmva",
        method=booked.name,
        preprocessing="none",
        network={
            "type": booked.type,
            "options": booked.options,
            "roc_integrals": result.roc_integrals.get(booked.name, {}),
        },
        split=_split_sizes(config, data),
    )
    record = record.model_copy(update={"versions": {**record.versions, "ROOT": result.root_version}})
    graph = _write_onnx(files, record)
    for label, area in record.network["roc_integrals"].items():
        log.info(
            "%s: %s against the rest, by TMVA's test events: area under the ROC curve %.4f", booked.name, label, area
        )
    if graph is None:
        return finish_record(record, files, None)
    check = _compare(graph, folder / f"fold{fold}_training.root", fold, booked.name, config, where)
    return finish_record(record, files, check)


def _remove_method(folder: Path, fold: int, booked: FactoryMethod) -> None:
    """Take a method's files out of what is put in place: weights, ONNX file, and TMVA's code in C++."""
    model = model_files(folder, fold, Method("tmva", booked.name, booked.type)).model
    for path in model.parent.glob("*"):
        if path.name.startswith(model.name.removesuffix("weights.xml")):
            path.unlink()


def _write_onnx(files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto | None:
    """Convert the weights; None for the methods that only TMVA's Reader can evaluate, whose weights stay."""
    from ntupleml.onnx_models.files import write_onnx
    from ntupleml.onnx_models.tmva_method import tmva_to_onnx
    from ntupleml.tmva.reading import read_weights

    try:
        method = read_weights(files.model)
    except NtuplemlError as error:
        log.warning("%s: no ONNX file is made: %s", record.method, str(error).removeprefix(f"{files.model}: "))
        return None
    graph = tmva_to_onnx(method, variables=record.variables, record_hash=record_hash(record))
    write_onnx(files.onnx, graph)
    return graph


def _split_sizes(config: TrainingConfig, data: TabularData) -> SplitSizes:
    """TMVA's numbers: it divides each class by itself, rounding down."""
    sizes = np.zeros(len(config.classes), dtype=np.int64)
    for tree in data.trees:
        sizes[tree.class_index] += tree.num_entries
    training = int(np.floor(sizes * config.train_test_split).sum())
    return SplitSizes(training=training, validation=int(sizes.sum()) - training)


def _compare(
    graph: onnx.ModelProto, output: Path, fold: int, name: str, config: TrainingConfig, where: str
) -> OnnxCheck | None:
    """Compare the graph with the answers that TMVA wrote for its test events."""
    answers = _answers_of_tmva(output, f"fold{fold}_training/TestTree", name, config.variables)
    if answers is None:
        log.info("%s: TMVA's file has no answers to compare the ONNX graph with", name)
        return None
    from ntupleml.onnx_models.sessions import graph_scores

    rows, expected = answers
    return check_difference("ONNX graph", graph_scores(graph, rows), expected, f"{where}: tmva method '{name}'")


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


def _put_in_place(folder: Path, output: Path, job: FactoryJob) -> None:
    """Move the files of a complete training, the record of each method last."""
    produced = [path for path in (folder / job.folder).rglob("*") if path.is_file()]
    for path in [folder / job.output, *sorted(produced, key=lambda path: (path.suffix == ".json", path))]:
        target = output / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    _log_of_failure(output, job).unlink(missing_ok=True)
