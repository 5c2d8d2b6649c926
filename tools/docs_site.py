"""Build the documentation site, which works from a folder without a server or a network.

    python tools/docs_site.py build/docs

Pages are those of docs/, the example configs, and references that are generated: of every key of the configs from their
JSON schemas, of every command from its parser, of the Python interface from docstrings. A warning is an error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from ntupleml.command_line import add_common_options
from ntupleml.config.loading import parse_yaml
from ntupleml.config.schemas import schema_file
from ntupleml.errors import NtuplemlError
from ntupleml.testing.registry import STEPS
from ntupleml.verbs import STAGES, parser_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
#: Pages of docs/ by the part of the navigation that they belong to; each stands in one.
NAVIGATION: dict[str, list[str]] = {
    "Start": ["installing", "stages", "gallery"],
    "Tutorials": ["tutorial-ten-minutes", "tutorial-one-hour"],
    "Guides: data": ["dataset", "structure", "inputs", "keys", "joining", "converting", "making-images"],
    "Guides: training": [
        "training",
        "boosted-trees",
        "scikit-learn",
        "tuning",
        "ensembles",
        "adversary",
        "regression",
        "images",
        "slots",
        "autoencoders",
        "quantised",
        "anomaly",
    ],
    "Guides: testing": [
        "testing",
        "report",
        "roc-curves",
        "scores",
        "calibration",
        "significance",
        "sculpting",
        "importance",
        "comparing",
        "search",
        "control-region",
        "systematics",
        "rates",
        "fitting",
    ],
    "Guides: application": ["application", "many-files", "chains", "onnx", "model-card", "lwtnn", "frugally-deep"],
    "Coming from": [
        "from-htt-ml",
        "from-tmva",
        "from-weaver",
        "from-salt",
        "from-notebooks",
        "from-nn-trainer",
        "from-calratio",
        "from-etmiss",
        "from-hlt-ad",
    ],
    "Reference": ["command-line", "python", "formulas", "scalers", "networks", "formats"],
    "How it is built": [
        "design",
        "adding-a-metric",
        "adding-a-trainer",
        "adding-an-encoder",
        "adding-a-source",
        "speed",
        "reliability",
    ],
}
#: Release in which all keys appeared that do not say another.
FIRST_VERSION = "0.1.0"
#: The configs, and what each is for.
CONFIGS = {
    "dataset": "Which files, cuts and weights make the fold files: `ntupleml dataset`.",
    "training": "What is trained on which events: `ntupleml train-keras`, `train-bdt`, `train-tmva`, `train-sklearn`.",
    "testing": "Which models are tested, and how figures look: `ntupleml report` and every step of the testing stage.",
    "application": "Which models score ntuples, and what new branches are called: `ntupleml apply-keras` and others.",
    "conversion": "Which columns a table of an ntuple gets: `ntupleml convert`.",
    "images": "Which images are made of objects: `ntupleml make-images`.",
}
#: What `import ntupleml` offers, as functions and classes of modules.
INTERFACE = {
    "Trained models": ["interface.load_model", "interface.Model"],
    "Stages": ["stages.create_datasets", "stages.train", "stages.read_events", "stages.test", "stages.apply"],
    "Results": ["stages.Tested", "testing.steps.Answer", "stages.Events", "datasets.records.DatasetSummary"],
    "Columns of another table": ["datasets.joining.join"],
    "Errors": ["errors.NtuplemlError"],
}
_LONGEST_EXAMPLE = 12
_PLURALS = {"text": "texts", "number": "numbers", "whole number": "whole numbers"}


class Example(NamedTuple):
    """A value of a key in an example config."""

    yaml: str
    place: str


#: Examples by the name of the block and the key.
Examples = dict[tuple[str, str], Example]


def key_pages() -> dict[str, str]:
    """Reference of the keys of each config, as Markdown."""
    pages = {}
    for config, summary in CONFIGS.items():
        schema = json.loads(schema_file(config).read_text(encoding="utf-8"))
        found: Examples = {}
        for place, content in itertools.chain(_example_configs(config), _blocks_in_docs(schema)):
            _collect(schema, schema, "", content, place, found)
        blocks = [("", "## At the top", schema)]
        places = _places(schema)
        for name in sorted(places, key=places.__getitem__):
            blocks.append((name, f"({config}-{name.lower()})=\n## `{places[name]}`", schema["$defs"][name]))
        parts = [_block(config, name, title, block, schema, found) for name, title, block in blocks]
        history = _history([(places.get(name, ""), block) for name, _, block in blocks])
        pages[config] = "\n\n".join([f"# Keys of the {config} config", summary, history, *parts]) + "\n"
    return pages


def _history(blocks: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Versions in which keys appeared: those of `since` in the schema; all others are those of the first release."""
    later = [
        (f"{place}.{key}".lstrip("."), value["since"])
        for place, block in blocks
        for key, value in _keys(block).items()
        if "since" in value
    ]
    if not later:
        return f"All keys are there since version {FIRST_VERSION}."
    rows = [f"| `{key}` | {version} |" for key, version in later]
    return "\n".join([f"Keys that came after version {FIRST_VERSION}:", "", "| key | since |", "|---|---|", *rows])


def _places(schema: dict[str, Any]) -> dict[str, str]:
    """Where each block stands first, in dotted form."""
    found: dict[str, str] = {}
    waiting = [("", schema)]
    while waiting:
        where, block = waiting.pop(0)
        for key, value in _keys(block).items():
            for name, path in _references(value, f"{where}.{key}".lstrip(".")):
                if name not in found:
                    found[name] = path
                    waiting.append((path, schema["$defs"][name]))
    return found


def _keys(block: dict[str, Any]) -> dict[str, Any]:
    return {**block.get("properties", {}), **block.get("patternProperties", {})}


def _references(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Blocks that a value may be, each with its place."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield node["$ref"].rsplit("/", 1)[1], path
    for part in node.get("anyOf", []):
        yield from _references(part, path)
    yield from _references(node.get("items"), f"{path}[]")
    yield from _references(node.get("additionalProperties"), f"{path}.NAME")


def _block(config: str, name: str, title: str, block: dict[str, Any], schema: dict[str, Any], found: Examples) -> str:
    """A block with all its keys."""
    lines = [title, ""]
    if name:
        lines += [block["description"], ""]
    for key, value in sorted(_keys(block).items(), key=lambda pair: pair[0] not in block.get("required", [])):
        text, default = _type(value, config, schema), value.get("default")
        given = "" if default in ("", [], {}, None) else f", default `{json.dumps(default, ensure_ascii=False)}`"
        needed = " **(needed)**" if key in block.get("required", []) else ""
        target = re.sub(r"\W+", "-", f"{config}-{name or 'top'}-{key}").lower()
        since = f", since {value['since']}" if "since" in value else ""
        lines += [f"({target})=", f"### `{key}`", "", f"*{text}*{given}{since}{needed}", "", value["description"], ""]
        example = found.get((name, key)) or (Example(_as_yaml(key, default), "default") if given else None)
        if example is not None:
            lines += ["```yaml", example.yaml, "```", ""]
    return "\n".join(lines).rstrip()


def _type(node: dict[str, Any], config: str, schema: dict[str, Any]) -> str:
    """What a value is, in words."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        if "properties" in schema["$defs"][name]:
            return f"[{name.removesuffix('Config')} block](#{config}-{name.lower()})"
        return _type(schema["$defs"][name], config, schema)
    if "enum" in node or "const" in node:
        words = [f"`{word}`" for word in node.get("enum", [node.get("const")])]
        return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
    if "anyOf" in node:
        kinds = [_type(part, config, schema) for part in node["anyOf"] if part.get("type") != "null"]
        kinds = [kind for kind in dict.fromkeys(kinds) if not (kind == "whole number" and "number" in kinds)]
        return " or ".join(kinds)
    kind = node.get("type")
    kind = next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind
    if kind == "array":
        return "list of " + _many(node.get("items", {}), config, schema)
    if kind == "object":
        return "mapping of names to " + _many(node.get("additionalProperties", {}), config, schema)
    plain = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}
    return plain.get(str(kind), "anything") + _limits(node)


def _many(node: Any, config: str, schema: dict[str, Any]) -> str:
    text = _type(node, config, schema) if isinstance(node, dict) else "anything"
    return _PLURALS.get(text, f"({text})" if " " in text and not text.startswith("[") else text)


def _limits(node: dict[str, Any]) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {node[key]:,}" for key, word in words.items() if key in node]
    return f" {' and '.join(limits)}" if limits else ""


def _example_configs(config: str) -> Iterator[tuple[str, Any]]:
    """Example configs of a kind with their places."""
    simple_first = ("toy", "multiclass", "higgs", "htautau", "tth")
    paths = sorted((TOP / "configs").rglob("*.yaml"), key=lambda path: path.parent.name not in simple_first)
    for path in paths:
        parent = path.parent.name
        if config_of(path) == config and parent != "schemes":
            yield str(path.relative_to(TOP)), parse_yaml(path.read_bytes(), path)


def config_of(path: Path) -> str | None:
    """Which config an example is, by its name; None for networks that are compared."""
    if path.stem in CONFIGS:
        return path.stem
    if path.parent.name == "schemes":
        return "training"
    return "conversion" if path.parent.name == "reference" else None


def _blocks_in_docs(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Blocks of YAML in the pages of which all keys are those of a config."""
    for page in sorted(DOCS.glob("*.md")):
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            try:
                content = parse_yaml(block.encode(), page)
            except NtuplemlError:
                continue
            if isinstance(content, dict) and content.keys() <= schema["properties"].keys():
                yield page.name, content


def _collect(schema: dict[str, Any], node: dict[str, Any], name: str, value: Any, place: str, found: Examples) -> None:
    """Note the first example of each key of a value and of all below it."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        node = schema["$defs"][name]
    for part in node.get("anyOf", []):
        _collect(schema, part, name, value, place, found)
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        for item in value:
            _collect(schema, node["items"], name, item, place, found)
    if not isinstance(value, dict):
        return
    keys = node.get("properties", {})
    if keys and not all(key in keys or "additionalProperties" in node for key in map(str, value)):
        return  # another block of several that there may be
    for key, item in value.items():
        if str(key) in keys:
            text = _as_yaml(str(key), item)
            if text.count("\n") < _LONGEST_EXAMPLE and "…" not in text:
                found.setdefault((name, str(key)), Example(text, place))
            _collect(schema, keys[str(key)], name, item, place, found)
        elif isinstance(node.get("additionalProperties"), dict):
            _collect(schema, node["additionalProperties"], name, item, place, found)


def _as_yaml(key: str, value: Any) -> str:
    """A key with its value, short lists and blocks in one line."""
    text = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=88, default_flow_style=None).rstrip()
    return text[1:-1] if text.startswith("{") else text


def command_pages() -> dict[str, str]:
    """Reference of the verbs of each stage, as Markdown."""
    scripts = _scripts()
    pages = {}
    for title, commands in STAGES.items():
        name = title.partition(":")[0].replace(" ", "-")
        lines = [f"# Commands: {title}", ""]
        for verb, command in commands.items():
            parser = parser_of(verb, f"ntupleml {verb}")
            add_common_options(parser)
            known = f"Also `{scripts[verb]}` in a clone." if verb in scripts else ""
            lines += [f"## `{verb}`", "", f"{command.summary} {known}".rstrip(), ""]
            lines += ["```text", _help(parser), "```", ""]
        pages[name] = "\n".join(lines)
    return pages


def _help(parser: Any) -> str:
    """Help of a parser without its summary, as wide as the page."""
    parser.description = None
    formatter = parser.formatter_class
    parser.formatter_class = lambda prog: formatter(prog, width=96, max_help_position=30)
    return str(parser.format_help().rstrip())


def _scripts() -> dict[str, str]:
    """Script of each verb that has one."""
    found = {}
    for path in sorted(TOP.glob("*/*.py")):
        match = re.search(r'script\("([\w-]+)"\)', path.read_text(encoding="utf-8"))
        if match:
            found[match[1]] = str(path.relative_to(TOP))
    return found


def interface_page() -> str:
    """Reference of the Python interface, for autodoc."""
    lines = ["# Python reference", "", "[From Python](python.md) shows how these are used.", ""]
    for title, names in INTERFACE.items():
        lines += [f"## {title}", "", "```{eval-rst}"]
        for name in names:
            kind = "autoclass" if name.rsplit(".", 1)[1][0].isupper() else "autofunction"
            lines += [f".. {kind}:: ntupleml.{name}", *(["   :members:"] if kind == "autoclass" else []), ""]
        lines += ["```", ""]
    return "\n".join(lines)


def steps_page() -> str:
    """The steps of the testing stage."""
    lines = ["# Steps of the testing stage", "", '`ntupleml.test(…)["NAME"]` gives the answer of a step.', ""]
    lines += ["| name | verb | what | targets |", "|---|---|---|---|"]
    for name, step in STEPS.items():
        verb = f"`{step.verb}`" if step.verb else "in the report"
        lines.append(f"| `{name}` | {verb} | {step.summary or step.title} | {', '.join(sorted(step.targets))} |")
    return "\n".join(lines) + "\n"


def example_pages() -> dict[str, str]:
    """The configs of each example analysis, after what its README says."""
    pages = {}
    for folder in sorted(path for path in (TOP / "configs").iterdir() if path.is_dir()):
        readme = folder / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.exists() else f"# The analysis `{folder.name}`\n"
        text = re.sub(r"\]\((?:\.\./)+docs/", "](../", text)
        for path in sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path)):
            place = str(path.relative_to(folder))
            for link in (place, str(Path(place).parent)):  # a folder is where the first of its configs stands
                text = text.replace(f"]({link})", f"](#{folder.name}-{place.replace('/', '-')})")
            text += f"\n({folder.name}-{place.replace('/', '-')})=\n## `{path.relative_to(TOP)}`\n\n"
            text += f"```yaml\n{path.read_text(encoding='utf-8')}```\n"
        pages[folder.name] = text
    listed = ["```{toctree}", ":maxdepth: 1", "", *pages, "```"]
    pages["index"] = "\n".join(
        ["# The example analyses", "", "Their configs run with `make example-NAME`.", "", *listed, ""]
    )
    return pages


def with_links(text: str, folder: str) -> str:
    """A page in which links to what the site has elsewhere lead there.

    Parameters
    ----------
    folder : str
        Where links of the page begin: `docs/` for the README, `../` for pages of docs.
    """
    text = re.sub(rf"\]\((?:{re.escape(folder)})?configs/([\w-]+)[^)]*\)", r"](configs/\1.md)", text)
    text = text.replace("](configs)", "](configs/index.md)")
    return text.replace("](docs/", "](") if folder != "../" else text


def assemble(source: Path) -> None:
    """Write all pages into a folder."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(DOCS, source)
    pages = {path.stem: with_links(path.read_text(encoding="utf-8"), "../") for path in DOCS.glob("*.md")}
    readme = with_links((TOP / "README.md").read_text(encoding="utf-8"), "")
    for name in ("CHANGELOG.md", "CITATION.cff", "LICENSE"):
        shutil.copy(TOP / name, source / name)
    pages["CONTRIBUTING"] = with_links((TOP / "CONTRIBUTING.md").read_text(encoding="utf-8"), "")
    examples = example_pages()
    generated = {
        "Reference": [
            *(f"reference/{name}" for name in CONFIGS),
            *(f"commands/{name}" for name in command_pages()),
            "reference/steps",
            "reference/python",
            "configs/index",
        ],
        "How it is built": ["CONTRIBUTING", "CHANGELOG"],
    }
    groups = {title: [*names, *generated.get(title, [])] for title, names in NAVIGATION.items()}
    trees = [_toctree(title, names) for title, names in groups.items()]
    pages["index"] = "\n".join([readme, *trees])
    pages |= {f"configs/{name}": text for name, text in examples.items()}
    pages |= {f"reference/{name}": text for name, text in key_pages().items()}
    pages |= {f"commands/{name}": text for name, text in command_pages().items()}
    pages["reference/steps"] = steps_page()
    pages["reference/python"] = interface_page().replace("](python.md)", "](../python.md)")
    for name, text in pages.items():
        path = source / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _toctree(title: str, names: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *names, "```", ""])


def main() -> int:
    """Build the site."""
    from sphinx.cmd.build import main as sphinx

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the pages and the site go")
    folder = parser.parse_args().folder
    assemble(folder / "source")
    status = sphinx(
        ["-q", "-W", "--keep-going", "-b", "html", "-d", f"{folder}/doctrees", f"{folder}/source", f"{folder}/html"]
    )
    if not status:
        print(f"written: {(folder / 'html' / 'index.html').resolve()}")
    return status


if __name__ == "__main__":
    sys.exit(main())
