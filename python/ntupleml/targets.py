"""What can be learnt: the one list of targets, and what all stages call their parts."""

from __future__ import annotations

from typing import Literal, get_args

#: What a model learns.
TargetKind = Literal["classes", "values", "reconstruction", "image"]
ALL_TARGETS: tuple[TargetKind, ...] = get_args(TargetKind)
#: Targets with one true number for each score.
MEASURED: tuple[TargetKind, ...] = ("values", "image")
#: First scores of an image: its missing transverse energy.
COMPONENTS = ("ex", "ey")
#: What an image that is learnt is called in a batch of raw arrays, where no group of inputs has such a name, and among
#: the outputs of an ONNX file.
TARGET_IMAGE, IMAGE_OUTPUT = "target.image", "predicted_image"
