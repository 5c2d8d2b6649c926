"""Images of the objects of ntuples, written to HDF5 or ROOT files: chunk by chunk, complete or not at all."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of
from ntupleml.events.reading import read_events
from ntupleml.ntuples import new_tree_file, open_ntuple, required_branches, with_defined
from ntupleml.ntuples.input_files import expand_inputs, require_no_input
from ntupleml.ntuples.inspection import only_tree
from ntupleml.ntuples.table_files import new_table_file, require_table_name
from ntupleml.ntuples.variables import branches_of_formula, parsed, variable_values
from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import ImagesConfig
    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues
    from ntupleml.ntuples import Chunk, Ntuple

    Extend = Callable[[Mapping[str, Any]], object]

log = logging.getLogger(__name__)

_ROOT = ".root"
#: Tree, or group, of the output.
TREE = "images"
#: Images that are filled at a time.
_BYTES_OF_IMAGES = 16_000_000


class MadeImages(NamedTuple):
    """What became of the events of all files."""

    events: int
    left_out: int


def make_images(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    config: ImagesConfig,
    *,
    tree: str | None = None,
    overwrite: bool = False,
) -> MadeImages:
    """Fill images from the objects of ntuples and write them, float32, with what is kept beside them.

    Parameters
    ----------
    inputs : path or sequence of path
        ROOT, HDF5 or Parquet files, with wildcards too; their events follow one another.
    output : path
        As it ends: an HDF5 file, compressed and in chunks of a few images, a Parquet file, or a ROOT file with a tree.
        The columns are in the group, or tree, ``images``.
    tree : str, optional
        Of all files; by default that of the config, else the only one.

    Raises
    ------
    NtuplemlError
        For files and branches that are missing, objects whose weight or place is no number, an output that exists,
        and where no event is left.
    """
    paths = expand_inputs([str(inputs)] if isinstance(inputs, str | Path) else [str(path) for path in inputs])
    if not paths:
        raise NtuplemlError("inputs: no file is given; name one")
    output = Path(output)
    require_no_input(output, paths)
    if output.suffix != _ROOT:
        require_table_name(output)
    trees = {path: tree or config.tree_path or only_tree(path) for path in paths}
    groups = groups_of(config.images)
    numbers, types = 0, None
    for path, tree_path in trees.items():
        with open_ntuple(path, tree_path) as ntuple:
            numbers += ntuple.num_entries
            found = _types(_defined(ntuple, config), config)
            if types is not None and found != types:
                different = next(name for name, kind in found.items() if kind != types[name])
                raise NtuplemlError(
                    f"{path}: columns: '{different}' is {found[different]}, but {types[different]} in {paths[0]}; make "
                    "their images one by one"
                )
            types = found
    assert types is not None
    record = json.dumps({"kind": "images", "inputs": trees, "config": config.model_dump(mode="json")})
    done = MadeImages(0, 0)
    with _writer(output, types, numbers, record, overwrite) as extend, progress_bar(numbers) as advance:
        for path, tree_path in trees.items():
            with open_ntuple(path, tree_path) as ntuple:
                made = _of_file(_defined(ntuple, config), groups, config, extend, partial(advance, path))
            done = MadeImages(done.events + made.events, done.left_out + made.left_out)
        if not done.events:
            raise NtuplemlError(f"selection: none of {done.left_out} events is left; loosen it")
    log.info("%s: %s events, %s%s", output, f"{done.events:,}", " and ".join(config.images), _left_out(done))
    return done


def _left_out(done: MadeImages) -> str:
    return f", {done.left_out:,} left out by the selection" if done.left_out else ""


def _defined(ntuple: Ntuple, config: ImagesConfig) -> Ntuple:
    return with_defined(ntuple, config.define) if config.define else ntuple


def _types(ntuple: Ntuple, config: ImagesConfig) -> dict[str, np.dtype[Any]]:
    """Types of the new columns: that of a branch is kept, a formula is float64, an image (η, φ) or with channels."""
    types: dict[str, np.dtype[Any]] = {}
    for name, formula in config.columns.items():
        needed = required_branches([formula], ntuple.branches, f"{ntuple.path}: columns.{name}")
        ntuple.require(needed, f"columns.{name}")
        branch = ntuple.branches.get(formula)
        types[name] = np.dtype(np.float64) if branch is None or branch.dtype is None else branch.dtype
    for name, image in config.images.items():
        assert image.bins is not None
        channels = [len(image.image)] if len(image.image) > 1 else []
        types[name] = np.dtype((np.float32, (*image.bins, *channels)))
    return types


def _of_file(
    ntuple: Ntuple, groups: Sequence[InputGroup], config: ImagesConfig, extend: Extend, advance: Callable[[int], None]
) -> MadeImages:
    step = max(1, _BYTES_OF_IMAGES // sum(kind.itemsize for kind in _types(ntuple, config).values()))
    more = list(required_branches([*config.columns.values()], ntuple.branches, ntuple.path))
    selection = None if config.selection is None else parsed(config.selection, "selection")
    if selection is not None:
        more += branches_of_formula(selection, ntuple)

    def chosen(chunk: Chunk) -> NDArray[np.intp] | None:
        return None if selection is None else np.flatnonzero(selection.passes(chunk.columns, chunk.num_rows))

    done, rest = 0, 0
    for events in read_events(ntuple, groups, more=more, choose=chosen):
        _require_finite(events.inputs, ntuple)
        kept = {
            name: variable_values(formula, events.columns, len(events), ntuple.path)
            for name, formula in config.columns.items()
        }
        for start in range(0, len(events), step):
            some = slice(start, start + step)
            images = {
                name: image[..., 0] if image.shape[-1] == 1 else image
                for name, image in events.inputs.batch(some).items()
            }
            extend({**{name: values[some] for name, values in kept.items()}, **images})
        done += len(events)
        rest += events.stop - events.start - len(events)
        advance(events.stop - events.start)
    return MadeImages(done, rest)


def _require_finite(inputs: InputValues, ntuple: Ntuple) -> None:
    for name, values in inputs.groups.items():
        for missing in values.missing():
            raise NtuplemlError(
                f"{ntuple.path}: tree '{ntuple.tree_path}': images.{name}: '{missing.variable}' is NaN or infinite in "
                f"{missing.number} of {missing.total} objects; leave these events out by the selection"
            )


@contextmanager
def _writer(output: Path, types: dict[str, np.dtype[Any]], most: int, record: str, overwrite: bool) -> Iterator[Extend]:
    if output.suffix == _ROOT:
        with new_tree_file(output, overwrite=overwrite) as file:
            yield file.tree(TREE, types, record).extend
    else:
        with new_table_file(output, TREE, types, most, overwrite=overwrite, compressed=True) as table:
            yield table.extend
            table.finish(record)
