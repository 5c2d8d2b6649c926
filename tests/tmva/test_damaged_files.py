"""Files of a real TMVA with one thing changed anywhere: either still readable, or one line."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = ["", "-1", "0", "1", "7", "1e999", "nan", "x", "999999999999", "1.5", "Variable", "\u00e9 \u2028", "1 2"]


def shrunk(root: ElementTree.Element) -> None:
    """Keep the first class of cumulative distributions only, for speed."""
    for block in root.iterfind("Transformations/Transform/Variable"):
        for entry in list(block)[1:]:
            block.remove(entry)


def damage(root: ElementTree.Element, rng: np.random.Generator) -> None:
    """Remove, repeat, rename or empty an element, or change an attribute or its text."""
    parents = [element for element in root.iter() if len(element)]
    parent = parents[rng.integers(len(parents))]
    element = parent[rng.integers(len(parent))]
    kind = rng.integers(6)
    if kind == 0:
        parent.remove(element)
    elif kind == 1:
        parent.append(copy.deepcopy(element))
    elif kind == 2:
        element.tag = "Other"
    elif kind == 3:
        element.text = str(rng.choice(WORDS))
    elif element.attrib:
        name = str(rng.choice(sorted(element.attrib)))
        if kind == 4:
            del element.attrib[name]
        else:
            element.set(name, str(rng.choice(WORDS)))


@pytest.mark.parametrize("case", ["mc_mlp_perclass_tr", "reg_mlp", "bin_ld", "bin_fisher_G", "bin_likelihood"])
def test_any_damage_is_one_line(case: str, weights_file: Callable[[str], Path], tmp_path: Path) -> None:
    whole = ElementTree.parse(weights_file(case)).getroot()
    shrunk(whole)
    rng = np.random.default_rng(20)
    messages = []
    for number in range(60):
        root = copy.deepcopy(whole)
        damage(root, rng)
        path = tmp_path / f"{number}.weights.xml"
        ElementTree.ElementTree(root).write(path, encoding="utf-8")
        try:
            read_weights(path)
        except NtuplemlError as error:
            messages.append(str(error).removeprefix(f"{path}: "))
    assert len(messages) > 15
    assert [message for message in messages if str(tmp_path) in message or not message.isprintable()] == []
    assert max(map(len, messages)) < 300
