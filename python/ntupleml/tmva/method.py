"""What a TMVA weights file holds, as typed data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ntupleml.errors import did_you_mean, one_line
from ntupleml.tmva.xml_file import boolean_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.forests import Forest
    from ntupleml.tmva.xml_file import Node

Analysis = Literal["Classification", "Multiclass", "Regression"]
#: What the one value of a classification says: from −1 (background) to 1 (signal); from 0 to 1; without bounds.
OneValue = Literal["response", "first", "discriminant"]
#: The same by kind of method, where its options do not matter or are not known; a discriminant by default.
ONE_VALUES: dict[str, OneValue] = {"BDT": "response", "MLP": "first", "Likelihood": "first", "PyKeras": "first"}


class MethodSetup(NamedTuple):
    """A weights file while its method is read: the root element, and what the file says of all methods."""

    root: Node
    analysis: Analysis
    num_inputs: int
    num_outputs: int = 1

    @property
    def weights(self) -> Node:
        """The element with the numbers of the method."""
        return self.root.child("Weights")

    @property
    def options(self) -> dict[str, str]:
        """The method's options, as the file has them; one that is not there has TMVA's default."""
        found = self.root.element.iterfind("Options/Option")
        return {option.get("name", ""): (option.text or "").strip() for option in found}

    def flag(self, name: str, default: bool) -> bool:
        """Value of an option that is on or off."""
        return boolean_option(self.options, name, default, self.root.where)

    def choice(self, name: str, known: Sequence[str]) -> str:
        """Value of an option, one of those it can have; the first of them is TMVA's default."""
        value = self.options.get(name, known[0])
        if value not in known:
            raise self.root.error(f"unknown {name} '{one_line(value, 40)}'{did_you_mean(value, known)}")
        return value


class Variable(NamedTuple):
    """An input variable, spectator or target."""

    #: Formula of branches, as given to TMVA, without its label.
    expression: str
    #: Short name; the expression itself where none was given.
    label: str
    #: ``"F"`` or ``"I"``.
    kind: str = "F"
    #: Of the training events.
    minimum: float = 0.0
    maximum: float = 0.0

    @property
    def full_name(self) -> str:
        """The text under which TMVA's Reader wants it: ``label := expression`` where a label was given."""
        return self.expression if self.label == self.expression else f"{self.label} := {self.expression}"


class Normalize(NamedTuple):
    """2 (x − minimum) / (maximum − minimum) − 1 for the inputs `inputs`, in float32.

    In every transformation `outputs` says where the results go; empty: back into the inputs.
    """

    inputs: tuple[int, ...]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    outputs: tuple[int, ...] = ()


class Linear(NamedTuple):
    """matrix · (x − mean) for the inputs `inputs`: TMVA's decorrelation (mean 0) and principal components."""

    inputs: tuple[int, ...]
    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]
    outputs: tuple[int, ...] = ()


class Rearrange(NamedTuple):
    """The inputs `inputs` in another order: at the places `outputs`."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Histogram(NamedTuple):
    """A density or cumulative distribution in equidistant bins: their contents, without under- and overflow."""

    low: float
    high: float
    contents: NDArray[np.float64]


class Cumulative(NamedTuple):
    """The cumulative distribution of each input, made Gaussian or kept uniform (TMVA's G and U)."""

    inputs: tuple[int, ...]
    #: One per input: the fine histogram of float32 numbers that TMVA builds from the stored one when it reads a file.
    histograms: tuple[Histogram, ...]
    #: √2 erfinv(2c − 1) of the cumulative c, else c itself.
    gaussian: bool
    outputs: tuple[int, ...] = ()


Transformation = Normalize | Linear | Cumulative | Rearrange
#: What regression undoes in its answers; `inputs` and `outputs` are targets.
TargetTransformation = Normalize | Cumulative


class Mlp(NamedTuple):
    """A multilayer perceptron."""

    #: Per layer of synapses, shape (n_in + 1, n_out); the last row is that of the bias neuron.
    weights: tuple[NDArray[np.float32], ...]
    #: ``"sigmoid"``, ``"tanh"``, ``"ReLU"``, ``"radial"`` or ``"linear"``: of the hidden layers.
    neuron: str
    #: ``"sigmoid"`` or ``"linear"``, then ``"softmax"`` on top for several classes.
    output: Literal["sigmoid", "linear", "softmax"]
    #: ``"sum"``, ``"sqsum"`` or ``"abssum"`` of what arrives at a neuron, of all layers.
    neuron_input: Literal["sum", "sqsum", "abssum"] = "sum"
    #: The true tanh, of files written before TMVA 4.2.1; else TMVA's rational approximation.
    exact_tanh: bool = False


class LinearDiscriminant(NamedTuple):
    """Offset plus coefficients times inputs, per output: Fisher and LD. Shapes (n_outputs,), (n_outputs, n_inputs).

    `float32_sum`: LD rounds the sum to float32 after each input, Fisher never.
    """

    offset: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    float32_sum: bool = False


class Boosted(NamedTuple):
    """Weighted mean of the transformed answers of several discriminants (TMVA's MethodBoost)."""

    members: tuple[LinearDiscriminant, ...]
    #: Shape (n_members,). Weight of each, the value above which it says signal, and the sign that both are multiplied
    #: with first.
    weights: NDArray[np.float64]
    cuts: NDArray[np.float64]
    orientations: NDArray[np.float64]
    #: ``"step"``: 1 for signal, else −1; ``"linear"``: the answer itself; ``"log"``: ln(1/e + what is above the cut);
    #: ``"gauss"``: exp(−(answer − cut − 1)² / 2).
    transform: Literal["step", "linear", "log", "gauss"]


class Density(NamedTuple):
    """Probability density of one variable in one class.

    `histogram` is TMVA's fine one of float32 numbers, between whose bin centres lies a straight line; without
    `interpolated`, the bin's content itself is meant.
    """

    histogram: Histogram
    interpolated: bool


class Likelihood(NamedTuple):
    """Ratio of products of one-dimensional densities."""

    #: One per variable.
    signal: tuple[Density, ...]
    background: tuple[Density, ...]
    #: Those of signal and of background: this method transforms each event as both.
    transformations: tuple[tuple[Transformation, ...], tuple[Transformation, ...]]
    #: −ln(1/r − 1)/15 instead of r.
    transform_output: bool


@dataclass(frozen=True, eq=False)
class TmvaMethod:
    """A trained method of TMVA, as its weights file describes it."""

    path: Path
    #: ``"BDT"``, ``"MLP"``, ``"Fisher"``, ``"LD"``, ``"Likelihood"``, ``"PyKeras"``, ``"Boost"``.
    kind: str
    #: The user's name of it.
    name: str
    analysis: Analysis
    #: The `Options` and `GeneralInfo`, by name.
    options: dict[str, str]
    info: dict[str, str]
    variables: tuple[Variable, ...]
    spectators: tuple[Variable, ...]
    targets: tuple[Variable, ...]
    #: In TMVA's order.
    classes: tuple[str, ...]
    #: In the order of their use; none for Likelihood, whose body has its own.
    transformations: tuple[Transformation, ...]
    #: `Forest`, `Mlp`, `LinearDiscriminant`, or what the other methods have.
    body: Forest | Mlp | LinearDiscriminant | object = field(repr=False)
    #: Which regression undoes in its answers.
    target_transformation: TargetTransformation | None = field(default=None, repr=False)

    @property
    def output_names(self) -> list[str]:
        """Names of the values that Reader gives: classes, targets, or the method's own name."""
        if self.analysis == "Multiclass":
            return list(self.classes)
        if self.analysis == "Regression":
            return [target.label for target in self.targets]
        return [self.name]

    @property
    def answers_lost(self) -> bool:
        """Whether Reader answers −999 to an event with NaN: `EvaluateMVA` does, which goes with a classification."""
        return self.analysis == "Classification"

    @property
    def one_value(self) -> OneValue:
        """What the one value of a classification says; 0 or 0.5 is as much signal as background.

        Trees whose leaves answer with their purity (`!UseYesNoLeaf`, RealAdaBoost) give its mean, from 0 to 1, and
        Likelihood with `TransformOutput` the logarithm of a ratio.
        """
        if isinstance(self.body, Likelihood) and self.body.transform_output:
            return "discriminant"
        votes = boolean_option(self.options, "UseYesNoLeaf", True, str(self.path))
        if self.kind == "BDT" and self.options.get("BoostType") != "Grad" and not votes:
            return "first"
        return ONE_VALUES.get(self.kind, "discriminant")
