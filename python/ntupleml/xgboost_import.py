"""Importing XGBoost without scikit-learn, whose import takes as long as many a training."""

from __future__ import annotations

import sys


def import_xgboost_alone() -> None:
    """Import XGBoost, if it is there, as if scikit-learn were not: for scripts, whose process is theirs.

    XGBoost imports scikit-learn to offer its own estimators, such as `XGBClassifier`, in the form of that library. The
    process does without them from then on; scikit-learn itself can still be imported.
    """
    if "xgboost" in sys.modules or "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import xgboost  # noqa: F401
    except ImportError:
        return  # who needs it will say so
    finally:
        del sys.modules["sklearn"]
