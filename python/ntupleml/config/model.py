"""The model block of the training config: a network and how it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ntupleml.config.schema import Name, NameOrBlock, Schema


class LatentConfig(Schema):
    """The narrow layer in the middle of a network that gives its inputs back."""

    #: Numbers of the layer.
    size: int = Field(ge=1, le=100_000)
    #: Learn mean and log variance of each number, which is drawn from them while training.
    variational: bool = False
    #: Of a variational one: factor in the loss of the Kullback-Leibler divergence from normal distributions.
    beta: float = Field(default=0.1, ge=0)
    #: By default that of the hidden layers; a variational one has none.
    activation: Name | None = None

    @model_validator(mode="after")
    def _consistent(self) -> LatentConfig:
        unused = "activation" if self.variational else "beta"
        if unused in self.model_fields_set:
            which = "the mean of a variational layer has none" if self.variational else "is for variational: true"
            raise ValueError(f"{unused}: {which}; leave it out")
        return self


class ModelConfig(Schema):
    """The network and how it is trained.

    A network is either one of the zoo, by `name`, or written here by `hidden` and the keys that follow it.
    """

    #: Network of the zoo.
    name: Name | None = None
    #: Settings of that network, where it has some.
    settings: dict[Name, Any] = {}
    #: Widths of the hidden layers, after the groups of inputs are joined.
    hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    #: Makes the hidden layers those of an encoder, which come again, the last first, behind this layer.
    latent: Annotated[
        LatentConfig | None,
        BeforeValidator(
            lambda value: {"size": value} if isinstance(value, int) else value,
            json_schema_input_type=int | LatentConfig | None,
        ),
    ] = None
    #: What is done to each group of inputs before they are joined: `type`, and the settings of that encoder.
    encoders: dict[Name, dict[Name, Any]] = {}
    #: Activation of the hidden layers, e.g. `relu`, `elu`, `selu`, `tanh`.
    activation: Name = "relu"
    #: Share of the numbers of each hidden layer that is set to 0 at random while training.
    dropout: float = Field(default=0.0, ge=0, lt=1)
    #: Factor in the loss of the sum of absolute weights.
    l1: float = Field(default=0.0, ge=0)
    #: Factor in the loss of the sum of squared weights.
    l2: float = Field(default=0.0, ge=0)
    #: Normalise each hidden layer before its activation, over the batch or over the numbers of the layer.
    norm: Literal["batch", "layer"] | None = None
    #: The same as `norm: batch`.
    batch_norm: bool = False
    #: Round weights and numbers between layers as hardware does, by a name of `ntupleml.models.quantisation`.
    quantised: NameOrBlock | None = None
    #: Loss by its name, e.g. `categorical_crossentropy`, `mean_squared_error`; or a block with its `type` and settings.
    loss: NameOrBlock = "categorical_crossentropy"
    #: Optimiser by its name, e.g. `adam`, `sgd`, `nadam`.
    optimizer: Name = "adam"
    #: Learning rate; by default that of the optimiser.
    learning_rate: float | None = Field(default=None, gt=0)
    #: Share of the weights, times the learning rate, by which they shrink in each step, as AdamW does it.
    weight_decay: float | None = Field(default=None, ge=0)
    #: Largest norm of the gradient of all weights together.
    clip_norm: float | None = Field(default=None, gt=0)
    #: Largest absolute value of each number of the gradient.
    clip_value: float | None = Field(default=None, gt=0)
    #: Largest number of epochs.
    epochs: int = Field(default=100, ge=1)
    #: Events per step; a negative number means all training events at once.
    batch_size: int = 100
    #: Epochs without a better one after which training stops and the weights of the best are restored.
    early_stopping: int | None = Field(default=None, ge=1)
    #: What tells the best epoch among the validation metrics; by default the loss.
    best_by: Literal["loss", "accuracy", "mean_absolute_error"] | None = None
    #: Keep the weights of the two best epochs by each measure (losses, distances), for `compare_epochs.py`.
    keep_epochs: bool = False
    #: Keep the weights of the best epoch, not those of the last.
    save_best_only: bool = True
    #: How the learning rate changes, by a name of `ntupleml.training.schedule.SCHEDULES`.
    schedule: NameOrBlock | None = None
    #: Short for the schedule `plateau`: epochs without a better validation loss after which the learning rate is
    #: divided by ten.
    reduce_lr_on_plateau: int | None = Field(default=None, ge=1)
    #: Events of each class in a batch, for `--balance-batches`.
    events_per_class_and_batch: int | None = Field(default=None, alias="eventsPerClassAndBatch")
    #: Batches per epoch, for `--balance-batches`.
    steps_per_epoch: int | None = Field(default=None, ge=1)

    @field_validator("batch_size", "events_per_class_and_batch")
    @classmethod
    def _not_zero(cls, size: int | None) -> int | None:
        if size == 0:
            raise ValueError("0 events; give a positive number, or a negative one for all training events")
        return size

    @model_validator(mode="after")
    def _one_network(self) -> ModelConfig:
        written = {
            "hidden",
            "latent",
            "encoders",
            "activation",
            "dropout",
            "l1",
            "l2",
            "norm",
            "batch_norm",
            "optimizer",
            "weight_decay",
            "clip_norm",
            "clip_value",
        }
        given = sorted(written & self.model_fields_set)
        if self.batch_norm and self.norm == "layer":
            raise ValueError("batch_norm: true is norm: batch, but norm is layer; give one of them")
        if self.name is not None and given:
            raise ValueError(
                f"name: '{self.name}' is a network of the zoo, so {given[0]} cannot be set; use one of them"
            )
        if self.name is None and self.settings:
            raise ValueError("settings are those of a network of the zoo, but name is not given; name one")
        if self.name is None and self.learning_rate is not None:
            given.append("learning_rate")
        if self.name is None and self.hidden is None and not self.encoders and given:
            raise ValueError(f"{given[0]} is set, but not hidden; give the widths of the hidden layers")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("clip_norm and clip_value stand side by side; use one of the two")
        if self.schedule is not None and self.reduce_lr_on_plateau is not None:
            raise ValueError(
                "reduce_lr_on_plateau: is short for the schedule plateau, but schedule is given too; give one of them"
            )
        return self
