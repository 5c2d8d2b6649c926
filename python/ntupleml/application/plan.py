"""The plan of an application, from all configs: models, event numbers, new branches."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np

from ntupleml.application.accepting import ACCEPT, ACCEPT_TYPE, accept_of
from ntupleml.application.finding import IMAGE, MODELS, AnyEngine, Kind, Request, TrainedKind
from ntupleml.application.selection import Selection, selection_of
from ntupleml.config import ApplicationConfig, ClusterConfig, DatasetConfig, TrainingConfig, load_config
from ntupleml.config.define import OF_APPLICATION, completed_by
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.fold_numbers import require_folds_of_table
from ntupleml.folds import FoldRule, rule_of
from ntupleml.scoring.outputs import spread_branch_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike

    from ntupleml.application.accepting import Accept
    from ntupleml.config import BeforeConfig, ConfigSource, RowsConfig
    from ntupleml.ntuples.friends import FriendFormat
    from ntupleml.onnx_models.lwtnn import Replaced
    from ntupleml.scoring import Scorer

#: Branch of a friend that holds the entry number, where no branch of the ntuple tells an event.
ENTRY_BRANCH = "entry"
_DEFAULT_PREFIX = "ml_score_"
#: Kinds of files without a training, by the ends of their names.
_KINDS: dict[str, Kind] = {".onnx": "onnx", ".json": "lwtnn"}


class Plan(NamedTuple):
    """Everything about an application but its ntuples."""

    #: The models of all folds.
    scorer: Scorer
    #: New branches: one per score, with `max_branches` the largest score and the index of its class, with `spread` one
    #: more per score, and the bits.
    branch_names: list[str]
    #: What decides the fold.
    fold_rule: FoldRule
    #: Folders with friends of the ntuples.
    friend_paths: list[str]
    #: Condition (era) of the ntuples.
    condition: str | None
    #: Folder of the friend files.
    output_directory: str | None
    #: Path of the application config, for messages.
    where: str
    #: Whether there are branches of the largest score and the index of its class.
    max_branches: bool = True
    #: Name of a branch that is taken for a variable where the ntuple lacks what its formula needs.
    labels: Mapping[str, str] = MappingProxyType({})
    #: Checksums of the models, used to resume a run; without them a run starts anew.
    models: tuple[str, ...] = ()
    #: What the jobs of a batch system ask for.
    cluster: ClusterConfig = ClusterConfig()
    #: Which events are scored.
    selection: Selection = Selection()
    #: Objects that are scored in place of events: the branches hold one list per event.
    rows: RowsConfig | None = None
    #: Numbers that stand for branches of these names in all ntuples.
    parameters: Mapping[str, float] = MappingProxyType({})
    #: Names of the parameters of the training, which an ntuple has as branches or gets by `parameters`.
    asked_parameters: tuple[str, ...] = ()
    #: Whether the members of ensembles give branches of their standard deviation, one per score.
    spread: bool = False
    #: What the last branch says to be accepted; None where there is no such branch.
    accept: Accept | None = None
    #: Format of the friend files.
    friend_format: FriendFormat = "root"
    #: Models that score first, in order; their branches are new ones, too.
    before: tuple[Plan, ...] = ()
    #: Branch of the image that is predicted; empty where there is none.
    image: str = ""

    @property
    def identity(self) -> dict[str, str | None]:
        """Branches of friends that tell events, and those of the ntuple that they are copies of; None: entry numbers.

        Folders are left out of their names, as ROOT has them in front of a dot.
        """
        return {name.rsplit(".", 1)[-1]: name for name in self.fold_rule.branches} or {ENTRY_BRANCH: None}

    @property
    def own_types(self) -> dict[str, DTypeLike]:
        """Types of its own new branches of one row: scores are floats, an image is an array, accept bits are bytes."""
        types: dict[str, DTypeLike] = dict.fromkeys(self.branch_names, "f4")
        if self.image:
            types[self.image] = np.dtype(("f4", self.scorer.image))
        return types if self.accept is None else types | {self.branch_names[-1]: ACCEPT_TYPE}

    @property
    def number_types(self) -> dict[str, DTypeLike]:
        """Types of the numbers of all new branches: those of models that score first, then its own."""
        return {name: kind for one in self.before for name, kind in one.number_types.items()} | self.own_types

    @property
    def branch_types(self) -> dict[str, DTypeLike]:
        """Types of all new branches: a number per event, or a vector where steps of a sequence or objects are."""
        lists = self.scorer.per_step or self.rows is not None
        of_before = {name: kind for one in self.before for name, kind in one.branch_types.items()}
        return of_before | {name: f"vector of {kind}" if lists else kind for name, kind in self.own_types.items()}

    @property
    def all_branches(self) -> list[str]:
        """Names of all new branches."""
        return list(self.number_types)

    @property
    def branches_before(self) -> list[str]:
        """Names of the new branches of models that score first."""
        return [name for one in self.before for name in one.all_branches]


def make_plan(
    dataset_config: ConfigSource | None,
    training_config: ConfigSource | None,
    application_config: ConfigSource | None,
    *,
    kind: Kind = "keras",
    engine: AnyEngine | None = None,
    weights: Sequence[str | Path] | None = None,
    event_branch: str | None = None,
    branch_prefix: str | None = None,
    output_directory: str | None = None,
    output: str | None = None,
    replaced: Replaced | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """Read the configs, check them against each other and the models, and open the models.

    Models of a training make the branches `{prefix}{class}`, `{prefix}max_score` and `{prefix}max_index`. Files of
    other programs make `{prefix}{score}` by the names that the training config, the config's `onnx` block or the files
    have; for several classes the largest and its index, too. What is no letter, digit or underscore in the names of
    files becomes an underscore.

    Parameters
    ----------
    dataset_config, training_config, application_config : path, dictionary, config or None
        Those of dataset and training may be left out for files of other programs, that of the
        application for weights files of TMVA.
    kind : {"keras", "boosted_trees", "tmva", "onnx", "lwtnn", "weights"}
        Which method scores where the application config neither lists models nor names one, see
        `ntupleml.artifacts.default_method_name`; or what its `classifiers` are: ONNX files, networks of lwtnn (left
        out: those of the training); or `weights`: files of TMVA alone, whose variables are the expressions in them.
    engine : {"onnx", "forest", "tmva", "liblwtnn"}, optional
        By default the fastest.
    weights : sequence of path, optional
        Weights files in place of the `classifiers`: element j scores the events of fold j, or a single one all events.
    event_branch, branch_prefix, output_directory : str, optional
        In place of what dataset and application config say.
    output : str, optional
        Which output scores, of networks of lwtnn with several.
    replaced : {"nan", "nan_and_infinities", "nothing"}, optional
        Raw values that the defaults in files of lwtnn stand for. By default NaN, and infinities as well for networks
        of a training that did so.
    parameters : mapping of str to float, optional
        Numbers that stand for branches, beside and before those of the application config.

    Raises
    ------
    NtuplemlError
        For anything wrong in a config or a model, names that no branch can have, inputs that cannot be filled, and
        models that would score events that they were trained on.
    """
    dataset = None if dataset_config is None else load_config(dataset_config, DatasetConfig)
    training = None if training_config is None else load_config(training_config, TrainingConfig)
    application = None if application_config is None else load_config(application_config, ApplicationConfig)
    if training is not None and application is not None:
        application = completed_by(application, training, OF_APPLICATION)
    own_prefix = _DEFAULT_PREFIX if application is None else application.branch_prefix
    request = Request(
        dataset,
        training,
        application,
        "" if dataset is None else dataset.where,
        "" if training is None else training.where,
        "--weights" if application is None else application.where,
        kind,
        engine,
        weights,
        _fold_rule(dataset, event_branch),
        own_prefix if branch_prefix is None else branch_prefix,
        output,
        replaced,
    )
    models = MODELS[kind](request)
    rows = None if dataset is None else dataset.rows
    if rows is not None and models.scorer.per_step:
        raise NtuplemlError(f"{request.dataset_path}: rows: the model gives a list of scores per row; leave rows out")
    accept, spreads = _accept(request, models.scorer), _spreads(request, models.scorer)
    image = request.prefix + IMAGE if models.scorer.image else ""
    if image and rows is not None:
        raise NtuplemlError(f"{request.where}: image: a list of images per event cannot be written; leave it out")
    further = [*spreads, *([image] if image else []), *([] if accept is None else [request.prefix + ACCEPT])]
    names = [*models.branch_names, *further]
    before = _before(request, rows, names)
    return Plan(
        models.scorer,
        names,
        # One file scores all events, whatever their numbers; friends still get a copy of them.
        request.fold_rule,
        [] if dataset is None else list(dataset.friend_paths),
        request.condition if kind in get_args(TrainedKind) else None,
        output_directory or (None if application is None else application.output_directory),
        request.where,
        models.max_branches,
        models.labels,
        tuple(models.checksums),
        ClusterConfig() if application is None else application.cluster,
        selection_of(application, rows, request.where),
        rows,
        _parameters(request, [models.scorer, *(one.scorer for one in before)], parameters or {}),
        _asked_parameters(training, before),
        bool(spreads),
        accept,
        "root" if application is None else application.friend_format,
        before,
        image,
    )


def _fold_rule(dataset: DatasetConfig | None, event_branch: str | None) -> FoldRule:
    """What decides the fold: the event branch that the caller names, else what the dataset config says."""
    if event_branch is not None or dataset is None:
        return FoldRule(event_branch)
    rule = rule_of(dataset)
    require_folds_of_table(rule, dataset.num_folds, dataset.where)
    return rule


def _spreads(request: Request, scorer: Scorer) -> list[str]:
    """Branches of the standard deviations over members that the application config asks for."""
    if request.application is None or not request.application.spread:
        return []
    if scorer.num_members == 1:
        raise NtuplemlError(
            f"{request.where}: spread: the models are no ensembles, so that nothing has a spread; train with ensemble: "
            "{seeds: 5} in the training config, or leave it out"
        )
    return spread_branch_names(scorer.outputs, request.prefix)


def _asked_parameters(training: TrainingConfig | None, before: Sequence[Plan]) -> tuple[str, ...]:
    own = [] if training is None or training.parameters is None else training.parameters.names
    return tuple(dict.fromkeys([*own, *(name for one in before for name in one.asked_parameters)]))


def _before(request: Request, rows: RowsConfig | None, names: Sequence[str]) -> tuple[Plan, ...]:
    """Plans of the models that score first; no two models of all may have a branch of one name."""
    owners = dict.fromkeys(names, "the models of this config")
    plans = []
    for name, config in ({} if request.application is None else request.application.before).items():
        where = f"{request.where}: before.{name}"
        plan = _plan_before(request, config, name, where)
        if plan.rows != rows:
            raise NtuplemlError(
                f"{where}: dataset: its rows are others than those of {request.dataset_path}, but all score the same; "
                "make them equal"
            )
        if plan.scorer.per_step:
            raise NtuplemlError(f"{where}: the model gives a list of scores per row, which no selection can use")
        for branch in plan.branch_names:
            if branch in owners:
                raise NtuplemlError(
                    f"{where}: branch_prefix: '{branch}' is a branch of {owners[branch]}, too; choose another prefix"
                )
            owners[branch] = f"before.{name}"
        plans.append(plan)
    return tuple(plans)


def _plan_before(request: Request, config: BeforeConfig, name: str, where: str) -> Plan:
    """Plan of models that score before others."""
    application = config.application(name, where)
    for key in ("training", "dataset"):
        path = getattr(config, key)
        if isinstance(path, str) and not Path(path).is_file():
            raise NtuplemlError(f"{where}.{key}: no file '{path}'; give the path of a {key} config")
    if config.training is not None:
        dataset = config.dataset or request.dataset
        if dataset is None:
            raise NtuplemlError(f"{where}: dataset: is missing; give the dataset config of that training")
        return make_plan(dataset, config.training, application)
    endings = {Path(path).suffix for path in config.classifiers or ()}
    if len(endings) != 1 or not endings <= _KINDS.keys():
        raise NtuplemlError(f"{where}: training: is missing; give a training config, or classifiers in .onnx or .json")
    kind = _KINDS[endings.pop()]
    event_branch = None if request.fold_rule.fold_by else request.fold_rule.event_branch
    return make_plan(config.dataset or request.dataset, None, application, kind=kind, event_branch=event_branch)


def _accept(request: Request, scorer: Scorer) -> Accept | None:
    """The bits that the application config asks for; their branch must have a name of its own."""
    if request.application is None or request.application.accept is None:
        return None
    where, training = f"{request.where}: accept", request.training
    if scorer.per_step:
        raise NtuplemlError(f"{where}: the model gives a list of scores per row, but a bit is of one; leave it out")
    if ACCEPT in scorer.outputs:
        raise NtuplemlError(f"{where}: a score is called '{ACCEPT}' already; rename it")
    first = training is not None and training.target_kind == "reconstruction"
    return accept_of(request.application.accept, scorer.outputs, where, first=first)


def _parameters(request: Request, scorers: Sequence[Scorer], given: Mapping[str, float]) -> dict[str, float]:
    """Numbers that stand for branches; each must be asked for."""
    configured = {} if request.application is None else request.application.parameters
    variables = [name for scorer in scorers for name in scorer.variables]
    formulas = [*variables, *([] if request.application is None else _selections(request.application))]
    for name in {**configured, **given}:
        if not any(re.search(rf"\b{re.escape(name)}\b", formula) for formula in formulas):
            where = "--parameter" if name in given else f"{request.where}: parameters"
            raise NtuplemlError(f"{where}: the models take no '{name}'{did_you_mean(name, variables)}")
    return {**configured, **given}


def _selections(application: ApplicationConfig) -> list[str]:
    return [one.selection for one in (application, *application.before.values()) if one.selection is not None]


def branches_as_text(plan: Plan) -> str:
    """The new branches for a line of the log."""
    first, last = plan.all_branches[0], plan.all_branches[-1]
    return first if first == last else f"{first} … {last}"
