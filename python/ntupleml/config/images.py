"""The images config: which images are made of the objects of an ntuple, and what is kept beside them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from ntupleml.config.inputs import ImageConfig  # noqa: TC001  # pydantic evaluates it
from ntupleml.config.schema import BranchName, Formula, NamedFormulas, Schema, TextKeys, TreePath


class ImagesConfig(Schema):
    """Schema of the images config."""

    #: Tree in the input files, with its folders. By default their only one.
    tree_path: TreePath | None = None
    #: By the name of the new column: how it is filled from objects.
    images: Annotated[dict[BranchName, ImageConfig], Field(min_length=1), TextKeys]
    #: Branches and formulas of the events that are kept, one value each.
    columns: Annotated[dict[BranchName, Formula], TextKeys, NamedFormulas] = {}
    #: Formula; events that fail it are left out.
    selection: Formula | None = None
    #: More branches for the formulas here, by formulas or numbers.
    define: Annotated[dict[BranchName, Formula], TextKeys] = {}

    @field_validator("images")
    @classmethod
    def _are_filled(cls, images: dict[str, ImageConfig]) -> dict[str, ImageConfig]:
        for name, image in images.items():
            if image.bins is None:
                raise ValueError(f"{name}: a column is an image already; give eta, phi, bins and eta_range to fill one")
            if image.preprocessing is not None:
                raise ValueError(f"{name}.preprocessing: images are made as they are; scale them in the training")
        return images

    @model_validator(mode="after")
    def _named_once(self) -> ImagesConfig:
        for name in self.images:
            if name in self.columns:
                raise ValueError(f"columns: '{name}' is the name of an image; give one of them another")
        return self
