"""Importing TensorFlow without its remarks on oneDNN and the processor, which say nothing to a user."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines that are dropped. Their level cannot be set: they are written before TensorFlow reads TF_CPP_MIN_LOG_LEVEL.
_REMARKS = (
    b"oneDNN custom operations are on",
    b"All log messages before absl::InitializeLog() is called",
    b"cpu_feature_guard.cc",
    b"To enable the following instructions:",
)


def import_tensorflow() -> None:
    """Import TensorFlow and Keras; whatever else they write to the standard error stream appears after the import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" in sys.modules:
        return
    with _without_remarks():
        import keras
        import tensorflow as tf

        tf.constant(keras.backend.epsilon())  # the first operation starts the run time, which has remarks too


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hold back what the block writes to file descriptor 2, and write it afterwards without the remarks."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            held.seek(0)
            lines = [line for line in held if not any(remark in line for remark in _REMARKS)]
            os.write(original, b"".join(lines))
            os.close(original)
