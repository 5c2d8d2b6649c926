"""The report of a training: every section made, every picture drawn once, one page and the files of its pictures."""

from __future__ import annotations

import atexit
import gc
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.plots.pictures import write_picture_and_svg
from ntupleml.reports.comparison import two_trainings
from ntupleml.reports.page import Drawn, Page, Section, pictures_of, render
from ntupleml.reports.summary import summary
from ntupleml.testing.material import Material, attempt
from ntupleml.testing.registry import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ntupleml.metrics import Verdict
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.steps import Answer

log = logging.getLogger(__name__)

#: Pictures whose garbage is collected together.
_PICTURES_PER_COLLECTION = 100


@dataclass(frozen=True)
class ReportOptions:
    """What a report holds beside what it always holds, and where it goes."""

    #: The page; by default ``fold{f}_report.html`` in the training's `output_path`.
    output: Path | None = None
    #: A second training that is shown beside the first one.
    compare: Preparation | None = None
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
    page_path, folder = report_paths(preparation, options.output)
    for one in () if options.compare is None else (preparation, options.compare):
        if one.training.target is not None:
            raise NtuplemlError(
                f"--compare: {one.training_path}: the target is {one.training.target_kind}, but two trainings are "
                "compared by their classes"
            )
    _refuse_existing(page_path, folder, overwrite=options.overwrite)
    from threadpoolctl import threadpool_limits

    created = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    # Threads of the linear algebra only wait for each other, which doubles the cost of the numbers.
    with threadpool_limits(limits=1, user_api="blas"), files_kept_open():
        material = read_material(preparation)
        preparation = replace(preparation, methods=material.methods)  # names of files are those of what is there
        sections = make_sections(material, options, created)
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    page = Page(
        f"Report of {preparation.training.output_path}",
        _subtitle(preparation, created),
        (summary(material, verdicts), *sections),
        f"Made by ntupleml on {created}. This file needs no other one and no network.",
    )
    del material
    with all_or_none():
        drawn, paths = _draw(page, preparation, folder, options)
        with replace_file(page_path, overwrite=options.overwrite) as temporary:
            temporary.write_text(render(page, drawn), encoding="utf-8")
    log.info("%s: %d pictures, and their files in %s", page_path, len(drawn), folder)
    return [page_path, *paths], verdicts


def report_paths(preparation: Preparation, output: Path | None) -> tuple[Path, Path]:
    """The page, and the folder of its pictures' files: its name without the ending."""
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise NtuplemlError(f"--output {output}: a page is written; give it a name that ends with .html")
    suffix = "" if preparation.condition is None else f"_{preparation.condition}"
    default = Path(preparation.training.output_path) / f"fold{preparation.fold}_report{suffix}.html"
    page = default if output is None else output
    return page, page.with_suffix("")


def _refuse_existing(page: Path, folder: Path, *, overwrite: bool) -> None:
    if overwrite:
        return
    if page.exists():
        raise NtuplemlError(f"{page}: exists already; give --overwrite to replace it")
    if folder.is_dir() and any(folder.iterdir()):
        raise NtuplemlError(f"{folder}: holds files already; give --overwrite to replace those of the report")


def _subtitle(preparation: Preparation, created: str) -> str:
    era = f", {preparation.condition}" if preparation.condition else ""
    fold = "all folds" if preparation.fold == "all" else f"model {preparation.fold}"
    return f"{preparation.training_path}, {preparation.testing_path}; {fold}{era}; {created}"


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
        if step.on_page and material.target in step.targets
    }
    if options.compare is not None:
        makers = {"comparison": ("Two trainings", partial(two_trainings, material, options.compare)), **makers}
    return [_section(name, title, make) for name, (title, make) in makers.items()]


def _section(anchor: str, title: str, make: Callable[[], Answer]) -> Section:
    made = attempt(make, title)
    if isinstance(made, Undefined):
        return Section(anchor, title, f"Not made: {made.reason}")
    return Section(anchor, title, made.introduction, made.groups, made.verdicts)


def _draw(
    page: Page, preparation: Preparation, folder: Path, options: ReportOptions
) -> tuple[dict[tuple[str, int, int], Drawn], list[Path]]:
    """Draw every picture once: SVG for the page, and files unless only the page is wanted."""
    drawn: dict[tuple[str, int, int], Drawn] = {}
    paths: list[Path] = []
    wanted = [(section, *found) for section in page.sections for found in pictures_of(section)]
    with _rare_garbage_collection() as collect:
        for section, index, number, group, picture in wanted:
            stem = folder / _file_name(preparation, group.method, picture.name)
            prefix = f"{section.anchor}{index}-{number}"
            written, element = write_picture_and_svg(
                picture,
                stem,
                preparation.testing.plot,
                prefix,
                overwrite=options.overwrite,
                formats=() if options.page_only else preparation.testing.figures,
            )
            paths += written
            drawn[(section.anchor, index, number)] = Drawn(element, (f"{folder.name}/{stem.name}",))
            if len(drawn) % _PICTURES_PER_COLLECTION == 0:
                collect()
    return drawn, paths


@contextmanager
def _rare_garbage_collection() -> Iterator[Callable[[], object]]:
    """Collect the garbage of figures only when asked to: Python alone would spend a third of the time on it."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()  # what is there already is not looked at
    atexit.register(gc.freeze)  # nor what is left when the process ends, which takes as long as 20 figures
    try:
        yield gc.collect
    finally:
        gc.freeze()  # together: what is there is old, and looked at when Python next looks at everything
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _file_name(preparation: Preparation, method: str | None, name: str) -> str:
    """Name of a picture's files: as a step of the testing stage would call them."""
    name = re.sub(r"[^\w.+-]", "_", name)  # names of classes may hold anything
    if method == "":
        suffix = "" if preparation.condition is None else f"_{preparation.condition}"
        return f"fold{preparation.fold}_{name}{suffix}"
    chosen = preparation if method is None else replace(preparation, methods=[method])
    return chosen.stem(name).name
