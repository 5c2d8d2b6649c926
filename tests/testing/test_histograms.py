"""Histograms for fits: contents by hand, names that the programs expect, and a fit whose result is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.cli import main
from ntupleml.errors import NtuplemlError
from ntupleml.testing.histograms import equal_content_edges, fit_histograms, write_fit_histograms
from ntupleml.testing.preparation import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ["signal", "background_1", "background_2"]
DOCS = Path(__file__).resolve().parents[2] / "docs"


def scored(analysis: Any, name: str, slopes: Any) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Scores of a class by the formula of the models, each event by that which never saw it, and its columns."""
    scores, columns = [], []
    for model in range(analysis.num_folds):
        events = analysis.events[(model + 1) % analysis.num_folds][name]
        logits = np.exp(np.stack([events["x"], events["y"]], axis=1) @ slopes[model])
        scores.append(logits / logits.sum(axis=1, keepdims=True))
        columns.append(events)
    return np.concatenate(scores), {key: np.concatenate([one[key] for one in columns]) for key in columns[0]}


@pytest.fixture
def slopes() -> Any:
    return [
        np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]], dtype=np.float32),
        np.array([[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]], dtype=np.float32),
    ]


def write(analysis: Any, block: dict[str, Any] | None, *more: str) -> dict[str, Any]:
    analysis.testing = {"histograms": block} if block is not None else {}
    analysis.write_configs()
    folder = analysis.folder
    assert main(["histograms", str(folder / "training.yaml"), str(folder / "testing.yaml"), *more]) == 0
    with uproot.open(folder / "out" / "foldall_keras_histograms.root") as file:
        return {name.split(";")[0]: file[name] for name in file.keys(cycle=True) if "/" in name}


def test_each_class_has_a_region_of_its_highest_scores(analysis: Any, slopes: Any) -> None:
    found = write(analysis, None)
    assert sorted(found) == sorted(f"{region}/{name}" for region in CLASSES for name in [*CLASSES, "asimov"])
    for index, region in enumerate(CLASSES):
        total: Any = 0
        for name in CLASSES:
            scores, columns = scored(analysis, name, slopes)
            inside = scores.argmax(axis=1) == index
            edges = np.linspace(1 / 3, 1, 21)
            expected = np.histogram(scores[inside, index], edges, weights=columns["weights"][inside])[0]
            squares = np.histogram(scores[inside, index], edges, weights=columns["weights"][inside] ** 2)[0]
            one = found[f"{region}/{name}"]
            assert one.classname == "TH1D"
            np.testing.assert_allclose(one.axis().edges(), edges)
            np.testing.assert_allclose(one.values(), expected, atol=1e-9)
            np.testing.assert_allclose(one.variances(), squares, atol=1e-9)
            assert one.axis().member("fTitle") == f"score of {region}"
            total = total + expected
        np.testing.assert_allclose(found[f"{region}/asimov"].values(), total, atol=1e-9)


def test_regions_by_formulas(analysis: Any, slopes: Any) -> None:
    block = {
        "regions": {
            "low": "counts < 3",
            "high": {"cut": "counts >= 3 && x > 0", "score": "background_2", "bins": [0.2, 0.5, 0.6]},
        },
        "bins": 4,
    }
    found = write(analysis, block)
    scores, columns = scored(analysis, "background_1", slopes)
    low = columns["counts"] < 3
    expected = np.histogram(scores[low, 0], 4, (0, 1), weights=columns["weights"][low])[0]
    np.testing.assert_allclose(found["low/background_1"].values(), expected, atol=1e-9)
    high = (columns["counts"] >= 3) & (columns["x"] > 0)
    values, weights = scores[high, 2], columns["weights"][high]
    one = found["high/background_1"]
    expected = [
        weights[(values >= low) & (values < up)].sum() for low, up in ((-1, 0.2), (0.2, 0.5), (0.5, 0.6), (0.6, 2))
    ]
    np.testing.assert_allclose(one.values(flow=True), expected, atol=1e-9)
    # what ROOT's mean is of
    inside = np.array(expected[1:3])
    assert one.member("fTsumwx") == pytest.approx((inside * [0.35, 0.55]).sum())


def test_bins_of_equal_content(analysis: Any, slopes: Any) -> None:
    block = {"regions": {"all": None}, "bins": {"equal_content": 5, "of": "background_2"}}
    analysis.testing["weight_branch"] = "weights_f4"
    analysis.testing["histograms"] = block
    analysis.write_configs()
    found = fit_histograms(prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all"))
    one = found.contents["all"]["background_2"]
    scores, columns = scored(analysis, "background_2", slopes)
    assert (one.edges[0], one.edges[-1]) == (0, 1)
    share = columns["weights_f4"].sum() / 5
    # as far as a single event allows
    np.testing.assert_allclose(one.sums, share, atol=columns["weights_f4"].max())
    np.testing.assert_allclose(
        one.sums, np.histogram(scores[:, 0], one.edges, weights=columns["weights_f4"].astype("f8"))[0]
    )


def test_equal_values_are_not_divided() -> None:
    values = np.array([0.5, 0.5, 0.5, 0.5, 0.9])
    np.testing.assert_allclose(equal_content_edges(values, np.ones(5), 4), [0.7])
    # negative weights: the sum 1, 0, 2, 3 reaches half of 3 at 0.3
    edges = equal_content_edges(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, -1.0, 2.0, 1.0]), 2)
    np.testing.assert_allclose(edges, [0.35])


def add_data(analysis: Any) -> list[dict[str, NDArray[Any]]]:
    random = np.random.default_rng(4)
    data = [{name: random.normal(0, 1, 300).astype("f4") for name in ("x", "y")} for _ in range(2)]
    for fold, columns in enumerate(data):
        with uproot.update(analysis.folder / f"fold{fold}.root") as file:
            file.mktree("data", {"x": "f4", "y": "f4"}).extend(columns)
    return data


def test_blinded_regions_have_no_data(analysis: Any) -> None:
    """A region with any event that is blinded has none at all, as a part of its data would be less than there is."""
    data = add_data(analysis)
    analysis.testing["histograms"] = {"regions": {"low": "x < 0", "high": "x >= 0.5"}, "bins": 3}
    analysis.testing["blind"] = "ml_score_signal < 0.9 && y > 0 && x < 0.2"
    analysis.write_configs()
    found = prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    write_fit_histograms(found)
    stem = analysis.folder / "out" / "foldall_keras_histograms"
    with uproot.open(stem.with_suffix(".root")) as file:
        assert "high/data_obs" in file
        assert "low/data_obs" not in file
        asimov = file["low/asimov"].values()
    observations = {
        one["name"]: one["data"] for one in json.loads(stem.with_suffix(".json").read_text())["observations"]
    }
    np.testing.assert_allclose(observations["low"], asimov)
    assert sum(observations["high"]) == np.concatenate([one["x"] >= 0.5 for one in data]).sum()
    card = stem.with_suffix(".txt").read_text()
    for line in (
        "low foldall_keras_histograms.root $CHANNEL/asimov",
        "high foldall_keras_histograms.root $CHANNEL/data_obs",
    ):
        assert f"shapes data_obs {line}" in card


def test_recorded_data_are_observed(analysis: Any, slopes: Any) -> None:
    """They have weights of 1 and the name that Combine wants; the workspace observes them."""
    data = add_data(analysis)
    block = {"regions": {"all": None}, "bins": 3}
    found = write(analysis, block)
    logits = [np.exp(np.stack([data[1 - m]["x"], data[1 - m]["y"]], axis=1) @ slopes[m]) for m in range(2)]
    values = np.concatenate([one[:, 0] / one.sum(axis=1) for one in logits])
    expected = np.histogram(values, 3, (0, 1))[0]
    np.testing.assert_array_equal(found["all/data_obs"].values(), expected)
    workspace = json.loads((analysis.folder / "out" / "foldall_keras_histograms.json").read_text())
    assert workspace["observations"] == [{"name": "all", "data": expected.tolist()}]
    card = (analysis.folder / "out" / "foldall_keras_histograms.txt").read_text()
    assert "shapes data_obs all foldall_keras_histograms.root $CHANNEL/data_obs" in card
    assert re.search(r"^observation 600$", card, re.MULTILINE)
    assert re.search(r"^process signal background_1 background_2\nprocess 0 1 2$", card, re.MULTILINE)


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated:DeprecationWarning")  # in pyhf
def test_variations_have_histograms_and_parameters(analysis: Any, slopes: Any) -> None:
    """Shifted weights of the same events, mirrored where there is no downward one, and shifted events."""
    for fold, by_class in enumerate(analysis.events):
        with uproot.update(analysis.folder / f"fold{fold}.root") as file:
            for name, columns in by_class.items():
                shifted = {**columns, "x": columns["x"] + np.float32(0.3)}
                file.mktree(f"{name}_up", {key: values.dtype for key, values in shifted.items()}).extend(shifted)
    analysis.testing["weight_branch"] = "weights_f4"
    analysis.testing["systematics"] = {
        "pileup": {"up": "1 + 0.2 * (y > 0)"},
        "scale": {"up": {"tree": "{class}_up"}, "down": "0.5"},
    }
    analysis.testing["histograms"] = {"regions": {"all": None}, "bins": 3}
    analysis.write_configs()
    found = prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    write_fit_histograms(found)
    stem = analysis.folder / "out" / "foldall_keras_histograms"
    with uproot.open(stem.with_suffix(".root")) as file:
        contents = {key.removeprefix("all/"): file[key].values() for key in file.keys(cycle=False) if "/" in key}
    sources = [f"{name}{way}" for name in ("pileup", "scale") for way in ("Up", "Down")]
    assert set(contents) == {*CLASSES, "asimov", *(f"{name}_{source}" for name in CLASSES for source in sources)}
    for name in CLASSES:
        scores, columns = scored(analysis, name, slopes)
        weights = columns["weights_f4"].astype("f8")
        nominal = np.histogram(scores[:, 0], 3, (0, 1), weights=weights)[0]
        up = np.histogram(scores[:, 0], 3, (0, 1), weights=weights * np.where(columns["y"] > 0, 1.2, 1.0))[0]
        np.testing.assert_allclose(contents[f"{name}_pileupUp"], up, rtol=1e-6)
        np.testing.assert_allclose(contents[f"{name}_pileupDown"], 2 * nominal - up, rtol=1e-5)
        np.testing.assert_allclose(contents[f"{name}_scaleDown"], nominal / 2, rtol=1e-6)
    for by_class in analysis.events:
        for columns in by_class.values():
            columns["x"] = columns["x"] + np.float32(0.3)
    scores, columns = scored(analysis, "signal", slopes)
    expected = np.histogram(scores[:, 0], 3, (0, 1), weights=columns["weights_f4"].astype("f8"))[0]
    np.testing.assert_allclose(contents["signal_scaleUp"], expected, rtol=1e-6)
    card = stem.with_suffix(".txt").read_text()
    assert "\npileup shape 1 1 1\nscale shape 1 1 1\n" in card
    pyhf = pytest.importorskip("pyhf")
    model = pyhf.Workspace(json.loads(stem.with_suffix(".json").read_text())).model()
    values = np.array(model.config.suggested_init())
    values[model.config.par_slice("pileup")] = 1.0
    total = sum(contents[f"{name}_pileupUp"] for name in CLASSES)
    np.testing.assert_allclose(model.expected_actualdata(values), total, rtol=1e-6)


def test_sources_need_names_of_histograms(analysis: Any) -> None:
    analysis.testing["systematics"] = {"pile/up": {"up": "1.1"}}
    analysis.write_configs()
    with pytest.raises(NtuplemlError, match="systematics: 'pile/up' cannot be a part of the name of a histogram"):
        fit_histograms(prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all"))


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated:DeprecationWarning")  # in pyhf
def test_the_example_of_the_page_fits(
    analysis: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The strength is 1 in Asimov data; its uncertainty follows from Fisher's information.

    With the known background b and signal s of each bin, σ⁻² = Σ s² / (s + b); Σw² of the simulation adds to the
    variance of each bin.
    """
    pyhf = pytest.importorskip("pyhf")
    analysis.testing["weight_branch"] = "weights_f4"
    block = {"regions": {"low": "counts < 3", "high": "counts >= 3"}, "bins": 4}
    analysis.testing["histograms"] = block
    analysis.write_configs()
    found = prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    (analysis.folder / "example").mkdir()
    write_fit_histograms(found, analysis.folder / "example" / "foldall_keras_histograms.root")
    monkeypatch.chdir(analysis.folder)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "fitting.md").read_text(), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    mu, uncertainty = scope["mu"], scope["uncertainty"]
    assert capsys.readouterr().out == f"mu = {mu:.2f} ± {uncertainty:.2f}\n"
    assert mu == pytest.approx(1, abs=1e-3)
    information = np.zeros(2)
    for named in fit_histograms(found).contents.values():
        signal, total = named["signal"].sums, named["asimov"]
        information += [(signal**2 / variance).sum() for variance in (total.sums, total.sums + total.squares)]
    known, with_simulation = information**-0.5
    assert uncertainty == pytest.approx(with_simulation, rel=0.1)
    assert with_simulation > 2 * known
    # without the uncertainty of the simulation it is that number
    workspace = json.loads(Path("example/foldall_keras_histograms.json").read_text())
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [one for one in sample["modifiers"] if one["type"] == "normfactor"]
    plain = pyhf.Workspace(workspace)
    scan = np.array([1 - known, 1 + known])
    model = plain.model()
    best = pyhf.infer.mle.twice_nll(np.array([1.0]), plain.data(model), model)
    rises = [float(pyhf.infer.mle.twice_nll(np.array([one]), plain.data(model), model)[0] - best[0]) for one in scan]
    assert np.mean(rises) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"regions": {"a": {"score": "sinal"}}}, "histograms.regions.a.score: no class 'sinal'; nearest: 'signal'"),
        ({"regions": {"a": "z > 0"}}, "histograms.regions.a.cut: no branch 'z', which"),
        ({"bins": {"equal_content": 3, "of": "b"}}, "histograms.bins.of: no class 'b'"),
    ],
)
def test_what_is_not_there_is_named(analysis: Any, block: dict[str, Any], message: str) -> None:
    analysis.testing["histograms"] = block
    analysis.write_configs()
    with pytest.raises(NtuplemlError) as raised:
        fit_histograms(prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all"))
    assert message in str(raised.value)


def test_nothing_is_overwritten_unasked(analysis: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write(analysis, {"bins": 2})
    arguments = ["histograms", str(analysis.folder / "training.yaml"), str(analysis.folder / "testing.yaml")]
    assert main(arguments) == 2
    assert "exists already; give --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
