"""What a TMVA weights file holds, as typed data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.forests import Forest

Analysis = Literal["Classification", "Multiclass", "Regression"]


class Variable(NamedTuple):
    """An input variable, spectator or target.

    Attributes
    ----------
    expression : str
        Formula of branches, as given to TMVA, without its label.
    label : str
        Short name; the expression itself where none was given.
    kind : str
        ``"F"`` or ``"I"``.
    minimum, maximum : float
        Of the training events.
    """

    expression: str
    label: str
    kind: str = "F"
    minimum: float = 0.0
    maximum: float = 0.0

    @property
    def full_name(self) -> str:
        """The text under which TMVA's Reader wants it: ``label := expression`` where a label was given."""
        return self.expression if self.label == self.expression else f"{self.label} := {self.expression}"


class Normalize(NamedTuple):
    """2 (x − minimum) / (maximum − minimum) − 1 for the inputs `inputs`, in float32."""

    inputs: tuple[int, ...]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]


class Linear(NamedTuple):
    """matrix · (x − mean) for the inputs `inputs`: TMVA's decorrelation (mean 0) and principal components."""

    inputs: tuple[int, ...]
    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]


class Histogram(NamedTuple):
    """A density that TMVA stored as a histogram: contents of equidistant bins, without under- and overflow."""

    low: float
    high: float
    contents: NDArray[np.float64]


class Cumulative(NamedTuple):
    """The cumulative distribution of each input, made Gaussian or kept uniform (TMVA's G and U).

    Attributes
    ----------
    inputs : tuple of int
    histograms : tuple of Histogram
        One per input, as stored: the density or cumulative that TMVA's own code rebuilds its histogram from.
    gaussian : bool
        √2 erfinv(2c − 1) of the cumulative c, else c itself.
    """

    inputs: tuple[int, ...]
    histograms: tuple[Histogram, ...]
    gaussian: bool


Transformation = Normalize | Linear | Cumulative


class Mlp(NamedTuple):
    """A multilayer perceptron.

    Attributes
    ----------
    weights : tuple of array of float32
        Per layer of synapses, shape (n_in + 1, n_out); the last row is that of the bias neuron.
    neuron : str
        ``"sigmoid"``, ``"tanh"``, ``"ReLU"`` or ``"radial"``: of the hidden layers.
    output : str
        ``"sigmoid"`` or ``"linear"``, then ``"softmax"`` on top for several classes.
    """

    weights: tuple[NDArray[np.float32], ...]
    neuron: str
    output: Literal["sigmoid", "linear", "softmax"]


class LinearDiscriminant(NamedTuple):
    """Offset plus coefficients times inputs, per output: Fisher and LD. Shapes (n_outputs,), (n_outputs, n_inputs)."""

    offset: NDArray[np.float64]
    coefficients: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TmvaMethod:
    """A trained method of TMVA, as its weights file describes it.

    Attributes
    ----------
    path : Path
    kind : str
        ``"BDT"``, ``"MLP"``, ``"Fisher"``, ``"LD"``, ``"Likelihood"``, ``"PyKeras"``, ``"Boost"``.
    name : str
        The user's name of it.
    analysis : str
    options, info : dict of str to str
        The `Options` and `GeneralInfo`, by name.
    variables, spectators, targets : tuple of Variable
    classes : tuple of str
        In TMVA's order.
    transformations : tuple of Transformation
        In the order of their use.
    body : object
        `Forest`, `Mlp`, `LinearDiscriminant`, or what the other methods have.
    """

    path: Path
    kind: str
    name: str
    analysis: Analysis
    options: dict[str, str]
    info: dict[str, str]
    variables: tuple[Variable, ...]
    spectators: tuple[Variable, ...]
    targets: tuple[Variable, ...]
    classes: tuple[str, ...]
    transformations: tuple[Transformation, ...]
    body: Forest | Mlp | LinearDiscriminant | object = field(repr=False)

    @property
    def output_names(self) -> list[str]:
        """Names of the values that Reader gives: classes, targets, or the method's own name."""
        if self.analysis == "Multiclass":
            return list(self.classes)
        if self.analysis == "Regression":
            return [target.label for target in self.targets]
        return [self.name]
