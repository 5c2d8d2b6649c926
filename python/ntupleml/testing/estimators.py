"""What models predict of values and vectors, and what the simple estimators of the testing config say of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.config.regression import ImageReference, RegressionConfig
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.response import sample_of_values
from ntupleml.metrics.vectors import QUANTITIES, samples_of_vector
from ntupleml.targets import vectors_among

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.response import Sample
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: What is looked at of a value.
VALUE = "value"


class Subject(NamedTuple):
    """What is estimated."""

    name: str
    #: One output, or the components of a vector.
    outputs: tuple[str, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """What is looked at, the most important first."""
        return QUANTITIES if len(self.outputs) > 1 else (VALUE,)

    @property
    def size(self) -> str:
        """The quantity that a threshold is on, and a calibration is of."""
        return "magnitude" if len(self.outputs) > 1 else VALUE


def config_of(material: Material) -> RegressionConfig:
    """The block of the testing config, or its defaults."""
    return material.testing.regression or RegressionConfig()


def outputs_of(material: Material) -> list[str]:
    """Names of the scores, before any events are read."""
    return material.events.outputs if material.found is None else material.found.training.outputs


def vectors_of(material: Material) -> dict[str, tuple[str, str]]:
    """Components of the vectors among the outputs, by their names: those of the testing config, or by default."""
    given = config_of(material).vectors
    return vectors_among(outputs_of(material)) if given is None else {name: (x, y) for name, (x, y) in given.items()}


def subjects_of(material: Material) -> list[Subject]:
    """Vectors of the testing config, then values that are no components of them.

    Raises
    ------
    NtuplemlError
        If a component is no output, or a vector has the name of an output.
    """
    outputs, where, given = outputs_of(material), where_of(material), vectors_of(material)
    for name, components in given.items():
        for one in components:
            if one not in outputs:
                raise NtuplemlError(f"{where}: vectors: {name}: no output '{one}'{did_you_mean(one, outputs)}")
        if name in outputs:
            raise NtuplemlError(f"{where}: vectors: '{name}' is an output; choose another name for the vector")
    vectors = [Subject(name, components) for name, components in given.items()]
    used = {one for vector in vectors for one in vector.outputs}
    return [*vectors, *(Subject(name, (name,)) for name in outputs if name not in used)]


def references_of(material: Material) -> dict[str, dict[str, str]]:
    """Formulas of the simple estimators, by their names and by output; of an image its name.

    Raises
    ------
    NtuplemlError
        If there are not as many formulas as outputs, an image is of no vector, or one is called like a method.
    """
    outputs, config = outputs_of(material), config_of(material)
    where = f"{where_of(material)}: references"
    vectors = list(vectors_of(material).values())
    found = {}
    for name, formulas in config.references.items():
        if isinstance(formulas, ImageReference):
            found[name] = dict.fromkeys(_vector_of(material, formulas, f"{where}: {name}"), name)
            continue
        if isinstance(formulas, dict):
            for output in formulas:
                if output not in outputs:
                    raise NtuplemlError(f"{where}: {name}: no output '{output}'{did_you_mean(output, outputs)}")
            found[name] = dict(formulas)
            continue
        wanted: Sequence[str] = outputs
        if len(formulas) != len(outputs) and len(vectors) == 1 and len(formulas) == len(vectors[0]):
            wanted = vectors[0]
        if len(formulas) != len(wanted):
            raise NtuplemlError(
                f"{where}: {name}: {len(formulas)} formulas for the outputs {', '.join(outputs)}; give one for each, "
                "or output: formula"
            )
        found[name] = dict(zip(wanted, formulas, strict=True))
    methods = material.preparation.methods if material.found is not None else list(material.events.scores)
    for name in found:
        if name in methods:
            raise NtuplemlError(f"{where}: '{name}' is a method that is tested; choose another name")
    return found


def _vector_of(material: Material, image: ImageReference, where: str) -> tuple[str, str]:
    """Components of the vector that an image estimates."""
    vectors = vectors_of(material)
    if image.vector is not None and image.vector not in vectors:
        raise NtuplemlError(f"{where}: vector: no vector '{image.vector}'{did_you_mean(image.vector, vectors)}")
    if image.vector is None and len(vectors) != 1:
        there = "there is none; name its components as vectors: {NAME: [x, y]}"
        if vectors:
            there = f"there are {', '.join(vectors)}; name one as vector: NAME"
        raise NtuplemlError(f"{where}: an image estimates a vector, but {there}")
    return vectors[image.vector or next(iter(vectors))]


def where_of(material: Material) -> str:
    """What messages call the block."""
    return f"{material.found.testing_path if material.found is not None else 'the events'}: regression"


def samples_of(material: Material, subject: Subject) -> dict[str, dict[str, Sample]]:
    """By quantity, then by estimator: methods, then references that have all components."""
    events = material.events
    columns = [events.outputs.index(one) for one in subject.outputs]
    truth = events.target[:, columns]
    predictions = {method: events.scores[method][:, columns] for method in material.methods}
    for name, formulas in references_of(material).items():
        if name in events.references:
            if tuple(formulas) == subject.outputs:
                predictions[name] = events.references[name]
        elif all(one in formulas for one in subject.outputs):
            predictions[name] = _read(events, [formulas[one] for one in subject.outputs])
    found: dict[str, dict[str, Sample]] = {quantity: {} for quantity in subject.quantities}
    for name, prediction in predictions.items():
        if len(subject.outputs) > 1:
            for quantity, sample in samples_of_vector(prediction, truth).items():
                found[quantity][name] = sample
        else:
            found[VALUE][name] = sample_of_values(prediction[:, 0], truth[:, 0])
    return found


def _read(events: TestedEvents, formulas: Sequence[str]) -> NDArray[np.float32]:
    return np.stack([events.values_of(formula) for formula in formulas], axis=1)
