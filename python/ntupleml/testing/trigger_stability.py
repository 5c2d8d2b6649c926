"""How far the members of an ensemble differ as an anomaly trigger, each with thresholds of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Interval, Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.members import OverMembers, over_members
from ntupleml.metrics.trigger_regions import SCHEMES
from ntupleml.plots.members import members_picture
from ntupleml.testing.stability import has_ensemble
from ntupleml.testing.steps import Answer
from ntupleml.testing.trigger import has_trigger, named_trigger, trigger_of
from ntupleml.testing.trigger_rates import trigger_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntupleml.plots.pictures import Picture
    from ntupleml.testing.material import Material
    from ntupleml.testing.trigger import Trigger
    from ntupleml.testing.trigger_rates import OfScheme, TriggerNumbers

#: By what pictures are named after: the number of a class that is shown, and its text.
_SHOWN = {
    "efficiencies": ("raw", "Accepted of what L1 accepts"),
    "gains": ("gain", "E / (F or G)"),
    "e_over_b": ("e_over_b", "E / B"),
}
_NO_THRESHOLD = Undefined("the scheme has no threshold")


class TriggerMembers(NamedTuple):
    """Numbers of each member, and of the ensemble."""

    members: tuple[TriggerNumbers, ...]
    ensemble: TriggerNumbers

    def over(self, scheme: str, name: str, key: str) -> OverMembers:
        """One number of a class over the members."""
        return over_members([_value(one, scheme, name, key) for one in self.members])


def has_trigger_and_ensemble(material: Material) -> bool:
    """Whether an ensemble is tested as an anomaly trigger."""
    config = material.testing.trigger
    return has_trigger(material) and config is not None and config.hlt.score is None and has_ensemble(material)


def stability_of_trigger(material: Material) -> Answer:
    """Efficiencies and gains of the members of every method that is an ensemble."""
    config, where = named_trigger(material)
    if config.hlt.score is not None:
        raise NtuplemlError(f"{where}: hlt: score: a formula decides, which no members have; leave it out")
    files = [f"trigger_stability_{scheme}.json" for scheme in SCHEMES]
    material.announce([*files, *(_name(what, scheme) for what in _SHOWN for scheme in SCHEMES)])
    if not has_ensemble(material):
        raise NtuplemlError(
            f"{', '.join(material.methods)}: no ensemble; train one with ensemble: {{seeds: 5}} in the training config"
        )
    trigger = trigger_of(material)
    found = {method: _members(trigger, method) for method in material.methods if method in trigger.events.members}
    first = next(iter(found.values()))
    verdicts = {method: _verdict(trigger, one) for method, one in found.items()}
    return Answer(
        "Each member of an ensemble is a training with another seed, and has thresholds of its own for the same rates.",
        Answer.by_method(
            {method: list(_pictures(trigger, method, one)) for method, one in found.items()}, only_first_open=True
        ).groups,
        tuple((f"Does the seed matter for the trigger? {method}", verdict) for method, verdict in verdicts.items()),
        found,
        tuple(f"{method}: {verdict.text}" for method, verdict in verdicts.items()),
        {file: _results(first, scheme) for file, scheme in zip(files, SCHEMES, strict=True)},
    )


def _name(what: str, scheme: str) -> str:
    return f"trigger_stability_{what}_{scheme}"


def _members(trigger: Trigger, method: str) -> TriggerMembers:
    members, scores = trigger.events.members[method], trigger.events.scores[method]
    each = tuple(trigger_numbers(trigger, members[:, index]) for index in range(members.shape[1]))
    return TriggerMembers(each, trigger_numbers(trigger, scores))


def _value(found: TriggerNumbers, scheme: str, name: str, key: str) -> float | Undefined:
    if scheme not in found.schemes:
        return _NO_THRESHOLD
    value: Interval | Undefined = getattr(found.schemes[scheme].efficiencies[name], key)
    return value if isinstance(value, Undefined) else value.value


def _pictures(trigger: Trigger, method: str, found: TriggerMembers) -> Iterator[Picture]:
    number, shown = len(found.members), trigger.signals or trigger.classes
    for what, (key, text) in _SHOWN.items():
        for scheme in SCHEMES:
            yield members_picture(
                _name(what, scheme),
                f"{method}, an ensemble of {number}, {scheme}: {text}, each member above its own threshold.",
                {name: found.over(scheme, name, key) for name in shown},
                text,
                ensemble={name: _value(found.ensemble, scheme, name, key) for name in shown},
            )


def _results(found: TriggerMembers, scheme: str) -> str:
    """Lists with an entry per member, by the names that the HLT anomaly detection's own code gives them."""
    known = [one.schemes.get(scheme) for one in found.members]
    content: dict[str, Any] = {
        "thresholds": [one.decisions.thresholds[scheme] for one in found.members],
        "region_counts": [_by_class(one, "sums") for one in known],
    }
    keys = {"efficiency_gains": "gain", "efficiencies": "raw", "EoverBs": "e_over_b"}
    for name, key in keys.items():
        content[name] = [_by_class(one, "efficiencies", key) for one in known]
    return json.dumps(content, indent=2) + "\n"


def _by_class(found: OfScheme | None, field: str, key: str | None = None) -> Any:
    if found is None:
        return str(_NO_THRESHOLD)
    numbers = getattr(found, field)
    return as_plain(numbers if key is None else {name: getattr(one, key) for name, one in numbers.items()})


def _verdict(trigger: Trigger, found: TriggerMembers) -> Verdict:
    """Whether seeds change the efficiency of a signal by more than its statistical uncertainty."""
    known = []
    for scheme, whole in found.ensemble.schemes.items():
        for name in trigger.signals:
            spread, share = found.over(scheme, name, "raw").measurement, whole.efficiencies[name].raw
            if isinstance(spread, Measurement) and isinstance(share, Interval):
                known.append((spread.uncertainty, max(share.down, share.up), scheme, name))
    if not known:
        return Verdict("unknown", "no efficiency of a signal is known")
    of_seeds, of_events, scheme, name = max(known, key=lambda one: one[0] / max(one[1], 1e-300))
    text = (
        f"the efficiency of '{name}' ({scheme}) differs by {of_seeds:.2g} from seed to seed; its statistical "
        f"uncertainty is {of_events:.2g}"
    )
    if of_seeds > of_events:
        return Verdict("attention", text, "The seed of the training matters to the trigger.")
    return Verdict("good", text, "The seed of the training hardly matters to the trigger.")
