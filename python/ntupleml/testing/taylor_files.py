"""The files of Taylor rankings, as htt-ml has them, and reading one back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.taylor import RankedTerm
from ntupleml.plots.pictures import refuse_existing_pictures, write_picture
from ntupleml.testing.preparation import tested_events
from ntupleml.testing.steps import write_step
from ntupleml.testing.taylor import (
    differentiable_method,
    name_of_all,
    ranking_pictures,
    taylor_matrix_picture,
    taylor_names,
    taylor_sums,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ntupleml.metrics.taylor import TaylorRanking
    from ntupleml.testing.preparation import Preparation

log = logging.getLogger(__name__)

_UNDEFINED = "undefined: "


def taylor_files(
    preparation: Preparation,
    *,
    order: int = 2,
    absolute: bool = True,
    most_events: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Rank the terms of the networks' Taylor polynomials, and write tables, pictures and the summary; all or none.

    Parameters
    ----------
    preparation : Preparation
    order : {1, 2, 3}
        Highest order of the derivatives.
    absolute : bool, default: True
        Whether to average the modulus of the derivatives.
    most_events : int, optional
        See `taylor_sums`.
    overwrite : bool, default: False
        Whether existing files may be replaced.

    Returns
    -------
    list of Path
        The files written; the first is the table of all classes.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten (before anything is computed), the method is no Keras network,
        or its events cannot be read.
    """
    differentiable_method(preparation)
    classes = list(preparation.training.classes)
    names = [name_of_all(classes), *classes]
    tables = {f"taylor_{kind}_{name}": (kind, name) for name in names for kind in ("ranking", "1D")}
    summary = summary_path(preparation)
    others = [_with_ending(preparation.stem(table), "txt") for table in tables]
    refuse_existing_pictures(map(preparation.stem, taylor_names(preparation)), overwrite=overwrite)
    _refuse_existing([*others, summary], overwrite=overwrite)
    sums = taylor_sums(preparation, tested_events(preparation), order, absolute=absolute, most_events=most_events)
    rankings = sums.rankings()
    with all_or_none():
        for path, (kind, name) in zip(others, tables.values(), strict=True):
            _write_table(rankings[name] if kind == "ranking" else rankings[name].of_order(1), path, overwrite)
        _write_summary(rankings[names[0]], summary, overwrite)
        pictures = [
            path
            for picture in ranking_pictures(sums, rankings)
            for path in write_picture(
                picture, preparation.stem(picture.name), preparation.testing.plot, overwrite=overwrite
            )
        ]
    paths = [*others, summary, *pictures]
    log.info("%d files written to %s", len(paths), preparation.training.output_path)
    return paths


def summary_path(preparation: Preparation) -> Path:
    """Where `taylor_files` writes the ranking of all classes, which `read_taylor_ranking` reads."""
    return _with_ending(preparation.stem("taylor_ranking"), "yaml")


def taylor_matrix_files(
    preparation: Preparation,
    *,
    absolute: bool = True,
    normalised: bool = False,
    most_events: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the coefficients of first order by class and input as a matrix; all files or none.

    Parameters
    ----------
    preparation : Preparation
    absolute, most_events, overwrite
        As for `taylor_files`.
    normalised : bool, default: False
        Whether to divide each row by its sum.

    Raises
    ------
    NtuplemlError
        As `taylor_files`.
    """
    differentiable_method(preparation)

    def make() -> list[Any]:
        sums = taylor_sums(preparation, tested_events(preparation), 1, absolute=absolute, most_events=most_events)
        return [taylor_matrix_picture(sums, normalised=normalised)]

    return write_step(preparation, ["taylor_1D"], make, overwrite=overwrite)


def _with_ending(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}.{ending}")


def _refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")


def _write_table(ranking: TaylorRanking, path: Path, overwrite: bool) -> None:
    """Rank from 0, label and coefficient of each term, in columns as htt-ml has them."""
    lines = [f"{rank:<4} : {term.label:<60} : {_number(term)}\n" for rank, term in enumerate(ranking.terms)]
    with replace_file(path, overwrite=overwrite) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def _number(term: RankedTerm) -> str:
    coefficient = term.coefficient
    return f"{coefficient.value:g}" if isinstance(coefficient, Measurement) else str(coefficient)


def _write_summary(ranking: TaylorRanking, path: Path, overwrite: bool) -> None:
    """A list of variables and score, as htt-ml has it, with the uncertainty beside them."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    with replace_file(path, overwrite=overwrite) as temporary:
        text = yaml.dump(ranking.to_list(), Dumper=dumper, default_flow_style=False, allow_unicode=True)
        temporary.write_text(text, encoding="utf-8")


def read_taylor_ranking(path: str | Path) -> list[RankedTerm]:
    """Read back ``fold{f}_keras_taylor_ranking.yaml``, ours or htt-ml's.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of RankedTerm
        In rank order. In htt-ml's files, which have none, uncertainties are 0.

    Raises
    ------
    NtuplemlError
        If there is no such file, or it is something else.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; testing/keras_taylor_ranking.py writes it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NtuplemlError(f"{path}: not a Taylor ranking: {one_line(error)}") from None
    if not isinstance(content, list):
        raise NtuplemlError(f"{path}: not a Taylor ranking, which is a list of variables and scores")
    return [_term(entry, f"{path}: entry {number}") for number, entry in enumerate(content)]


def _term(entry: Any, where: str) -> RankedTerm:
    variables = entry.get("variables") if isinstance(entry, dict) else None
    if not isinstance(variables, list) or not variables or not all(isinstance(name, str) for name in variables):
        raise NtuplemlError(f"{where}: not a term of a Taylor ranking: it has no list of variables")
    score, uncertainty = entry.get("score"), entry.get("uncertainty", 0.0)
    if isinstance(score, str) and score.startswith(_UNDEFINED):
        return RankedTerm(tuple(variables), Undefined(score.removeprefix(_UNDEFINED)))
    if not _is_number(score) or not _is_number(uncertainty):
        raise NtuplemlError(f"{where}: not a term of a Taylor ranking: score or uncertainty is not a number")
    return RankedTerm(tuple(variables), Measurement(float(score), float(uncertainty)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def leading_terms(ranking: Sequence[RankedTerm], number: int = 3) -> str:
    """The first terms of a ranking as a text, for the log."""
    return "; ".join(
        f"{term.label}: {value.value:.4g} ± {value.uncertainty:.2g}"
        if isinstance(value := term.coefficient, Measurement)
        else f"{term.label}: {value}"
        for term in ranking[:number]
    )
