"""The keys that are searched: checked against the schema of the training config, and put into it with values."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import ValidationError

from ntupleml.artifacts import KERAS, Method, listed_methods
from ntupleml.config import TrainingConfig
from ntupleml.config.loading import first_problem
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.training.driver import checked
from ntupleml.training.jobs import Job, TrainingOptions
from ntupleml.training.keras_training import NETWORKS
from ntupleml.training.listed_methods import listed_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ntupleml.config import SearchedConfig, TuneConfig

log = logging.getLogger(__name__)

#: Keys that cannot be searched: trials that differ in them cannot be compared, or they change no model.
_FIXED = {
    **dict.fromkeys(
        ("datasets", "conditions", "classes", "event_weights", "target", "train_test_split", "seed", "data_seed"),
        "all trials are judged by the same events, weights and truth",
    ),
    **dict.fromkeys(("output_path", "plot", "tune", "cluster", "processes"), "no model depends on it"),
    "ensemble": "a trial is one training; the best settings are worth an ensemble",
    "tmva": "methods of TMVA are not tuned; boosted_trees and scikit_learn are",
}


class Searched(NamedTuple):
    """A training config whose settings are searched."""

    #: Without values of the keys that are searched.
    config: TrainingConfig
    tune: TuneConfig
    method: Method
    #: What messages call the config.
    where: str

    def with_values(self, values: Mapping[str, Any]) -> TrainingConfig:
        """The config with values for the keys.

        Raises
        ------
        NtuplemlError
            If they make no valid config.
        """
        content = self.config.model_dump(exclude_unset=True, by_alias=True, exclude={"tune"})
        for key, value in values.items():
            _put(content, key, value, f"{self.where}: tune")
        try:
            return TrainingConfig.model_validate(content)
        except ValidationError as error:
            raise NtuplemlError(f"{self.where}: tune: {first_problem(error, TrainingConfig)}") from error

    def jobs(self, config: TrainingConfig, folds: Sequence[int], options: TrainingOptions) -> list[Job]:
        """What is trained for a trial."""
        if self.method == KERAS:
            return [Job(NETWORKS, config, fold, (KERAS,), self.where, options) for fold in folds]
        own = replace(options, method=self.method.name)
        return listed_jobs(config, self.method.kind, folds, own, self.where)


def searched(config: TrainingConfig, where: str, folds: Sequence[int], options: TrainingOptions) -> Searched:
    """What a config wants to have searched, checked as far as it can be before anything is trained.

    Raises
    ------
    NtuplemlError
        For a key that no training config has, a value that it cannot take, and where no combination can be trained.
    """
    if config.tune is None:
        raise NtuplemlError(f"{where}: no block tune; say what is searched, e.g. tune: {{model.dropout: [0.0, 0.5]}}")
    for key in config.tune.space:
        root = key.split(".")[0]
        if root not in TrainingConfig.model_fields:
            known = [*TrainingConfig.model_fields, *type(config.tune).model_fields]
            raise NtuplemlError(f"{where}: tune: unknown key '{key}'{did_you_mean(root, known)}")
        if root in _FIXED:
            raise NtuplemlError(f"{where}: tune: '{key}' cannot be searched: {_FIXED[root]}")
    if config.num_members > 1:
        log.info("%s: ensemble: each trial is one training, with the first seed", where)
    config = config.model_copy(update={"ensemble": None})
    assert config.tune is not None
    found = Searched(config, config.tune, _method(config, where), where)
    _check_combinations(found, folds, options)
    return found


def _method(config: TrainingConfig, where: str) -> Method:
    """The method whose settings are searched."""
    assert config.tune is not None
    methods = {one.name: one for one in (*listed_methods(config), KERAS)}
    named = {}
    for key in config.tune.space:
        root, *rest = key.split(".")
        if root in config.listed_methods:
            entries = config.listed_methods[root]
            entry = _entry(entries, rest[0] if rest else "", f"{where}: tune: {key}")
            named[entries[entry].name] = key
        elif root in ("model", "augmentation"):
            named["keras"] = key
    name = config.tune.method or next(iter(named), "keras")
    if name not in methods:
        raise NtuplemlError(f"{where}: tune.method: no method '{name}'{did_you_mean(name, methods)}")
    others = [key for other, key in named.items() if other != name]
    if others:
        raise NtuplemlError(
            f"{where}: tune: '{others[0]}' changes nothing of '{name}', whose settings are searched; one search is of "
            "one method"
        )
    return methods[name]


def _check_combinations(found: Searched, folds: Sequence[int], options: TrainingOptions) -> None:
    """Try the ends of each range and each choice, the other keys at their first values."""
    problems = []
    tried = 0
    for values, key in _probes(found.tune.space):
        tried += 1
        try:
            config = found.with_values(values)
            checked(found.jobs(config, folds[:1], options))
        except NtuplemlError as error:
            cause, keys = error.__cause__, values if key is None else [key]
            if isinstance(cause, ValidationError) and _is_of_a_value(cause, found.config, keys):
                raise
            problems.append(error)
    if len(problems) == tried:
        raise problems[0]


def _probes(space: Mapping[str, SearchedConfig]) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Values to try, and the key whose value is new: None where all are."""
    first = {key: (one.range or one.choices or [])[0] for key, one in space.items()}
    yield first, None
    for key, one in space.items():
        for value in (one.range or one.choices or [])[1:]:
            yield first | {key: value}, key


def _is_of_a_value(error: ValidationError, config: TrainingConfig, keys: Iterable[str]) -> bool:
    """Whether a value is wrong by itself, not by the others that it stands with."""
    places = [".".join(map(str, _located(key, config))) for key in keys]
    for problem in error.errors():
        # names of members of a union, such as `function-after[…]`, stand among the parts
        found = ".".join(str(part) for part in problem["loc"] if "[" not in str(part))
        if problem["type"] == "extra_forbidden" or any(f"{found}.".startswith(f"{place}.") for place in places):
            return True
    return False


def _located(key: str, config: TrainingConfig) -> list[str | int]:
    """Parts of a key, an entry of a list of methods by its number."""
    root, *rest = key.split(".")
    if root in config.listed_methods and rest:
        return [root, _entry(config.listed_methods[root], rest[0], key), *rest[1:]]
    return [root, *rest]


def _put(content: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set the value at a dotted key; blocks that are not there are made."""
    *parents, last = key.split(".")
    current: Any = content
    for part in parents:
        if isinstance(current, list):
            current = current[_entry(current, part, f"{where}: {key}")]
        else:
            if current.get(part) is None:
                current[part] = {}
            current = current[part]
        if not isinstance(current, dict | list):
            raise NtuplemlError(f"{where}: {key}: '{part}' is {current!r}, not a block with keys")
    place: Any = last if isinstance(current, dict) else _entry(current, last, f"{where}: {key}")
    current[place] = copy.deepcopy(value)


def _entry(entries: Sequence[Any], part: str, where: str) -> int:
    """Position of an entry of a list, by its number or its name."""
    names = [one.get("name") if isinstance(one, dict) else getattr(one, "name", None) for one in entries]
    if part in names:
        return names.index(part)
    if part.isascii() and part.isdigit() and int(part) < len(entries):
        return int(part)
    raise NtuplemlError(f"{where}: no entry '{part}'{did_you_mean(part, [name for name in names if name])}")


def label(value: Any) -> str:
    """A value as a config would have it, on one line.

    Examples
    --------
    >>> label([100, 100]), label("relu"), label(None), label(1e-05)
    ('[100, 100]', 'relu', 'null', '1.0e-05')
    """
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("...\n").strip()


def distributions(space: Mapping[str, SearchedConfig]) -> dict[str, Any]:
    """The space as Optuna takes it; choices are texts."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for key, one in space.items():
        if one.choices is not None:
            found[key] = CategoricalDistribution([label(choice) for choice in one.choices])
        else:
            assert one.range is not None
            kind = IntDistribution if one.is_whole else FloatDistribution
            found[key] = kind(*one.range, log=one.log)
    return found


def values_of(parameters: Mapping[str, Any], space: Mapping[str, SearchedConfig]) -> dict[str, Any]:
    """Values of the keys from what Optuna drew."""
    values = dict(parameters)
    for key, one in space.items():
        if one.choices is not None:
            values[key] = one.choices[[label(choice) for choice in one.choices].index(parameters[key])]
    return values
