"""A class without weight, or with a negative sum of weights, is refused by every engine before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ntupleml.errors import NtuplemlError
from ntupleml.training import TrainingOptions
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.keras_training import train_keras
from ntupleml.training.tmva_training import train_tmva

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

    MakeConfig = Callable[..., TrainingConfig]
    Columns = Callable[[int, int, int], dict[str, NDArray[Any]]]

ENGINES: dict[str, tuple[dict[str, Any], Callable[[TrainingConfig], Any]]] = {
    "keras": ({}, lambda config: train_keras(config, [0])),
    "streamed": ({"stream": True}, lambda config: train_keras(config, [0])),
    "continued": ({}, lambda config: train_keras(config, [0], TrainingOptions(continue_training=True))),
    "balanced": ({}, lambda config: train_keras(config, [0], TrainingOptions(balance_batches=True))),
    "streamed and balanced": (
        {"stream": True},
        lambda config: train_keras(config, [0], TrainingOptions(balance_batches=True)),
    ),
    "xgboost": ({"boosted_trees": [{"name": "bdt", "rounds": 2}]}, lambda config: train_boosted_trees(config, [0])),
    "histogram": (
        {"boosted_trees": [{"name": "bdt", "type": "hist_gradient_boosting", "rounds": 2}]},
        lambda config: train_boosted_trees(config, [0]),
    ),
    "tmva": (
        {"tmva": {"methods": [{"name": "BDT", "type": "kBDT", "options": "NTrees=2:BoostType=Grad"}]}},
        lambda config: train_tmva(config, [0], engine="xgboost", where="t.yaml"),
    ),
}
#: Those that can give negative weights another meaning look at their sum after that.
TREATING = ("xgboost", "histogram", "tmva")


@pytest.fixture
def refusal(
    make_config: MakeConfig, tmp_path: Path, fold_file: Callable[..., None], columns: Columns
) -> Callable[..., str]:
    """Message of an engine for weights of the class `bkg`; `refusal(engine, weights, **keys)`."""

    def message(engine: str, weights: NDArray[np.float64], **keys: Any) -> str:
        settings, train = ENGINES[engine]
        config = make_config(**settings, **keys)
        bkg = columns(0, 1, len(weights))
        fold_file(tmp_path / "fold0.root", {"sig": columns(0, 0, 300), "bkg": {**bkg, "weight": weights}})
        with pytest.raises(NtuplemlError) as caught:
            train(config)
        assert not list(Path(config.output_path).glob("*[!g]"))  # nothing but a log
        return str(caught.value).removeprefix(f"{tmp_path}/")

    return message


@pytest.mark.parametrize("engine", ENGINES)
def test_a_class_of_zero_weights(refusal: Callable[..., str], engine: str) -> None:
    message = refusal(engine, np.zeros(500))
    assert message.startswith("fold0.root: class 'bkg': branch 'weight': the weights of its ")
    assert message.endswith(" events that train sum to 0; all are zero; fix the weight_string of the dataset config")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_negative_sum(refusal: Callable[..., str], engine: str) -> None:
    """Events of weight 1 and -1.3."""
    message = refusal(engine, np.tile([1.0, -1.3], 250))
    if engine in TREATING:
        assert "class 'bkg': its sum of weights is -" in message
    else:
        assert message.startswith("fold0.root: class 'bkg': branch 'weight': the weights of its ")
        assert "; a positive sum is needed, but negative weights prevail" in message


@pytest.mark.parametrize("engine", ENGINES)
def test_no_positive_weight_at_all(refusal: Callable[..., str], engine: str) -> None:
    message = refusal(engine, np.tile([0.0, -2.0], 250))
    assert message.startswith("fold0.root: class 'bkg': branch 'weight': the weights of its ")
    assert "; a positive sum is needed, but negative weights prevail" in message


@pytest.mark.parametrize("engine", [name for name in ENGINES if "streamed" not in name])
@pytest.mark.parametrize(("weight", "total"), [(0.0, "0"), (-1.0, "-")])
def test_the_events_that_validate(refusal: Callable[..., str], engine: str, weight: float, total: str) -> None:
    """The split is that of scikit-learn."""
    _, rows = train_test_split(np.arange(800), test_size=0.25, random_state=7)
    validating = rows[rows >= 300] - 300
    weights = np.full(500, 10.0)
    weights[validating] = weight
    message = refusal(engine, weights)
    start = (
        f"fold0.root: class 'bkg': branch 'weight': the weights of its {len(validating)} events that validate sum to "
    )
    assert message.startswith(start + total)
    assert "lower train_test_split" in message


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(refusal: Callable[..., str], engine: str, bad: float) -> None:
    weights = np.ones(500)
    weights[[7, 300]] = bad
    message = refusal(engine, weights)
    assert message.startswith("fold0.root: class 'bkg': NaN or infinite weight: branch 'weight' in 2 of ")


@pytest.mark.parametrize("engine", TREATING)
def test_all_that_validate_together(refusal: Callable[..., str], engine: str) -> None:
    """A class on which negative weights prevail may be treated, but nothing can be normalised to a negative sum."""
    assert "fold0.root: all weights that validate sum to -" in refusal(engine, np.tile([1.0, -2.0], 250))


@pytest.mark.parametrize("engine", [name for name in ENGINES if "balanced" not in name])
@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        ({"class_weights": {"sig": 1.0, "bkg": 0.0}}, "sum to 0; class_weights has to be positive"),
        ({"global_weight_scale": 1e-50}, "e-48; they are zero as 32-bit floats; raise global_weight_scale"),
        ({"global_weight_scale": 1e50}, "e+52; 32-bit floats cannot hold them"),
    ],
)
def test_factors(refusal: Callable[..., str], engine: str, keys: dict[str, Any], remedy: str) -> None:
    assert remedy in refusal(engine, np.ones(500), **keys)


def test_all_folds_of_a_model_count(make_config: MakeConfig, tmp_path: Path, fold_file: Any, columns: Columns) -> None:
    """Model 1 of 3 is trained on folds 0 and 1: only where the class weighs nothing in both it is refused."""
    config = make_config(num_folds=3, boosted_trees=[{"name": "bdt", "rounds": 2}])
    for fold in (0, 1):
        zero = {**columns(fold, 1, 500), "weight": np.zeros(500)}
        fold_file(tmp_path / f"fold{fold}.root", {"sig": columns(fold, 0, 300), "bkg": zero})
        if fold == 0:
            assert train_boosted_trees(config, [1])[0].split.training == 1200
    with pytest.raises(NtuplemlError, match=r"fold0\.root and 1 more: class 'bkg': branch 'weight': the weights of"):
        train_boosted_trees(config, [1], TrainingOptions(overwrite=True))
