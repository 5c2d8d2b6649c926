"""Names of losses and others that a config may give, and what is said of those that it may not."""

from __future__ import annotations

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.models.registries import LOSSES, OPTIMIZERS, require_name


@pytest.mark.parametrize(
    ("name", "long"),
    [("mse", "mean_squared_error"), ("MAE", "mean_absolute_error"), ("bce", "binary_crossentropy")],
)
def test_short_names_of_losses_are_known(name: str, long: str) -> None:
    with pytest.raises(NtuplemlError, match=f"^model.loss: no loss '{name}'; it is called '{long}'$"):
        require_name(name, LOSSES, "loss", "model.loss")


def test_a_short_name_means_nothing_elsewhere() -> None:
    with pytest.raises(NtuplemlError, match=r"^model\.optimizer: no optimizer 'mse'; there are: "):
        require_name("mse", OPTIMIZERS, "optimizer", "model.optimizer")
