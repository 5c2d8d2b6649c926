"""Files of scalers: JSON, plain text that any program reads; pickles, as htt-ml's scripts write and read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.preprocessing.pickles import LARGEST_FILE, read_pickle
from ntupleml.preprocessing.scaler_numbers import LAYOUTS, ScalerNumbers, numbers_of, scaler_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.preprocessing.scalers import Scaler

#: What the files call themselves, and the newest version that is read and written.
FORMAT, FORMAT_VERSION = "ntupleml scaler", 1


def write_preprocessing(path: str | Path, scaler: Scaler | Mapping[str, Scaler], *, overwrite: bool = False) -> None:
    """Write a scaler, or a dict of them by group, complete or not at all.

    Parameters
    ----------
    path : path
        JSON; or, where its name ends in ``.pickle``, a pickle that plain scikit-learn reads.

    Raises
    ------
    NtuplemlError
        If the file exists and is not to be overwritten, or the folder cannot be written to.
    """
    with replace_file(path, overwrite=overwrite) as temporary:
        if _is_json(path):
            temporary.write_text(_json(scaler), encoding="utf-8")
        else:
            import pickle

            temporary.write_bytes(pickle.dumps(scaler, protocol=4))


def load_preprocessing(path: str | Path, num_variables: int | None = None) -> Scaler:
    """Read a scaler without running anything in the file.

    Parameters
    ----------
    path : path
        JSON as `write_preprocessing` writes it, or a pickle that holds a `StandardScaler`, `RobustScaler`,
        `MinMaxScaler` or `QuantileTransformer` of any version of scikit-learn, also one pickled by Python 2.
    num_variables : int, optional
        Number of variables that it must be fitted to.

    Raises
    ------
    NtuplemlError
        If there is no such file, it is damaged, it names any other class or function, it holds something else than
        one fitted scaler, or the scaler is fitted to another number of variables.
    """
    found = _content(path)
    if isinstance(found, dict):
        raise NtuplemlError(
            f"{path}: holds scalers of the groups {one_line(', '.join(map(str, found)), 200)}, but this is for models "
            "of numbers alone, listed as variables in the training config"
        )
    return scaler_of(found, str(path), num_variables)


def load_scalers(path: str | Path, groups: Mapping[str, int | None]) -> dict[str, Scaler]:
    """Read the scalers of groups of inputs; one alone is that of the one group.

    Parameters
    ----------
    path : path
        As for `load_preprocessing`, or with several such scalers by the names of the groups.
    groups : mapping of str to int or None
        Number of variables of each group, where it is known.

    Raises
    ------
    NtuplemlError
        As `load_preprocessing`, and for scalers of other groups.
    """
    content = _content(path)
    found = content if isinstance(content, dict) else dict.fromkeys(groups if len(groups) == 1 else (), content)
    names = sorted(map(str, found))
    if names != sorted(groups):
        held = f"the groups {', '.join(names)}" if names else "one group"
        raise NtuplemlError(
            f"{path}: holds scalers of {one_line(held, 200)}, but the model has {', '.join(groups)}; take the "
            "preprocessing that was written with the model"
        )
    return {name: scaler_of(found.get(name), f"{path}: '{name}'", number) for name, number in groups.items()}


def _is_json(path: str | Path) -> bool:
    return Path(path).suffix == ".json"


def _content(path: str | Path) -> object:
    return _read_json(path) if _is_json(path) else read_pickle(path)


def _json(scaler: Scaler | Mapping[str, Scaler]) -> str:
    content: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    if isinstance(scaler, dict):
        content["scalers"] = {name: _described(one) for name, one in scaler.items()}
    else:
        content["scaler"] = _described(scaler)
    return json.dumps(content, indent=1, default=np.ndarray.tolist, ensure_ascii=False, allow_nan=False) + "\n"


def _described(scaler: Scaler) -> dict[str, Any]:
    name, attributes = numbers_of(scaler)
    return {"class": name, **attributes}


def _read_json(path: str | Path) -> object:
    """What a JSON file holds: one scaler as plain data, or a dict of them by the names of groups."""
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise NtuplemlError(f"{path}: too large for the file of a scaler")
        content = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; it is written by the training, beside the model") from None
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError) as error:
        raise NtuplemlError(f"{path}: not the file of a scaler, or damaged: {one_line(error)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise NtuplemlError(f"{path}: not the file of a scaler: it has no format '{FORMAT}'")
    version = content.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise NtuplemlError(
            f"{path}: written in format {one_line(version, 30)}, but this ntupleml reads formats up to "
            f"{FORMAT_VERSION}; update it"
        )
    several = content.get("scalers")
    if isinstance(several, dict):
        return {name: _numbers(one, path) for name, one in several.items()}
    return _numbers(content.get("scaler"), path)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("two members of one name in a block")
    return members


def _numbers(described: object, path: str | Path) -> ScalerNumbers:
    """A described scaler, its lists of numbers as arrays."""
    if not isinstance(described, dict):
        raise NtuplemlError(f"{path}: damaged: it holds no scaler")
    name = described.get("class")
    if not isinstance(name, str) or name not in LAYOUTS:
        found = one_line(name, 60)
        raise NtuplemlError(f"{path}: holds a '{found}', which is no scaler{did_you_mean(found, LAYOUTS)}")
    layout = LAYOUTS[name]
    attributes = {}
    for key, value in described.items():
        if isinstance(value, list):
            attributes[key] = tuple(value) if key in layout.parameters else _array(value, key, path)
        else:
            attributes[key] = value
    return ScalerNumbers(name, attributes)


def _array(values: list[Any], name: str, path: str | Path) -> object:
    try:
        array = np.array(values)
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise NtuplemlError(f"{path}: damaged: its '{one_line(name, 60)}' is not a list of numbers")
    return array
