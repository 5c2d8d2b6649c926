"""The report of a training: every section made, every picture drawn once, one page and the files of its pictures."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.progress import watched
from ntupleml.reports.comparison import LETTERS, compared_trainings
from ntupleml.reports.landing import SUMMARY, summary_text
from ntupleml.reports.page import Section, now, page_of
from ntupleml.reports.page_files import name_of_files, page_and_folder, write_page
from ntupleml.reports.summary import areas_of_methods, summary, title_of
from ntupleml.testing.material import Material, attempt
from ntupleml.testing.registry import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ntupleml.metrics import Verdict
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.steps import Answer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportOptions:
    """What a report holds beside what it always holds, and where it goes."""

    #: The page; by default ``fold{f}_report.html`` in the training's `output_path`.
    output: Path | None = None
    #: Other trainings that are shown beside the first one.
    compare: Sequence[Preparation] = ()
    #: Compute these rankings, in place of showing what is on disk.
    taylor: bool = False
    permutation: bool = False
    #: What the user typed.
    command: str = ""
    #: Whether existing results may be replaced.
    overwrite: bool = False
    #: Write no files of the pictures, only the page and the numbers behind them.
    page_only: bool = False


def write_report(preparation: Preparation, options: ReportOptions) -> tuple[list[Path], list[tuple[str, Verdict]]]:
    """Write the report of a training: one page, and its pictures as files in a folder beside it.

    What cannot be made is said in its place, with the reason, and the rest is made.

    Parameters
    ----------
    preparation : Preparation
        Of all methods that are to be shown; a tolerant one leaves out those that cannot be read.

    Returns
    -------
    list of Path, list of (str, Verdict)
        The files, the page first; and the verdicts of the summary.

    Raises
    ------
    NtuplemlError
        If results exist and must not be overwritten, nothing can be tested, or files cannot be written.
    """
    page_path, folder = report_paths(preparation, options)
    if len(options.compare) >= len(LETTERS):
        raise NtuplemlError(f"--compare: {len(options.compare)} trainings, but at most {len(LETTERS) - 1} are compared")
    for one in (preparation, *options.compare) if options.compare else ():
        if one.training.target is not None:
            raise NtuplemlError(
                f"--compare: {one.training_path}: the target is {one.training.target_kind}, but trainings are "
                "compared by their classes"
            )
    from threadpoolctl import threadpool_limits

    created = now()
    # Threads of the linear algebra only wait for each other, which doubles the cost of the numbers.
    with threadpool_limits(limits=1, user_api="blas"), files_kept_open():
        material = read_material(preparation)
        preparation = replace(preparation, methods=material.methods)  # names of files are those of what is there
        sections = make_sections(material, options, created)
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    title = title_of(material)
    areas = areas_of_methods(material)
    page = page_of(
        title,
        _subtitle(preparation),
        (summary(material, verdicts), *sections),
        created,
    )
    del material
    paths = write_page(
        page,
        page_path,
        folder,
        preparation.testing.plot,
        () if options.page_only else preparation.testing.figures,
        file_name=partial(_file_name, preparation),
        texts={SUMMARY: summary_text(title, created, areas, verdicts)},
        overwrite=options.overwrite,
    )
    return paths, verdicts


def report_paths(preparation: Preparation, options: ReportOptions) -> tuple[Path, Path]:
    """The page, and the folder of its pictures' files."""
    suffix = "" if preparation.condition is None else f"_{preparation.condition}"
    default = Path(preparation.training.output_path) / f"fold{preparation.fold}_report{suffix}.html"
    return page_and_folder(options.output, default, overwrite=options.overwrite)


def _subtitle(preparation: Preparation) -> str:
    era = f", {preparation.condition}" if preparation.condition else ""
    fold = "all folds" if preparation.fold == "all" else f"model {preparation.fold}"
    return f"{preparation.training_path}, {preparation.testing_path}; {fold}{era}"


@files_kept_open()
def read_material(preparation: Preparation) -> Material:
    """Read and score the events."""
    material = Material(preparation, for_page=True)
    if not material.events.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in material.events.left_out.items())
        raise NtuplemlError(f"{preparation.training_path}: no method is left that can be tested: {reasons}")
    log.info("%d events scored by %s", len(material.events), ", ".join(material.events.scores))
    return material


def make_sections(material: Material, options: ReportOptions, created: str) -> list[Section]:
    """A section for each step that applies; one that cannot be made says why."""
    given: dict[str, dict[str, Any]] = {
        "ranking": {"taylor": options.taylor, "permutation": options.permutation},
        "record": {"command": options.command, "created": created},
    }
    makers: dict[str, tuple[str, Callable[[], Answer]]] = {
        name: (step.title, partial(step, material, **given.get(name, {})))
        for name, step in STEPS.items()
        if step.is_shown(material)
    }
    if options.compare:
        title = f"{1 + len(options.compare)} trainings"
        makers = {"comparison": (title, partial(compared_trainings, material, options.compare)), **makers}
    shown = watched(makers.items(), "sections of the report", len(makers))
    return [_section(name, title, make) for name, (title, make) in shown]


def _section(anchor: str, title: str, make: Callable[[], Answer]) -> Section:
    made = attempt(make, title)
    if isinstance(made, Undefined):
        return Section(anchor, title, f"Not made: {made.reason}")
    return Section(anchor, title, made.introduction, made.groups, made.verdicts)


def _file_name(preparation: Preparation, method: str | None, name: str) -> str:
    """Name of a picture's files: as a step of the testing stage would call them."""
    name = name_of_files(method, name)
    if method == "":
        suffix = "" if preparation.condition is None else f"_{preparation.condition}"
        return f"fold{preparation.fold}_{name}{suffix}"
    chosen = preparation if method is None else replace(preparation, methods=[method])
    return chosen.stem(name).name
