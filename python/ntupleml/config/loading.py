"""Reading a YAML file into a schema, with one line for whatever is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError

from ntupleml.config.schema import path_or_config
from ntupleml.errors import MisplacedConfigError, NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from types import UnionType

    from pydantic_core import ErrorDetails

SchemaType = TypeVar("SchemaType", bound=BaseModel)
#: A config: the path of a YAML file, what would stand in one, or the object that is made of it.
ConfigSource: TypeAlias = str | Path | Mapping[str, Any] | BaseModel

#: Characters with which a formula may begin, and which mean something else to YAML.
_SPECIAL = "!&*%@`|>"
#: What YAML says of a colon and a blank in a text, such as those of `x > 0 ? 1 : 2`.
_TERNARY = "mapping values are not allowed here"
#: A line with a value: of a key, of an element of a list, or both.
_VALUE = re.compile(r"\s*(?:- +)*(?:[\w\"'.{}-]+:\s+|(?<=- ))(?P<value>\S.*)$")
#: Bytes of YAML that no sensible config exceeds.
LARGEST_FILE = 10_000_000
#: Values in a file; so many take some seconds.
_MOST_NODES = 100_000
#: Folders of the configs that this process has read, for messages about files that are not where their paths say.
_folders: dict[Path, None] = {}
#: Number of values that aliases may expand a file to.
MOST_VALUES = 1_000_000
_LONGEST_NUMBER = 100
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that also refuses repeated keys and expansions without end, and reads 1e-5 as a number."""

    num_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.num_nodes += 1
        if self.num_nodes > _MOST_NODES:
            raise ValueError(f"more than {_MOST_NODES:,} values are too many for a config")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):  # `!!map [1]` says that it is one
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"expected a mapping, but found {type(node).__name__.removesuffix('Node').lower()}",
                node.start_mark,
            )
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str) and key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands here a second time", key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A number, of no more characters than numbers have: thousands of digits take ever longer to read and write."""
        if len(node.value) > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value):,} characters", node.start_mark
            )
        is_whole = node.tag == _TAG + "int"
        return self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)


for _name in ("int", "float"):
    _Loader.add_constructor(_TAG + _name, _Loader.construct_number)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _count_values(node: yaml.Node, counted: dict[int, int], open_nodes: set[int]) -> int:
    """Number of values that a node stands for, its aliases written out."""
    if id(node) in counted:
        return counted[id(node)]
    if id(node) in open_nodes:
        raise yaml.YAMLError("an alias that contains itself")
    open_nodes.add(id(node))
    children = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    total = 1
    if not isinstance(node, yaml.ScalarNode):
        total += sum(_count_values(child, counted, open_nodes) for child in children)
    open_nodes.discard(id(node))
    if total > MOST_VALUES:
        raise yaml.YAMLError(f"its aliases expand to more than {MOST_VALUES} values")
    counted[id(node)] = total
    return total


def read_yaml(path: str | Path) -> Any:
    """Content of a YAML file, read without running anything in it."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        folder = Path(path).parent
        names = [one.name for one in folder.glob("*.y*ml")] if folder.is_dir() else []
        raise NtuplemlError(
            f"{path}: no such file{did_you_mean(Path(path).name, names) if names else elsewhere(path)}"
        ) from error
    except OSError as error:
        raise NtuplemlError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > LARGEST_FILE:
        raise NtuplemlError(f"{path}: {len(data)} bytes are too many for a config")
    return parse_yaml(data, path)


def elsewhere(path: str | Path) -> str:
    """Ending of a message about a missing file: the folder from which its path would be right, if it is relative."""
    if Path(path).is_absolute():
        return ""
    here = Path.cwd()
    for folder in (*reversed(_folders), *here.parents):
        if folder != here and (folder / path).exists():
            return f"; paths are relative to the current folder, {here}; call from {folder}, where it is"
    return f"; paths are relative to the current folder, {here}"


def parse_yaml(data: bytes, path: str | Path) -> Any:
    """Content of a YAML text; the path is for messages."""
    try:
        loader = _Loader(data)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {}, set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise NtuplemlError(f"{path}: {_of_yaml(error, data.decode(errors='replace').splitlines())}") from error
    except yaml.reader.ReaderError as error:
        raise NtuplemlError(f"{path}: {_not_text(error)}") from error
    except yaml.YAMLError as error:
        raise NtuplemlError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise NtuplemlError(f"{path}: nested too deeply for a config") from error
    except ValueError as error:  # e.g. the 30th of February
        raise NtuplemlError(f"{path}: {' '.join(str(error).split())}") from error
    except (KeyError, AttributeError, TypeError) as error:  # from values that are not what their tags say
        raise NtuplemlError(f"{path}: a tag (!!…) does not fit its value; configs need none, leave it out") from error


def _of_yaml(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> str:
    """What is wrong with a YAML text, in the terms of who writes formulas into it."""
    for mark in (error.problem_mark, error.context_mark):
        formula = _formula_at(mark, lines, error.problem or "")
        if mark is not None and formula is not None:
            column, text = formula
            quoted = f'"{text}"' if '"' not in text and "\\" not in text else "'" + text.replace("'", "''") + "'"
            return (
                f"line {mark.line + 1}, column {column + 1}: {one_line(text, 60)} is no plain text in YAML; put the "
                f"formula in quotation marks: {one_line(quoted, 80)}"
            )
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{_problem(error)}"


def _formula_at(mark: yaml.Mark | None, lines: Sequence[str], problem: str) -> tuple[int, str] | None:
    """Column and text of a formula that YAML takes for something else; None where it is another mistake."""
    if mark is None or mark.line >= len(lines) or "!!" in lines[mark.line]:  # tags of programs are none
        return None
    line = lines[mark.line]
    value = _VALUE.match(line)
    if value is not None and value["value"][0] not in "[{":
        text = value["value"].split(" #")[0].strip()
        is_ternary = problem == _TERNARY and re.search(r":\s", text)
        if text[0] in _SPECIAL or is_ternary or _is_half_quoted(text):
            return value.start("value"), text
    elif line[mark.column : mark.column + 1] in tuple(_SPECIAL):  # within brackets
        return mark.column, re.split(r"[,\]}]| #", line[mark.column :])[0].strip()
    return None


def _is_half_quoted(text: str) -> bool:
    """Whether a text goes on behind the quotation mark that ends what it begins with."""
    return text[0] in "'\"" and text.find(text[0], 1) not in (-1, len(text) - 1)


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "not YAML"
    if "'\\t'" in problem:
        return f"{problem}; indent with spaces, not with tabs"
    if problem == _TERNARY:
        return "this line is indented more than the one above it, which has a value; indent the keys of a block alike"
    if "expected <block end>" in problem:
        return "this line is indented differently from the block that it belongs to; indent the keys of a block alike"
    if problem.startswith("but "):  # the second half of a sentence
        return f"{error.context}, {problem}"
    if problem.startswith("expected ',' or") and error.context_mark is not None:
        begin = f"{error.context} that begins in line {error.context_mark.line + 1}"
        return f"{begin}, {problem}; put formulas within brackets in quotation marks"
    return problem


def _not_text(error: yaml.reader.ReaderError) -> str:
    if error.encoding == "unicode":
        return f"not YAML: an unprintable character (number {error.character}) at position {error.position}"
    return (
        f"not {error.encoding.upper()} text: byte {error.character:#04x} at position {error.position}; save it as UTF-8"
    )


def load_config(source: ConfigSource, schema: type[SchemaType], name_of_mapping: str | None = None) -> SchemaType:
    """Read a config and check it against its schema.

    Parameters
    ----------
    source : path, mapping or config
        The YAML file, or what would stand in it. A config is returned as it is. Of a file with a block for each stage,
        the block of the schema's stage is taken.
    schema : type
        One of the config classes of this room.
    name_of_mapping : str, optional
        What messages call a mapping.

    Returns
    -------
    config
        Its `where` is what messages call it: the path, with the block if it is one, or for a mapping e.g. ``training
        dictionary``.

    Raises
    ------
    NtuplemlError
        One line for the first thing wrong: file, key, what was found, the nearest valid key.
    """
    if isinstance(source, schema):
        return source
    from ntupleml.config.analysis import block_of, has_blocks

    name = schema.__name__.removesuffix("Config").lower()
    if isinstance(source, str | Path):
        where, content = str(source), read_yaml(source)
        folder = Path(source).absolute().parent
        _folders.pop(folder, None)  # the newest stands last
        _folders[folder] = None
    elif isinstance(source, Mapping):
        where, content = name_of_mapping or f"{name} dictionary", _as_in_yaml(source)
    else:
        raise NtuplemlError(
            f"a {name} config is needed: a path, a dictionary or a {schema.__name__}, not {type(source).__name__}"
        )
    if not isinstance(content, dict | None):
        raise NtuplemlError(f"{where}: holds {_kind(content)}, not keys with values")
    within = ""
    if schema in _stages():
        blocks = content if has_blocks(content) else None
        if blocks is not None:
            content, within = block_of(blocks, name, where), name
        if content and name == "training":
            content = _with_followed(content, blocks, where)
    try:
        config = schema.model_validate(content)
    except ValidationError as error:
        other = _meant_for(content or {}, schema)
        if other is not None:
            raise MisplacedConfigError(
                f"{where}: {within and f'{within}: '}looks like {_a(other)} config, but {_a(name)} config is needed"
            ) from error
        raise NtuplemlError(f"{where}: {first_problem(error, schema, within)}") from error
    vars(config)["where"] = f"{where}: {within}" if within else where
    return config


def _with_followed(content: Mapping[str, Any], blocks: Mapping[str, Any] | None, where: str) -> dict[Any, Any]:
    """Keys of a training config with those that follow from its dataset, if it has one."""
    from ntupleml.config.analysis import followed
    from ntupleml.config.dataset import DatasetConfig

    source, within = content.get("dataset"), "" if blocks is None else "training."
    if source is None:
        if blocks is None or blocks.get("dataset") is None:
            return dict(content)
        dataset = load_config({"dataset": blocks["dataset"]}, DatasetConfig, where)
    else:
        try:
            if isinstance(source, str) and not Path(source).expanduser().exists():
                raise NtuplemlError(f"no file '{source}'{elsewhere(source)}")
            dataset = load_config(path_or_config(source), DatasetConfig)
        except (NtuplemlError, ValueError) as error:
            raise NtuplemlError(f"{where}: {within}dataset: {error}") from error
    try:
        return followed(content, dataset)
    except ValueError as error:
        raise NtuplemlError(f"{where}: {within}{error}") from error


def stages_in(path: str | Path) -> list[str]:
    """Stages for which a file has a block; none for other files, and for what cannot be read."""
    from ntupleml.config.analysis import has_blocks

    if not Path(path).is_file():
        return []
    try:
        content = read_yaml(path)
    except NtuplemlError:  # said where the config is asked for
        return []
    return [str(name) for name in content] if has_blocks(content) else []


def file_of(where: str) -> str:
    """Path of the file of a config, for commands: what messages call it, without its block.

    Examples
    --------
    >>> file_of("analysis.yaml: training")
    'analysis.yaml'
    """
    return re.sub(r": (dataset|training|testing|application)$", "", where)


def _stages() -> tuple[type[BaseModel], ...]:
    from ntupleml.config.application import ApplicationConfig
    from ntupleml.config.dataset import DatasetConfig
    from ntupleml.config.testing import TestingConfig
    from ntupleml.config.training import TrainingConfig

    return DatasetConfig, TrainingConfig, TestingConfig, ApplicationConfig


def _meant_for(content: dict[Any, Any], schema: type[BaseModel]) -> str | None:
    """Stage of another config that knows all keys of a block, of which some are unknown or missing here."""

    def fits(other: type[BaseModel]) -> bool:
        fields = {field.alias or name: field.is_required() for name, field in other.model_fields.items()}
        if content.get("dataset") is not None and "dataset" in fields:
            fields["classes"] = False  # follow from it
        return content.keys() <= fields.keys() and all(key in content for key, needed in fields.items() if needed)

    stages = _stages()
    if not content or schema not in stages or fits(schema):
        return None
    found = [stage.__name__.removesuffix("Config").lower() for stage in stages if stage is not schema and fits(stage)]
    return found[0] if len(found) == 1 else None


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _as_in_yaml(value: Any) -> Any:
    """What YAML would make of it: paths are texts, tuples are lists, numbers of NumPy are numbers."""
    if isinstance(value, Mapping):
        return {key: _as_in_yaml(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_in_yaml(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "dtype") and hasattr(value, "item") and value.ndim == 0 else value


def first_problem(error: ValidationError, schema: type[BaseModel], within: str = "") -> str:
    """The most telling thing that is wrong with a block, in one line that begins with its key.

    Parameters
    ----------
    schema : type
        Of the block.
    within : str
        Where the block is.
    """
    return _in_one_line(min(error.errors(), key=_telling), schema, within)


def _telling(error: ErrorDetails) -> int:
    """Rank of an error: a misspelt key explains a missing one, and a list was not meant to be one of a few words."""
    if error["type"] == "extra_forbidden":
        return 0
    return 2 if error["type"] == "literal_error" and isinstance(error["input"], list) else 1


def _in_one_line(error: ErrorDetails, schema: type[BaseModel], within: str) -> str:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        *parents, key = location
        known = _keys_at(schema, parents)
        return f"{_path(parents, within)}unknown key '{key}'{did_you_mean(str(key), known)}"
    if error["type"] == "missing":
        *parents, key = location
        return f"{_path(parents, within)}key '{key}' is missing"
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["type"] == "value_error":
        return f"{_path(location, within)}{text}"
    found = error["input"]
    if error["type"] in ("too_short", "string_too_short"):
        number = error["ctx"]["min_length"]
        least = "1 is" if number == 1 else f"{number} are"
        return f"{_path(location, within)}holds {len(found) or 'nothing'}, but at least {least} needed"
    if error["type"] == "too_long":
        return (
            f"{_path(location, within)}holds {len(found)}, but no more than {error['ctx']['max_length']} can be there"
        )
    shown = _kind(found) if isinstance(found, dict | list) else repr(found)
    return f"{_path(location, within)}found {shown}, but {text} is needed"


def _path(location: tuple[int | str, ...] | list[int | str], within: str) -> str:
    """Key in dotted form, e.g. `processes.signal.files[0]: `; pydantic's names of union members are left out."""
    text = within
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "[" not in part:
            text += f".{part}" if text else str(part)
    return f"{text}: " if text else ""


def _kind(value: Any) -> str:
    names = {dict: "a block of keys", list: "a list", str: "a text", type(None): "nothing", bool: "true or false"}
    return names.get(type(value), f"a {type(value).__name__}")


def _keys_at(schema: type[BaseModel], parents: list[int | str]) -> list[str]:
    """Keys that the schema knows at a place in it."""
    current: Any = schema
    annotation: Any = None
    for part in parents:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
            if str(part) in fields:  # else it is a name in a mapping of blocks
                annotation = fields[str(part)]
                current = _block_in(annotation)
        if isinstance(part, str) and part.startswith("["):
            current = _tagged(annotation, part) or current
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _block_in(annotation: type | UnionType | Any) -> Any:
    """The schema inside `X | None`, `dict[str, X]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [_block_in(argument) for argument in getattr(annotation, "__args__", ())]
    return next((block for block in inner if block is not None), None)


def _tagged(annotation: Any, tag: str) -> Any:
    """The schema of a tag in a union of blocks."""
    metadata = getattr(annotation, "__metadata__", ())
    if any(isinstance(one, Tag) and one.tag == tag for one in metadata):
        return _block_in(annotation)
    inner = [*getattr(annotation, "__args__", ()), *([annotation.__origin__] if metadata else [])]
    return next((found for argument in inner if (found := _tagged(argument, tag)) is not None), None)
