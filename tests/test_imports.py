"""XGBoost without scikit-learn, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

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
