"""Where the files of a trained model are, and their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ntupleml.artifacts.record import TrainingRecord
    from ntupleml.tmva.method import TmvaMethod

#: Job name with which TMVA begins the names of its files; htt-ml's, so that its configs find them.
TMVA_JOB = "TMVAMulticlass"
#: How the names of scalers end.
PREPROCESSING = "_preprocessing.json"


class Method(NamedTuple):
    """A way to train a classifier, by the name that the training config gives it."""

    #: The config's block: `model`, `boosted_trees`, `scikit_learn` or `tmva: methods`.
    kind: Literal["keras", "boosted_trees", "scikit_learn", "tmva"]
    #: Part of the names of its files.
    name: str
    #: Within the kind: ``"xgboost"``, ``"hist_gradient_boosting"`` or ``"lightgbm"``; ``"kBDT"``, ``"kPyKeras"`` and
    #: the like; a class of scikit-learn.
    type: str = ""


#: The network of the config's `model`.
KERAS = Method("keras", "keras")
#: Endings of the model files by the type of the method.
_ENDINGS = {"xgboost": ".json", "hist_gradient_boosting": ".npz", "lightgbm": ".txt", "kPyKeras": ".keras"}


class ModelFiles(NamedTuple):
    """Paths of everything that the training of one fold writes, whatever the method."""

    #: The model in its own format: `.keras`, XGBoost's `.json`, LightGBM's `.txt`, a forest as `.npz`, TMVA's
    #: `.weights.xml`; the ONNX file of estimators of scikit-learn, which have no other.
    model: Path
    #: The scikit-learn scaler as JSON, of trainings before its time a pickle; None for methods without one.
    preprocessing: Path | None
    #: Preprocessing and model as one graph.
    onnx: Path
    #: How the model came to be, JSON.
    record: Path
    #: The loss curves.
    loss_png: Path
    loss_pdf: Path
    #: The log of the training.
    log: Path

    @property
    def names(self) -> dict[str, str]:
        """Names of model, preprocessing and ONNX file, by these words: the keys of the record's checksums."""
        return {
            key: path.name
            for key, path in (("model", self.model), ("preprocessing", self.preprocessing), ("onnx", self.onnx))
            if path is not None
        }

    @property
    def pickle(self) -> Path | None:
        """The scaler once more, for scripts that read htt-ml's files; None for methods without one."""
        return None if self.preprocessing is None else self.preprocessing.with_suffix(".pickle")

    @property
    def keys(self) -> Path:
        """Keys of the rows that it saw, where the config asks for them; not among the others."""
        return self.record.with_name(f"{self.record.stem.removesuffix('_training')}_keys.h5")

    def of_record(self, record: TrainingRecord) -> ModelFiles:
        """Files that such a training has: an ensemble the ONNX file alone, an older one its scaler as a pickle."""
        if record.ensemble is not None:
            return self._replace(model=self.onnx, preprocessing=None)
        if self.preprocessing is None or self.pickle is None or self.preprocessing.name in record.sha256:
            return self
        is_older = self.pickle.name in record.sha256 or (self.pickle.exists() and not self.preprocessing.exists())
        return self._replace(preprocessing=self.pickle) if is_older else self

    def inside(self, folder: str | Path) -> ModelFiles:
        """The same names in another folder, all in it."""

        def moved(path: Path) -> Path:
            return Path(folder) / path.name

        return ModelFiles(
            model=moved(self.model),
            preprocessing=None if self.preprocessing is None else moved(self.preprocessing),
            onnx=moved(self.onnx),
            record=moved(self.record),
            loss_png=moved(self.loss_png),
            loss_pdf=moved(self.loss_pdf),
            log=moved(self.log),
        )


class TrainedModel(NamedTuple):
    """The trained model of one fold."""

    files: ModelFiles
    #: For foreign weights what the config says of them, which nobody can check.
    record: TrainingRecord
    method: Method = KERAS
    #: Content of TMVA's weights file if it is foreign: no record goes with it.
    weights: TmvaMethod | None = None


def model_files(output_path: str | Path, fold: int, method: Method = KERAS) -> ModelFiles:
    """Paths of the files of one fold's model.

    Parameters
    ----------
    output_path : path
        `output_path` of the training config.
    fold : int
        Index of the model.
    method : Method, optional
        By default the Keras network.

    Examples
    --------
    >>> model_files("example", 1).onnx.as_posix()
    'example/fold1_keras_model.onnx'
    >>> model_files("example", 0, Method("tmva", "BDT", "kBDT")).model.as_posix()
    'example/fold0_training/weights/TMVAMulticlass_BDT.weights.xml'
    """
    folder = Path(output_path)
    if method.kind == "tmva":
        return _tmva_files(folder / f"fold{fold}_training", method)
    stem = f"fold{fold}_{method.name}"
    plain = method == KERAS
    ending = ".onnx" if method.kind == "scikit_learn" else _ENDINGS.get(method.type, ".keras")
    return ModelFiles(
        model=folder / f"{stem}_model{ending}",
        preprocessing=folder / f"{stem}{PREPROCESSING}" if method.kind == "keras" else None,
        onnx=folder / f"{stem}_model.onnx",
        record=folder / f"{stem}_training.json",
        loss_png=folder / (f"fold{fold}_loss.png" if plain else f"{stem}_loss.png"),
        loss_pdf=folder / (f"fold{fold}_loss.pdf" if plain else f"{stem}_loss.pdf"),
        log=folder / (f"training{fold}.log" if plain else f"{stem}_training.log"),
    )


def _tmva_files(folder: Path, method: Method) -> ModelFiles:
    """TMVA's layout, with our files beside its own."""
    stem = f"{TMVA_JOB}_{method.name}"
    weights = folder / "weights"
    return ModelFiles(
        model=weights / f"{stem}{_ENDINGS.get(method.type, '.weights.xml')}",
        preprocessing=weights / f"{stem}{PREPROCESSING}" if method.type == "kPyKeras" else None,
        onnx=weights / f"{stem}.onnx",
        record=weights / f"{stem}.json",
        loss_png=weights / f"{stem}_loss.png",
        loss_pdf=weights / f"{stem}_loss.pdf",
        log=folder / f"{stem}.log",
    )


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 checksum of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lwtnn_path(output_path: str | Path, fold: int) -> Path:
    """Where the lwtnn file of a fold's model is.

    Examples
    --------
    >>> lwtnn_path("example", 1).as_posix()
    'example/fold1_lwtnn.json'
    """
    return Path(output_path) / f"fold{fold}_lwtnn.json"


def frugally_deep_path(output_path: str | Path, fold: int) -> Path:
    """Where the frugally-deep file of a fold's model is.

    Examples
    --------
    >>> frugally_deep_path("example", 1).as_posix()
    'example/fold1_frugally_deep.json'
    """
    return Path(output_path) / f"fold{fold}_frugally_deep.json"
