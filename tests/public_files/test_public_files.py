"""Each kind of file passes through each step: what is in it is used as ROOT reads it, or refused in one line.

The steps are inspection, fold files, scores in place and scores in friends.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.application import Plan, make_plan
from ntupleml.application.friend_trees import write_planned_friends
from ntupleml.application.in_place import append_planned_scores
from ntupleml.config import DatasetConfig
from ntupleml.datasets import create_training_dataset
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.inspection import inspect_tree, list_trees

from .kinds import ALL_KINDS, Kind

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .conftest import RootProcess

    CopyOf = Callable[[Kind], Path]


def make_weights_plan(
    weights: list[Any], *, dataset_path: Any = None, application_path: Any = None, **options: Any
) -> Plan:
    """Plan of weights files alone."""
    return make_plan(dataset_path, None, application_path, kind="weights", weights=weights, **options)


SCORE = "ml_score_line"
EVERY_KIND = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in ALL_KINDS if not kind.slow])
SLOW_ONES_TOO = pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=kind.name, marks=[pytest.mark.slow] if kind.slow else []) for kind in ALL_KINDS]
)


def common(kind: Kind) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """x and event of all entries, by the formulas that filled them."""
    number = np.arange(kind.entries)
    return (0.25 * number - 5).astype("f4"), 1000 + 7 * number


def numbers_of(kind: Kind, path: Path, root_process: RootProcess) -> dict[str, NDArray[np.float64]]:
    """What the formulas of a kind give in each entry, NaN where they have no value: by ROOT, or as they were filled."""
    found = {}
    answers = root_process.evaluate(path, kind.tree, list(kind.formulas)) if kind.formulas else {}
    for formula, values in answers.items():
        assert values is not None, f"ROOT has no formula '{formula}'"
        found[formula] = np.array([row[0] if row else np.nan for row in values], dtype="f8")
    for formula, value in kind.values.items():
        found[formula] = np.array([value(entry) for entry in range(kind.entries)], dtype="f8")
    return found


def by_root(kind: Kind, path: Path, names: list[str], root_process: RootProcess) -> dict[str, list[list[float]]]:
    """Values of branches as TTreeFormula reads them, of those that it can address and that are the same on disk."""
    if not (kind.is_tree and kind.root_reads):
        return {}
    names = [name for name in names if not name.endswith("fAllBits")]  # of a TBits it sees the first byte only
    answers = root_process.evaluate(path, kind.tree, names)
    return {name: values for name, values in answers.items() if values is not None}


def require_refused(step: Callable[[], object], what: str) -> None:
    """Check that a step ends in one line that says what is wrong."""
    with pytest.raises(NtuplemlError) as caught:
        step()
    assert "\n" not in str(caught.value)
    assert what in str(caught.value)


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def arrays_by_uproot(path: Path, tree_path: str) -> dict[str, str]:
    """All branches but the score as uproot reads them, or the kind of its failure."""
    found: dict[str, str] = {}
    with uproot.open(path) as file:
        for number, (name, branch) in enumerate(file[tree_path].iteritems(full_paths=True)):
            if name == SCORE:
                continue
            try:
                found[f"{number} {name}"] = re.sub(" at 0x[0-9a-f]+", "", repr(branch.array(library="np").tolist()))
            except Exception as error:
                found[f"{number} {name}"] = type(error).__name__
    return found


# Inspection ----------------------------------------------------------------------------------------------------------


@EVERY_KIND
def test_inspection_shows_what_root_reads(kind: Kind, copy_of: CopyOf, root_process: RootProcess) -> None:
    path = copy_of(kind)
    if kind.refused:
        require_refused(lambda: inspect_tree(path, kind.tree), kind.refused)
        return
    tree = next(tree for tree in list_trees(path) if tree.tree_path == kind.tree)
    assert tree.num_entries == kind.entries
    contents = {content.branch.name: content for content in inspect_tree(path, kind.tree)}
    x, event = common(kind)
    for name, values in (("x", x), ("event", event)):
        content = contents[name]
        assert content.num_values == kind.entries
        if kind.entries:
            assert (content.minimum, content.maximum) == (values.min(), values.max())
    readable = [name for name, content in contents.items() if content.is_readable]
    answers = by_root(kind, path, readable, root_process)
    for name in answers:
        values = np.array([value for row in answers[name] or [] for value in row])
        content = contents[name]
        assert content.num_values == len(values), name
        if len(values):
            assert float(content.minimum or 0) == pytest.approx(values.min(), rel=1e-12), name
            assert float(content.maximum or 0) == pytest.approx(values.max(), rel=1e-12), name


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("event_class_split_99", 0, "cannot be read: fBits, jet.fBits, "),
        ("mixed_compression", 0, "cannot be read: d: "),
        ("old_compression", 2, "ntuple"),
    ],
)
def test_the_script_names_what_cannot_be_read(
    name: str,
    status: int,
    expected: str,
    public_files: Path,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_script("dataset/inspect_ntuple.py", public_files / name / f"{name}.root")
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == (status != 0)
    assert expected in (done.stderr if status else done.stdout)


# Fold files ----------------------------------------------------------------------------------------------------------


def dataset_config(kind: Kind, path: Path, cut: str, **keys: Any) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {
            "output_path": str(path.parent / "folds"),
            "output_filename": "dataset.root",
            "base_path": str(path.parent),
            "tree_path": kind.tree,
            "event_branch": "event",
            "processes": {"signal": {"files": [path.name], "cut_string": cut, "weight_string": "2*x"}},
            **keys,
        }
    )


def require_folds(
    kind: Kind, path: Path, selected: NDArray[np.bool_], tree: str = "signal"
) -> dict[int, NDArray[np.int64]]:
    """Check x, event and weight of a tree of the fold files; the entries of each fold."""
    x, event = common(kind)
    entries = {}
    for fold in range(2):
        entries[fold] = np.flatnonzero(selected & (event % 2 == fold))
        with uproot.open(path.parent / "folds" / f"fold{fold}_dataset.root") as file:
            columns = file[tree].arrays(["x", "event", "training_weight"], library="np")
        np.testing.assert_array_equal(columns["event"], event[entries[fold]])
        np.testing.assert_array_equal(columns["x"], x[entries[fold]])
        np.testing.assert_array_equal(columns["training_weight"], 2 * x[entries[fold]])
    return entries


@EVERY_KIND
def test_fold_files_hold_all_branches_as_root_reads_them(
    kind: Kind, copy_of: CopyOf, root_process: RootProcess
) -> None:
    path = copy_of(kind)
    before = digest(path.parent)
    x, _ = common(kind)
    config = dataset_config(kind, path, "x > -3")
    reason = kind.refused or kind.all_refused or ("" if kind.entries else "no event")
    if reason:
        require_refused(lambda: create_training_dataset(config), reason)
        config = dataset_config(kind, path, "x > -3", branches=["x", "event"])
    if kind.refused or kind.entries == 0:
        return
    create_training_dataset(config)
    assert digest(path.parent) == before
    entries = require_folds(kind, path, x > -3)
    for fold, kept in entries.items():
        with uproot.open(path.parent / "folds" / f"fold{fold}_dataset.root") as file:
            copied = {name: branch.array() for name, branch in file["signal"].iteritems(full_paths=False)}
        assert not set(kind.unusable) & set(copied)
        del copied["training_weight"]
        for name, values in by_root(kind, path, list(copied), root_process).items():
            expected = [value for entry in kept for value in values[entry]]
            found = np.ravel(ak.to_numpy(ak.flatten(copied[name], axis=None))).astype("f8")
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=name)


@EVERY_KIND
def test_cuts_and_variables_give_what_root_gives(kind: Kind, copy_of: CopyOf, root_process: RootProcess) -> None:
    path = copy_of(kind)
    numbers = numbers_of(kind, path, root_process)
    x, event = common(kind)
    for formula in kind.unusable:
        config = dataset_config(kind, path, f"{formula} > 0")
        require_refused(lambda config=config: create_training_dataset(config), re.sub(r".*\(|\[.*|\)", "", formula))
    if not kind.all_formulas or not kind.entries:
        return
    bounds = {formula: largest_bound(x, event, numbers[formula]) for formula in kind.all_formulas}
    cuts = {f"cut{index}": f"x > -3 && {text} >= {bound!r}" for index, (text, bound) in enumerate(bounds.items())}
    processes = {name: {"files": [path.name], "cut_string": cut, "weight_string": "2*x"} for name, cut in cuts.items()}
    variables = ["x", *kind.all_formulas]
    create_training_dataset(
        dataset_config(kind, path, "1", processes=processes, branches="needed", variables=variables)
    )
    for name, (formula, bound) in zip(processes, bounds.items(), strict=True):
        require_folds(kind, path, (x > -3) & (numbers[formula] >= bound), name)


def largest_bound(x: NDArray[np.float32], event: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Largest value such that both folds have an event with x > -3 and this value or a larger one."""
    return float(min(np.nanmax(values[(x > -3) & (event % 2 == fold)]) for fold in range(2)))


# Scores --------------------------------------------------------------------------------------------------------------

_XML = """<?xml version="1.0"?>
<MethodSetup Method="Fisher::line">
  <GeneralInfo>
    <Info name="TMVA Release" value="4.2.1 [262657]"/>
    <Info name="ROOT Release" value="6.30/04 [401924]"/>
    <Info name="AnalysisType" value="Classification"/>
  </GeneralInfo>
  <Options><Option name="Method" modified="Yes">Fisher</Option></Options>
  <Variables NVar="{number}">{variables}</Variables>
  <Spectators NSpec="0"/>
  <Classes NClass="2"><Class Name="Signal" Index="0"/><Class Name="Background" Index="1"/></Classes>
  <Transformations NTransformations="0"/>
  <MVAPdfs/>
  <Weights NCoeff="{coefficients}">{weights}</Weights>
</MethodSetup>
"""
_VARIABLE = (
    '<Variable VarIndex="{0}" Expression="{1}" Label="v{0}" Title="v{0}" Unit="" Internal="v{0}" Type="F" Min="0" '
    'Max="1"/>'
)


def write_line(path: Path, variables: Sequence[str]) -> Path:
    """Weights of a Fisher discriminant: 0.5 plus the sum of the variables, the j-th divided by j + 1."""
    weights = [0.5, *(1 / (number + 1) for number in range(len(variables)))]
    path.write_text(
        _XML.format(
            number=len(variables),
            variables="".join(_VARIABLE.format(number, text) for number, text in enumerate(variables)),
            coefficients=len(weights),
            weights="".join(
                f'<Coefficient Index="{number}" Value="{value!r}"/>' for number, value in enumerate(weights)
            ),
        )
    )
    return path


def expected_scores(kind: Kind, numbers: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """By the definition of the discriminant, −999 where a variable is NaN."""
    x, _ = common(kind)
    columns = [x, *(numbers[formula] for formula in kind.all_formulas)]
    scores = 0.5 + sum(column.astype("f4").astype("f8") / (index + 1) for index, column in enumerate(columns))
    return np.where(np.isnan(scores), -999, scores)


def require_scores(path: Path, tree: str, expected: NDArray[np.float64]) -> None:
    with uproot.open(path) as file:
        found = file[tree][SCORE].array(library="np")
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-5)


@SLOW_ONES_TOO
def test_scores_in_place_leave_all_else_as_it_was(
    kind: Kind, copy_of: CopyOf, root_process: RootProcess, tmp_path: Path
) -> None:
    path = copy_of(kind)
    numbers = numbers_of(kind, path, root_process)
    plan = make_weights_plan([write_line(tmp_path / "line.xml", ["x", *kind.all_formulas])], event_branch="event")
    if kind.refused or kind.not_in_place:
        before = digest(path.parent)
        require_refused(lambda: append_planned_scores(plan, path, kind.tree), kind.refused or kind.not_in_place)
        assert digest(path.parent) == before
        return
    contents, files = contents_of(kind, path, root_process), set(path.parent.iterdir())
    append_planned_scores(plan, path, kind.tree)
    require_appended(kind, path, contents, expected_scores(kind, numbers), root_process)
    assert set(path.parent.iterdir()) == files


class Contents(NamedTuple):
    """All that is in a file as ROOT and as uproot read it."""

    by_root: dict[str, str]
    by_uproot: dict[str, str]


def contents_of(kind: Kind, path: Path, root_process: RootProcess) -> Contents:
    by_root = root_process.describe(path, kind.tree, SCORE, values=kind.root_reads)
    return Contents(by_root, arrays_by_uproot(path, kind.tree))


def require_appended(
    kind: Kind, path: Path, before: Contents, scores: NDArray[np.float64], root_process: RootProcess
) -> None:
    """Check that a file has the scores, as uproot and ROOT read them, and all else as before."""
    require_scores(path, kind.tree, scores)
    by_root = root_process.evaluate(path, kind.tree, [SCORE])[SCORE]
    np.testing.assert_allclose(np.ravel(by_root or []), scores, rtol=3e-6, atol=1e-5)
    after = contents_of(kind, path, root_process)
    assert {name: after.by_root.get(name) for name in before.by_root} == before.by_root
    assert [name for name in after.by_root.keys() - before.by_root.keys() if not name.startswith("(class)")] == []
    assert after.by_uproot == before.by_uproot


@EVERY_KIND
def test_friends_hold_a_score_for_each_event(
    kind: Kind, copy_of: CopyOf, root_process: RootProcess, tmp_path: Path
) -> None:
    path = copy_of(kind)
    numbers = numbers_of(kind, path, root_process)
    plan = make_weights_plan(
        [write_line(tmp_path / "line.xml", ["x", *kind.all_formulas])],
        event_branch="event",
        output_directory=str(tmp_path / "friends"),
    )
    before = digest(path.parent)
    if kind.refused:
        require_refused(lambda: write_planned_friends(plan, [path], kind.tree), kind.refused)
        assert not (tmp_path / "friends").exists()
        return
    (friend,) = write_planned_friends(plan, [path], kind.tree)
    require_scores(friend, kind.tree, expected_scores(kind, numbers))
    with uproot.open(friend) as file:
        np.testing.assert_array_equal(file[kind.tree]["event"].array(library="np"), common(kind)[1])
    assert digest(path.parent) == before


# Several files -------------------------------------------------------------------------------------------------------

IN_ONE_RUN = [kind for kind in ALL_KINDS if kind.tree == "ntuple" and not kind.slow]


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1])
def test_scores_in_place_of_all_kinds_in_one_run(
    order: int,
    copy_of: CopyOf,
    root_process: RootProcess,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """What one file leaves in the process makes no difference to the next; those that are refused are named."""
    kinds = IN_ONE_RUN[::order]
    paths = {kind.name: copy_of(kind) for kind in kinds}
    before = {path: path.read_bytes() for path in paths.values()}
    usable = [kind for kind in kinds if not (kind.refused or kind.not_in_place)]
    contents = {kind.name: contents_of(kind, paths[kind.name], root_process) for kind in usable}
    done = run_script(
        "application/TMVA_application.py",
        *("--weights", write_line(tmp_path / "line.xml", ["x"]), "--variables-from-xml", "--event-branch", "event"),
        *paths.values(),
        "ntuple",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for kind in kinds:
        path = paths[kind.name]
        if kind in usable:
            require_appended(kind, path, contents[kind.name], 0.5 + common(kind)[0], root_process)
        else:
            assert path.read_bytes() == before[path]
            assert f"{path}: " in done.stderr


@pytest.mark.parametrize("order", [1, -1])
def test_fold_files_of_all_kinds_in_one_run(order: int, copy_of: CopyOf, tmp_path: Path) -> None:
    kinds = [kind for kind in IN_ONE_RUN if kind.entries and not kind.refused][::order]
    processes = {
        kind.name: {"files": [str(copy_of(kind))], "cut_string": "x > -3", "class": kind.name} for kind in kinds
    }
    keys = {"processes": processes, "branches": ["x"]}
    create_training_dataset(dataset_config(kinds[0], tmp_path / "unused.root", "1", **keys))
    for kind in kinds:
        x, event = common(kind)
        for fold in range(2):
            with uproot.open(tmp_path / "folds" / f"fold{fold}_dataset.root") as file:
                columns = file[kind.name].arrays(["x", "event"], library="np")
            selected = (x > -3) & (event % 2 == fold)
            np.testing.assert_array_equal(columns["event"], event[selected], err_msg=kind.name)
            np.testing.assert_array_equal(columns["x"], x[selected], err_msg=kind.name)
