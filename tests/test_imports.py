"""XGBoost without scikit-learn, ONNX Runtime without its reports; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from ntupleml.imports import import_xgboost_alone
import_xgboost_alone()
assert not any(name.partition(".")[0] == "sklearn" for name in sys.modules)
import numpy, xgboost
booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(numpy.arange(8.0)[:, None], numpy.arange(8) > 3), 1)
assert booster.get_score()
from sklearn.tree import DecisionTreeClassifier
DecisionTreeClassifier().fit([[0], [1]], [0, 1])
import_xgboost_alone()
"""


def test_scikit_learn_is_left_out_and_can_be_imported_later() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_xgboost_nothing_happens() -> None:
    program = (
        "import sys; sys.modules['xgboost'] = None\n"
        "from ntupleml.imports import import_xgboost_alone\n"
        "del sys.modules['xgboost']; sys.path = [path for path in sys.path if 'site-packages' not in path]\n"
        "import_xgboost_alone(); assert 'sklearn' not in sys.modules and 'xgboost' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_onnx_runtime_reports_nothing(tmp_path: Path) -> None:
    """Its telemetry would leave a database and an identifier in the user's cache, and a temporary file."""
    program = "from ntupleml.imports import import_onnxruntime\nimport_onnxruntime().set_default_logger_severity(3)"
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | places
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not list(tmp_path.rglob("*"))
