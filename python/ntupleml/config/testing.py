"""The testing config: which models are tested, with which weights, and how the figures look."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ntupleml.config.abcd import AbcdConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.adversary import ControlConfig, SlicesConfig  # noqa: TC001  # pydantic evaluates them
from ntupleml.config.blocks import OnnxConfig, PlotConfig
from ntupleml.config.histograms import HistogramsConfig  # noqa: TC001
from ntupleml.config.regression import RegressionConfig  # noqa: TC001
from ntupleml.config.schema import (
    ClassNames,
    FilePaths,
    Formula,
    MethodName,
    Name,
    Names,
    OneOrMoreFiles,
    Schema,
    TextKeys,
)
from ntupleml.config.search import SearchConfig  # noqa: TC001
from ntupleml.config.systematics import SystematicConfig  # noqa: TC001
from ntupleml.config.trigger import TriggerConfig  # noqa: TC001


class ExternalModelConfig(Schema):
    """A model of another program or in another form, tested beside the methods of the training config.

    Attributes
    ----------
    files : list of str
        ONNX files, or networks in lwtnn's JSON formats: element i is model i, which is tested on the fold that model i
        never saw; a single one is tested on all folds.
    onnx : OnnxConfig
        How the inputs of an ONNX file are filled, which output has the scores, and which classes they are of. For
        lwtnn files only `output`, `classes` and `apply` have a meaning.
    """

    files: FilePaths
    onnx: OnnxConfig = OnnxConfig()


#: Words that stand for several methods in options and names of files.
_SEVERAL = ("all", "methods")


class SignificanceConfig(Schema):
    """How significances are computed.

    Attributes
    ----------
    b_reg : float
        Regularisation of the approximate median significance, added to the background.
    background_uncertainty : float
        Relative systematic uncertainty of the background in the Asimov significance.
    bins : int
        Number of bins of the score in which the binned significance is summed up.
    """

    b_reg: float = Field(default=10.0, ge=0)
    background_uncertainty: float = Field(default=0.0, ge=0)
    bins: int = Field(default=20, ge=1, le=10_000)


class OvertrainingConfig(Schema):
    """When overtraining calls attention.

    Attributes
    ----------
    auc_difference : float
        By how much the area under the ROC curve of a class may be smaller on held-out events than on those of the
        training.
    """

    auc_difference: float = Field(default=0.02, ge=0, lt=1)


class TestingConfig(Schema):
    """Schema of the testing config.

    Attributes
    ----------
    model, preprocessing : list of str, optional
        Files of each fold's model, in the order of the folds, relative to the training's `output_path`; by default
        those that the training wrote.
    method : str, optional
        Name of the training config's method that is tested: of `boosted_trees` or `tmva: methods`, or `keras`; or of
        an external model. By default what the script is for.
    external : dict of ExternalModelConfig
        Models of other programs, by the names that they get here.
    classes : list of str, optional
        Trees of the fold files that are tested; by default the classes of the training. Where these are what the
        models tell apart, there can be no others.
    signals : list of str
        Classes that are signals: significances are of these, and stacks show them scaled. By default the signal of
        `search`, else the classes with "signal" in their names, else the first of two classes.
    title : str
        Of the report; by default it says what is trained.
    weight_branch : str, optional
        Branch of event weights; by default the training's `event_weights`.
    class_weights : bool
        Multiply the event weights with the class weights of the training.
    spectators : list of str
        Variables (branches of the fold files, or formulas of them) beside the inputs, against which efficiency,
        purity and the shape of the background are shown, e.g. a mass or the pile-up.
    slices : SlicesConfig, optional
        Slices of a formula, such as a pT, in which the scores are shown.
    control : ControlConfig, optional
        Control sample in which the scores of simulation and data are compared; by default that of the training's
        adversary. Without slices of its own it has those above.
    search : SearchConfig, optional
        What the steps `rejection`, `cut-scan` and `point-efficiency` are of.
    trigger : TriggerConfig, optional
        What the steps `trigger-rates`, `trigger-efficiency` and `low-rate-roc` are of.
    regression : RegressionConfig, optional
        What predicted values are compared with, for the steps `resolution`, `turn-on` and `value-calibration`.
    abcd : AbcdConfig, optional
        Another score, with which that of the model predicts a background in the step `abcd`.
    histograms : HistogramsConfig, optional
        Regions and bins of the histograms that `ntupleml histograms` writes for fits.
    data_class : str
        Tree of recorded data in the fold files, which is drawn as points where it is there.
    systematics : dict of SystematicConfig
        Variations by the names of their sources, for the step `systematics`.
    blind : str, optional
        Formula of scores (`ml_score_{class}`, `ml_score_max_score`, `ml_score_max_index`) and branches of the fold
        files: recorded data that pass it are neither shown nor counted.
    exclude_trained_by : list of str
        Records of models, or `output_path` of trainings, that kept keys: rows that they saw are not tested.
    max_events : int
        Largest number of events that are held in memory; of more, a random sample is taken, as evenly from the
        classes as their numbers allow, and weighted up.
    seed : int
        Of everything random in the testing stage.
    significance : SignificanceConfig
        How significances are computed.
    overtraining : OvertrainingConfig
        When overtraining calls attention.
    figures : list of {'svg', 'png', 'pdf'}
        What the report writes of each picture into the folder beside the page. The other steps write PNG and PDF.
    plot : PlotConfig
        How figures look.
    output_prefix : str
        Key of htt-ml that nothing reads.
    """

    __test__ = False  # the name begins with "Test", but pytest has nothing to collect here

    model: FilePaths | None = None
    preprocessing: FilePaths | None = None
    method: Name | None = None
    external: Annotated[dict[MethodName, ExternalModelConfig], TextKeys] = {}
    classes: ClassNames | None = None
    signals: Names = []
    title: str = ""
    weight_branch: Name | None = None
    class_weights: bool = False
    spectators: Names = []
    slices: SlicesConfig | None = None
    control: ControlConfig | None = None
    search: SearchConfig | None = None
    trigger: TriggerConfig | None = None
    regression: RegressionConfig | None = None
    abcd: AbcdConfig | None = None
    histograms: HistogramsConfig | None = None
    data_class: Name = "data"
    systematics: Annotated[dict[Name, SystematicConfig], TextKeys] = {}
    blind: Formula | None = None
    exclude_trained_by: OneOrMoreFiles = []
    max_events: int = Field(default=2_000_000, ge=1)
    seed: int = Field(default=1234, ge=0, lt=2**32)
    significance: SignificanceConfig = SignificanceConfig()
    overtraining: OvertrainingConfig = OvertrainingConfig()
    figures: list[Literal["svg", "png", "pdf"]] = ["svg"]
    plot: PlotConfig = PlotConfig()
    output_prefix: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> TestingConfig:
        for name in _SEVERAL:
            if name in self.external:
                raise ValueError(f"external: '{name}' stands for several methods; choose another name")
        listed = [key for key in ("model", "preprocessing") if getattr(self, key) is not None]
        if self.method in self.external and listed:
            raise ValueError(
                f"{listed[0]}: lists files of the method '{self.method}', which is an external model with `files` of "
                "its own; leave the key out"
            )
        return self
