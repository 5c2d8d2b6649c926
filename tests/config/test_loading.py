"""What is wrong in a config comes back as one line that names the file, the key and what to do."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.config import ApplicationConfig, DatasetConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.config.loading import read_yaml
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pydantic import BaseModel

DATASET = """
output_path: .
output_filename: example_dataset.root
tree_path: ntuple
processes:
  signal: {files: [example_signal.root]}
"""
TRAINING = """
datasets: [fold0.root, fold1.root]
output_path: .
classes: [signal, background]
variables: [x, y]
"""


@pytest.fixture
def write(tmp_path: Path):
    def write_config(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write_config


def mistake(path: Path, schema: type[BaseModel]) -> str:
    """What is said of a file after its path; a dictionary of the same content is told the same."""
    with pytest.raises(NtuplemlError) as of_file:
        load_config(path, schema)
    beginning, _, message = str(of_file.value).partition(": ")
    assert beginning == str(path)
    try:
        content = read_yaml(path)
    except NtuplemlError:  # no YAML
        return message
    if isinstance(content, dict):
        with pytest.raises(NtuplemlError) as of_dictionary:
            load_config(content, schema)
        name = {DatasetConfig: "dataset", TrainingConfig: "training", ApplicationConfig: "application"}[schema]
        assert str(of_dictionary.value) == f"{name} dictionary: {message}"
    return message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DATASET + "num_fold: 3\n", "unknown key 'num_fold'; nearest: 'num_folds'"),
        (DATASET + "num_folds: '3'\n", "num_folds: found '3', but a valid integer is needed"),
        (DATASET + "num_folds: 1\n", "num_folds: found 1, but greater than or equal to 2 is needed"),
        (DATASET.replace("files", "file"), "processes.signal: unknown key 'file'; nearest: 'files'"),
        (
            DATASET.replace("[example_signal.root]", "1"),
            "processes.signal.files: found 1, but a valid list",
        ),
        (DATASET + "  signal: {files: [b.root]}\n", "line 7, column 3: key 'signal' stands here a second time"),
        (DATASET + "branches: alll\n", "branches: found 'alll', but 'all' or 'needed' is needed"),
        (DATASET + "branches: [x, x]\n", "branches: named twice: 'x'"),
        (DATASET.replace("tree_path: ntuple", ""), "no tree_path, neither here nor in processes.signal"),
        (DATASET.replace("dataset.root", "dataset.txt"), "output_filename: 'example_dataset.txt' is not the name"),
        (DATASET.replace("output_path: .", ""), "key 'output_path' is missing"),
        (DATASET.replace("[example_signal.root]", "[]"), "processes.signal.files: holds nothing, but at least 1 is"),
        (
            DATASET.replace("[example_signal.root]", "[a.root, ./a.root]"),
            "processes.signal.files: named twice: 'a.root'",
        ),
        (DATASET.replace("root]}", "root], class: a;1}"), "processes.signal.class: 'a;1' cannot be part of a branch"),
        (DATASET.replace("  signal:", "  sig nal:"), "processes: 'sig nal' cannot be part of a branch"),
        (DATASET + "training_weight_branch: a/b\n", "training_weight_branch: 'a/b' cannot be part of a branch"),
        (DATASET + 'base_path: "a\\0b"\n', "base_path: 'a?b' holds a line break or another unprintable character"),
        (DATASET + 'event_branch: "a\\nb"\n', "event_branch: 'a b' holds a line break"),
        (DATASET + 'base_path: "\\ud800"\n', "base_path: '?' holds a line break or another unprintable"),
        ("a:\n\t- b\n", "line 2, column 1: found character '\\t' that cannot start any token; indent with spaces"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: expected a single document in the stream, but found another"),
        ("", "key 'output_path' is missing"),
        ("# nothing but words\n", "key 'output_path' is missing"),
        (DATASET.split("processes")[0] + "processes: {signal: }\n", "processes.signal: key 'files' is missing"),
        ("- a", "holds a list, not keys with values"),
        ("a: [", "line 1, column 5: expected the node content"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_dataset_config_mistakes(write, text: str, message: str) -> None:
    found = mistake(write(text), DatasetConfig)
    assert message in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAINING + "model: {name: example, epoch: 3}\n", "model: unknown key 'epoch'; nearest: 'epochs'"),
        (TRAINING + "model: {save_best_only: 'False'}\n", "model.save_best_only: found 'False', but a valid boolean"),
        (TRAINING + "model: {hidden: [0]}\n", "model.hidden[0]: found 0"),
        (TRAINING + "model: {name: example, dropout: 0.1}\n", "is a network of the zoo, so dropout cannot be set"),
        (TRAINING + "model: {dropout: 0.1}\n", "dropout is set, but not hidden"),
        (TRAINING + "model: {learning_rate: 0.1}\n", "learning_rate is set, but not hidden"),
        (TRAINING + "preprocessing: standart\n", "no preprocessing 'standart'; nearest: 'standard_scaler'"),
        (TRAINING + "class_weights: {signal: 1}\n", "class_weights: no weight of class 'background'"),
        (TRAINING + "train_test_split: 2\n", "train_test_split: found 2"),
        (TRAINING + "missing: {value: .nan}\n", "missing.value: found nan, but a finite number is needed"),
        (TRAINING + "missing: {value: 1.0e+39}\n", "missing.value: 1e+39 does not fit into the 32-bit floats"),
        (TRAINING + "model: {hidden: [5], learning_rate: .inf}\n", "model.learning_rate: found inf, but a finite"),
        (TRAINING + "class_weights: {signal: .nan, background: 1}\n", "class_weights.signal: found nan, but a finite"),
        (TRAINING + "class_weights: {signal: -1, background: 1}\n", "class_weights.signal: -1.0 is negative"),
        (TRAINING.replace("[signal, background]", "[signal]"), "classes: holds 1, but at least 2 are needed"),
        (TRAINING.replace("[signal, background]", "[signal, 'a b']"), "classes[1]: 'a b' cannot be part of a branch"),
        (TRAINING.replace("[signal, background]", "[signal, max_index]"), "classes[1]: 'max_index' cannot be a class"),
        (TRAINING.replace("fold1.root", "./fold0.root"), "datasets: named twice: 'fold0.root'"),
        (
            TRAINING + "adversary: {against: {classes: [a, b, c]}}\n",
            "adversary.against.classes: holds 3, but no more than 2 can be there",
        ),
        (TRAINING + "adversary: {against: {clases: [a, b]}}\n", "against: unknown key 'clases'; nearest: 'classes'"),
        (TRAINING + "plot: {style: CSM}\n", "plot.style: found 'CSM', but 'plain', 'CMS'"),
        (TRAINING + "plot: {label: '$H_{$'}\n", r"plot.label: '$H_{$' is no formula that matplotlib can draw: "),
        (TRAINING + r"plot: {class_labels: {a: '$\taau$'}}", r"plot.class_labels: a: '$\taau$' is no formula"),
        (TRAINING.replace("[x, y]", "[x, x]"), "variables: named twice: 'x'"),
        (TRAINING.replace("[fold0.root, fold1.root]", "[fold0.root]"), "datasets: one fold file; at least two"),
        (TRAINING + "conditions: {2016: {datasets: [a, b, c]}}\n", "conditions.2016.datasets: 3 fold files"),
        (TRAINING + "conditions: {2016: {dataset: [a, b]}}\n", "conditions.2016: unknown key 'dataset'"),
        (TRAINING + "conditions: {a: {datasets: [a, b]}}\ndatasets_b: [a, b]\n", "datasets_b and conditions stand"),
    ],
)
def test_training_config_mistakes(write, text: str, message: str) -> None:
    assert message in mistake(write(text), TrainingConfig)


@pytest.mark.parametrize("schema", [TestingConfig, ApplicationConfig])
@pytest.mark.parametrize("text", ["", "# method: keras\n", "---\n", "{}", "\n\n"])
def test_where_all_keys_are_optional_none_has_to_be_there(write, schema, text: str) -> None:
    assert load_config(write(text), schema) == schema()


@pytest.mark.parametrize("block", ["rejection", "cut_scan"])
def test_a_scale_is_a_number_or_a_class(write, block: str) -> None:
    text = "search: {" + block + ": {scale: {a: -1}}}\n"
    with pytest.raises(NtuplemlError, match=rf"search.{block}.scale.a: found -1, but greater than or equal to 0 is"):
        load_config(write(text), TestingConfig)


@pytest.mark.parametrize("key", ["plot", "significance"])
def test_a_block_without_keys_is_one_of_defaults(write, key: str) -> None:
    assert load_config(write(f"{key}:\n  # style: CMS\n"), TestingConfig) == TestingConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selection: x > 0", "selection: needs a score for the events that are left out; add e.g. default_score: -1"),
        ("missing_inputs: default", "missing_inputs: needs a score for the events that are left out; add e.g. default"),
        ("missing_inputs: -1", "missing_inputs: found -1, but 'refused' or 'default' is needed"),
        ("{default_score: 1e39, selection: x}", "default_score: found 1e+39, but less than or equal to 34000"),
        ("{default_score: .nan, selection: x}", "default_score: found nan, but "),
    ],
)
def test_application_config_mistakes(write, text: str, message: str) -> None:
    assert mistake(write(text), ApplicationConfig).startswith(message)


def test_a_dictionary_may_hold_what_python_has_in_place_of_yaml(write) -> None:
    of_file = load_config(write(TRAINING + "seed: 3\nmodel: {hidden: [5]}"), TrainingConfig)
    of_dictionary = load_config(
        {
            "datasets": (Path("fold0.root"), Path("fold1.root")),
            "output_path": Path(),
            "classes": ("signal", "background"),
            "variables": ["x", "y"],
            "seed": np.int64(3),
            "model": {"hidden": (np.int32(5),)},
        },
        TrainingConfig,
    )
    assert of_dictionary == of_file
    assert of_dictionary.where == "training dictionary"
    assert of_file.where.endswith("config.yaml")
    assert load_config(of_file, TrainingConfig) is of_file
    assert pickle.loads(pickle.dumps(of_file)).where == of_file.where
    for wrong in (3, TestingConfig()):
        with pytest.raises(NtuplemlError, match=r"a training config is needed: .* not (int|TestingConfig)$"):
            load_config(wrong, TrainingConfig)  # type: ignore[arg-type]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"none\.yaml: no such file; paths|none\.yaml: no such file$"):
        load_config(tmp_path / "none.yaml", DatasetConfig)


def test_text_in_another_encoding_is_said_to_be_that(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("label: Köln".encode("latin-1"))
    with pytest.raises(NtuplemlError, match="not UTF-8 text: byte 0xf6 at position 8; save it as UTF-8"):
        load_config(path, DatasetConfig)
    path.write_bytes(b"label: a\x01b")
    with pytest.raises(NtuplemlError, match=r"not YAML: an unprintable character \(number 1\) at position 8"):
        load_config(path, DatasetConfig)


def test_a_tilde_is_the_home_folder_as_in_a_shell(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    text = DATASET.replace("output_path: .", "output_path: ~/output").replace(
        "[example", "[~/a.root, ./~/b.root, example"
    )
    config = load_config(write(text + "friend_paths: [~/friends]\nbase_path: '~'\n"), DatasetConfig)
    assert (config.output_path, config.base_path) == ("/home/somebody/output", "/home/somebody")
    assert config.friend_paths == ["/home/somebody/friends"]
    assert config.processes["signal"].files[:2] == ["/home/somebody/a.root", "./~/b.root"]


def test_aliases_that_expand_without_end_are_refused(write) -> None:
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(NtuplemlError, match="aliases expand to more than"):
        load_config(write("\n".join(levels)), DatasetConfig)
    with pytest.raises(NtuplemlError, match="an alias that contains itself"):
        load_config(write("a: &a [*a]"), DatasetConfig)


def test_numbers_with_an_exponent_and_no_point_are_numbers(write) -> None:
    """YAML 1.1 reads 1e-5 as text; no physicist does."""
    config = load_config(write(TRAINING + "model: {hidden: [5], l2: 1e-5, learning_rate: 1E-3}\n"), TrainingConfig)
    assert (config.model.l2, config.model.learning_rate) == (1e-5, 1e-3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 1e5),
        ("-2E-3", -2e-3),
        ("+.5e1", 5.0),
        ("7.e+2", 700.0),
        ("1.5e-3", 1.5e-3),
        ("12", 12),
        ("1.5", 1.5),
        ("'1e5'", "1e5"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1e5x", "1e5x"),
        (".e5", ".e5"),
        ("1e-5*x", "1e-5*x"),
        ("1e5_pt", "1e5_pt"),
    ],
)
def test_what_is_a_number_and_what_a_text(write, text: str, value: float | str) -> None:
    found = read_yaml(write(f"key: {text}\n"))["key"]
    assert (found, type(found)) == (value, type(value))


@given(
    st.from_regex(r"[-+]?([0-9]{1,4}(\.[0-9]{0,4})?|\.[0-9]{1,4})[eE][-+]?[0-9]{1,2}", fullmatch=True),
)
def test_every_number_with_an_exponent_is_what_python_reads(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("number") / "config.yaml"
    path.write_text(f"[{text}]\n")
    assert read_yaml(path) == [float(text)]


def test_plain_numbers_are_formulas(write) -> None:
    text = DATASET.replace("{files: [example_signal.root]}", "{files: [a.root], weight_string: 1.5, cut_string: ''}")
    process = load_config(write(text), DatasetConfig).processes["signal"]
    assert (process.weight_string, process.cut_string) == ("1.5", "1")


def test_old_keys_of_htt_ml_become_conditions(write) -> None:
    text = TRAINING.replace("datasets: [fold0.root, fold1.root]", "datasets_2016: [a0, a1]\ndatasets_2017: [b0, b1]")
    text += "class_weights_2016: {signal: 2, background: 3}\nclass_weights: {signal: 5, background: 7}\n"
    config = load_config(write(text), TrainingConfig)
    assert list(config.conditions) == ["2016", "2017"]
    assert config.datasets_of("2017") == ["b0", "b1"]
    assert config.class_weights_of("2016") == {"signal": 2, "background": 3}
    assert config.class_weights_of("2017") == {"signal": 5, "background": 7}
    assert config.num_folds == 2


def test_preprocessing_is_found_in_a_longer_text_as_in_htt_ml(write) -> None:
    config = load_config(write(TRAINING + "preprocessing: my_robust_scaler_v2\n"), TrainingConfig)
    assert config.preprocessing == "robust_scaler"


def test_the_five_example_configs_of_htt_ml_load(project: Path) -> None:
    folder = project / "tests" / "data" / "htt_ml"
    dataset = load_config(folder / "example_dataset_config.yaml", DatasetConfig)
    assert [dataset.class_of(name) for name in dataset.processes] == ["signal", "background_1", "background_2", "data"]
    training = load_config(folder / "example_training_config.yaml", TrainingConfig)
    assert training.seed == 1234
    assert (training.model.name, training.model.batch_size) == ("example", 100)
    load_config(folder / "example_keras_testing_config.yaml", TestingConfig)
    keras = load_config(folder / "example_keras_application_config.yaml", ApplicationConfig)
    assert keras.branch_prefix == "ml_score_"
    load_config(folder / "example_application_config.yaml", ApplicationConfig)
