"""The files of the confusion matrices: YAML with values and uncertainties, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.artifacts import KERAS
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.plots import FORMATS, figure_paths, save_confusion_matrix
from ntupleml.testing.confusion import REPRESENTATIONS, matrix_content, uncertainty_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import Matrix

__all__ = ["confusion_stems", "refuse_existing_results", "uncertainty_key", "write_confusion", "write_yaml"]


def confusion_stems(
    output_path: str | Path, fold: int | str, condition: str | None, method: str = KERAS.name
) -> dict[str, Path]:
    """Paths without ending of the confusion matrices of a model, or of `all` together, by their names.

    Examples
    --------
    >>> confusion_stems("example", "all", None, "BDT")["standard"].as_posix()
    'example/foldall_BDT_confusion_standard'
    >>> confusion_stems("example", 0, "2018")["purity2"].as_posix()
    'example/fold0_keras_confusion_purity2_2018'
    """
    suffix = "" if condition is None else f"_{condition}"
    return {name: Path(output_path) / f"fold{fold}_{method}_confusion_{name}{suffix}" for name in REPRESENTATIONS}


def refuse_existing_results(stems: Mapping[str, Path], *, overwrite: bool) -> None:
    """Check, before anything is computed, that no result would be overwritten unasked.

    Raises
    ------
    NtuplemlError
        Naming the first file that is there.
    """
    for path in (path for stem in stems.values() for path in figure_paths(stem, [*FORMATS, "yaml"])):
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")


def write_confusion(
    matrices: Mapping[str, Matrix],
    classes: Sequence[str],
    stems: Mapping[str, Path],
    plot: PlotConfig,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write each matrix as YAML, PNG and PDF.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten, or cannot be written.
    """
    paths = []
    for name, matrix in matrices.items():
        paths.append(write_yaml(matrix, classes, figure_paths(stems[name], ["yaml"])[0], overwrite=overwrite))
        label = REPRESENTATIONS[name].label
        paths += save_confusion_matrix(matrix, classes, label, stems[name], plot, overwrite=overwrite)
    return paths


def write_yaml(matrix: Matrix, classes: Sequence[str], path: Path, *, overwrite: bool = False) -> Path:
    """Write the numbers of `matrix_content` as YAML.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, or cannot be written.
    """
    import yaml

    content = matrix_content(matrix, classes)
    with replace_file(path, overwrite=overwrite) as temporary:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        temporary.write_text(f"# true class: predicted class: value; then the same for its uncertainty\n{text}")
    return path
