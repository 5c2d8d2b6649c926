"""What a step of the testing stage is: one question, from tested events to numbers, pictures, tables and verdicts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.notebook_html import image, properties, shown, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import Verdict
    from ntupleml.plots.pictures import Picture, Table
    from ntupleml.testing.material import Material
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)


class Group(NamedTuple):
    """Pictures and tables under one heading."""

    #: Heading; empty for none.
    title: str
    #: Sentences above.
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    #: Method that the files of the pictures are named after; None for several together, "" for none.
    method: str | None = None
    #: Whether it is unfolded when the page is opened.
    is_open: bool = True
    #: Titles and contents of files to be shown as they are.
    texts: tuple[tuple[str, str], ...] = ()
    #: Below the tables; as those of an answer.
    verdicts: tuple[tuple[str, Verdict], ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What a step says of some events."""

    #: What is shown, of which events, and how it is read.
    introduction: str = ""
    groups: tuple[Group, ...] = ()
    #: What it means, by the name of the method or of whatever is judged.
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    #: The typed result, of most steps a dictionary of one for each method.
    numbers: Any = None
    #: Lines for the log.
    remarks: tuple[str, ...] = ()
    #: Texts beside the pictures, by name and ending.
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def by_method(
        cls,
        pictures: Mapping[str, Sequence[Picture]],
        introduction: str = "",
        *,
        numbers: Any = None,
        question: str = "",
        verdicts: Mapping[str, Verdict] | None = None,
        only_first_open: bool = False,
        remarks: Iterable[str] = (),
    ) -> Answer:
        """A group for each method, and the answers to one question."""
        groups = tuple(
            Group(method, (), (), tuple(some), method, is_open=number == 0 or not only_first_open)
            for number, (method, some) in enumerate(pictures.items())
        )
        judged = tuple((f"{question} {method}", verdict) for method, verdict in (verdicts or {}).items())
        return cls(introduction, groups, judged, numbers, tuple(remarks))

    @property
    def pictures(self) -> dict[str, Picture]:
        """All pictures by name; of several methods with pictures of the same names, those of the first."""
        found: dict[str, Picture] = {}
        for group in self.groups:
            for picture in group.pictures:
                found.setdefault(picture.name, picture)
        return found

    def _repr_html_(self) -> str:
        """What notebooks show: verdicts, the first picture with its tables, and the names of the others."""
        from io import BytesIO

        from ntupleml.plots.cells import cell_text

        parts = [table(["question", "verdict"], [(name, one.text) for name, one in self.verdicts])] * bool(
            self.verdicts
        )
        tables = [one for group in self.groups for one in group.tables]
        pictures = self.pictures
        first = next((one for one in pictures.values() if one.draw is not None), None)
        if first is not None:
            png = BytesIO()
            self.figure(first.name).savefig(png, format="png", dpi=70)
            parts.append(image(png.getvalue(), first.caption))
            tables += first.tables
        parts += [
            table(one.header, [[cell_text(cell) for cell in row] for row in one.rows], one.title) for one in tables
        ]
        parts.append(properties({"pictures": list(pictures)}))
        return shown(self.introduction or "Answer of a step", *parts)

    def figure(self, name: str = "", plot: PlotConfig | None = None) -> Figure:
        """Draw a picture, by default the first.

        Raises
        ------
        NtuplemlError
            If there is no picture of this name, naming the nearest.
        """
        from ntupleml.config import PlotConfig
        from ntupleml.plots.pictures import drawn

        pictures = self.pictures
        name = name or next(iter(pictures), "")
        if name not in pictures:
            raise NtuplemlError(f"no picture '{name}'{did_you_mean(name, pictures)}")
        return drawn(pictures[name], plot or PlotConfig())


class Option(NamedTuple):
    """An option or argument of a step's verb, and parameter of its function."""

    #: As a user types it, e.g. ``--repeats``; without hyphens an argument.
    name: str
    help: str
    #: What is typed; a flag takes nothing, a list may be repeated.
    kind: Literal["text", "flag", "list", "number", "not negative", "positive", "at least 2", "choice"] = "text"
    default: Any = None
    metavar: str | None = None
    choices: tuple[int, ...] = ()
    #: By default the name with low lines.
    parameter: str = ""

    @property
    def keyword(self) -> str:
        """Name of the function's parameter."""
        return self.parameter or self.name.strip("-").replace("-", "_").lower()


@dataclass(frozen=True)
class Step:
    """A question of the testing stage."""

    #: Heading on the page.
    title: str
    #: ``module:function`` in `ntupleml.testing`, which takes a `Material` and the options, and gives the `Answer`. It
    #: is imported when it is called.
    function: str
    #: Of the command line; empty where there is none.
    verb: str = ""
    #: What the verb does, in one sentence.
    summary: str = ""
    options: tuple[Option, ...] = ()
    #: What a model must have learnt for this question to make sense.
    targets: tuple[str, ...] = ("classes",)
    #: Whether the report shows it.
    on_page: bool = True
    #: ``module:function`` that says of a `Material` whether the report shows it; it does always where there is none.
    shown_where: str = ""
    #: Whether one picture can show several methods.
    several_methods: bool = False
    #: Whether it takes events in memory, of which there may be a sample.
    sampled: bool = True

    def __call__(self, subject: Material | Preparation | TestedEvents, **options: Any) -> Answer:
        """Answer the question.

        Parameters
        ----------
        subject : Material, Preparation or TestedEvents
            What `prepare` gives, or events that are there already.
        **options
            Those of the step.
        """
        from ntupleml.testing.material import Material

        make = _function(self.function)
        material = subject if isinstance(subject, Material) else Material.of(subject)
        if material.target not in self.targets:
            where = "the events" if material.found is None else material.found.training_path
            needed = " and ".join(self.targets)
            raise NtuplemlError(f"{where}: the target is {material.target}, but '{self.title}' needs {needed}")
        try:
            signature(make).bind(material, **options)
        except TypeError as error:
            raise NtuplemlError(f"{self.title}: {error}") from None
        answer: Answer = make(material, **options)
        return answer

    def is_shown(self, material: Material) -> bool:
        """Whether the report shows it of these models."""
        applies = self.on_page and material.target in self.targets
        return applies and (not self.shown_where or bool(_function(self.shown_where)(material)))


def _function(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(f"ntupleml.testing.{module}"), name)


def write_step(
    step: Step, preparation: Preparation, *, overwrite: bool = False, **options: Any
) -> tuple[list[Path], Answer]:
    """Answer the question of a step and write its files; all or, if anything fails, none.

    Parameters
    ----------
    **options
        Those of the step.

    Returns
    -------
    list of Path, Answer
        The files written, and what is in them.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten (before anything is computed), or cannot be written, and whatever
        the step raises.
    """
    from ntupleml.plots.pictures import write_picture
    from ntupleml.testing.material import Material

    announced: set[Path] = set()

    def announce(names: Iterable[str]) -> None:
        paths = list(_files(preparation, names))
        refuse_existing(paths, overwrite=overwrite)
        announced.update(paths)

    answer = step(Material(preparation, announce), **options)
    paths: list[Path] = []
    with all_or_none():
        for name, text in answer.files.items():
            paths += _files(preparation, [name])
            with replace_file(paths[-1], overwrite=overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
        for picture in answer.pictures.values():
            stem = preparation.stem(picture.name)
            paths += write_picture(picture, stem, preparation.testing.plot, overwrite=overwrite)
        if unexpected := set(paths) - announced:
            raise ValueError(f"files that were not announced: {unexpected}")
    for line in answer.remarks:
        log.info("%s", line)
    return paths, answer


def refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Check, before anything is computed, that nothing would be overwritten unasked."""
    for path in paths:
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")


def _files(preparation: Preparation, names: Iterable[str]) -> Iterator[Path]:
    """Files of pictures by their names, and of texts and numbers alone by names with endings."""
    from ntupleml.plots.pictures import picture_paths
    from ntupleml.plots.style import figure_paths

    for name in names:
        stem, _, ending = name.rpartition(".")
        if ending in ("txt", "yaml", "json"):
            yield from figure_paths(preparation.stem(stem), [ending])
        else:
            yield from picture_paths(preparation.stem(name))
