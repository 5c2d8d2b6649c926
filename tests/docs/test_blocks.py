"""Blocks of the documentation: commands that the parsers take, YAML that the schemas take."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import pytest

from ntupleml.command_line import add_common_options
from ntupleml.commands.command import with_one_file
from ntupleml.config.loading import parse_yaml
from ntupleml.config.schemas import schema_file
from ntupleml.verbs import parser_of, verbs

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = Path(__file__).resolve().parents[2]
#: Every page that shows commands.
PAGES = sorted([TOP / "README.md", *(TOP / "docs").glob("*.md"), *(TOP / "configs").glob("*/README.md")])
#: Stages of a clone, whose scripts are verbs.
_SCRIPT = re.compile(r"(?:dataset|training|testing|application)/(\w+)\.py")
#: Optional arguments of a synopsis.
_OPTIONAL = re.compile(r"(?<!\S)\[([^\[\]]*)\](?!\S)")
_BRACES = re.compile(r"([^\s{}]*)\{([^{}\s]+,[^{}\s]+)\}([^\s{}]*)")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
#: What synopses call their arguments, and something of that kind.
PLACEHOLDERS = {"N": "2", "NUMBER": "2", "CUT": "0.5", "B": "1", "T": "0.1", "X": "0.1"}
CONFIGS = ("dataset", "training", "testing", "application", "conversion", "images")
#: YAML that is no config: what commands write.
WRITTEN = {
    "docs/lwtnn.md": ["weights", "variable_exports", "architecture_exports"],
    "docs/ensembles.md": ["members", "ensemble"],
    "docs/testing.md": ["signal", "background", "uncertainty"],
}


class Block(NamedTuple):
    """A block of a page."""

    page: str
    line: int
    #: After the three backticks; empty for indented blocks.
    language: str
    text: str


class Line(NamedTuple):
    """A command of a page."""

    place: str
    words: list[str]


def blocks(page: Path) -> list[Block]:
    """Fenced and indented blocks of a page."""
    name = page.relative_to(TOP).as_posix()
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = re.fullmatch(r"( *)```+([\w{}-]*)\s*", lines[number])
        start = number
        if fence:
            number += 1
            while not lines[number].lstrip().startswith("```"):
                number += 1
            text = [line.removeprefix(fence[1]) for line in lines[start + 1 : number]]
            found.append(Block(name, start + 1, fence[2], "\n".join(text)))
        elif lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            found.append(Block(name, start + 1, "", "\n".join(line[4:] for line in lines[start:number])))
            continue
        number += 1
    return found


def commands(page: Path) -> list[Line]:
    """Commands of the project on a page; verbs come first, however they are called there."""
    found: list[Line] = []
    for block in blocks(page):
        if block.language not in ("", "bash", "console"):
            continue
        text = block.text.replace("\\\n", " ")
        for offset, line in enumerate(text.splitlines()):
            for words in _simple_commands(line):
                script = _SCRIPT.fullmatch(words[0])
                if words[0] == "ntupleml" or script:
                    found.append(Line(f"{block.page}:{block.line + offset + 1}", words))
    return found


def _simple_commands(line: str) -> list[list[str]]:
    """Commands of a line of a shell; none where it is something else, such as output."""
    lexer = shlex.shlex(_expanded(line.removeprefix("$ ").strip()), posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        tokens = list(lexer)
    except ValueError:  # output with one quotation mark
        return []
    found: list[list[str]] = [[]]
    skip = False
    for token in tokens:
        if set(token) <= set("|;&"):
            found.append([])
        elif set(token) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        else:
            found[-1].append(token)
    return [words for words in found if words]


def _expanded(line: str) -> str:
    """Braces as a shell expands them, and what a synopsis leaves open: the first of its alternatives."""
    line = _OPTIONAL.sub(lambda match: match[1].split("|")[0] if match[1][0] == "-" or match[1].isupper() else "", line)
    while match := _BRACES.search(line):
        words = " ".join(f"{match[1]}{word}{match[3]}" for word in match[2].split(","))
        line = line[: match.start()] + words + line[match.end() :]
    return line


def verb_of(words: list[str]) -> str:
    """Verb of a command, read from the script where it is one of a clone."""
    if words[0] == "ntupleml":
        return words[1]
    found = re.search(r'script\("([\w-]+)"\)', (TOP / words[0]).read_text())
    assert found, words
    return found[1]


@each_page
def test_commands_are_taken(
    page: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "analysis.yaml").write_text("dataset: {}\ntraining: {}\ntesting: {}\napplication: {}\n")
    for place, words in commands(page):
        if words[1].startswith("-") or words[0].endswith("/SCRIPT.py") or words[1] == "VERB":
            continue  # `ntupleml --help`, and what stands for any script
        verb = verb_of(words)
        parser = parser_of(verb, place)
        add_common_options(parser)
        arguments = [PLACEHOLDERS.get(word, word) for word in words[2 if words[0] == "ntupleml" else 1 :]]
        spell = verbs()[verb].spell
        try:
            parser.parse_args(with_one_file(parser, spell(arguments) if spell else arguments))
        except SystemExit:
            pytest.fail(f"{place}: {' '.join(words)}\n{capsys.readouterr().err}")


def test_most_pages_have_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 150


@each_page
def test_verbs_scripts_and_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    examples = set(re.findall(r'^"([\w-]+)": Step\(', text, re.MULTILINE))  # of what can be added
    for verb in re.findall(r"(?:^ *|`)ntupleml ([a-z][\w-]*)\b(?! 1`)", text, re.MULTILINE):
        assert verb in verbs() or verb in examples
    for script in re.findall(r"(?<![\w/])(?:dataset|training|testing|application|tools|benchmarks)/\w+\.py\b", text):
        assert (TOP / script).exists() or script.endswith("/SCRIPT.py"), script
    targets = re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"(?:^ *|`)make ([a-z][\w-]*)", text, re.MULTILINE):
        assert target in targets


def without_required(schema: Any) -> Any:
    """A schema for parts of a config."""
    if isinstance(schema, dict):
        return {
            key: without_required(value)
            for key, value in schema.items()
            if not (key == "required" and isinstance(value, list)) and key != "minProperties"
        }
    return [without_required(value) for value in schema] if isinstance(schema, list) else schema


@pytest.fixture(scope="module")
def validators() -> list[tuple[set[str], jsonschema.Draft202012Validator]]:
    """A validator of each block of each config, with its keys."""
    found = []
    for config in CONFIGS:
        schema = without_required(json.loads(schema_file(config).read_text()))
        for part in (schema, *schema["$defs"].values()):
            if "properties" in part:
                whole = {**part, "$defs": schema["$defs"]}
                found.append((set(part["properties"]), jsonschema.Draft202012Validator(whole)))
    return found


@each_page
def test_yaml_is_of_a_config(page: Path, validators: list[tuple[set[str], jsonschema.Draft202012Validator]]) -> None:
    for block in blocks(page):
        content = _yaml(block)
        if content is None or list(content) == WRITTEN.get(block.page):
            continue
        # One file for all stages holds a config under the name of each.
        is_whole = {*content} <= {*CONFIGS[:4]} and all(isinstance(part, dict) for part in content.values())
        for part in content.values() if is_whole else [content]:
            place = f"{block.page}:{block.line}"
            fitting = [validator for keys, validator in validators if {*part} <= keys]
            assert fitting, f"{place}: no config has all of {[*part]}"
            best = min((list(validator.iter_errors(part)) for validator in fitting), key=len)
            assert not best, f"{place}: {[f'{error.json_path}: {error.message}'[:200] for error in best]}"


def _yaml(block: Block) -> dict[str, Any] | None:
    """Mapping of a block of YAML, without what an ellipsis stands for."""
    if block.language != "yaml":
        return None
    text = re.sub(r"^ *…$", "", block.text, flags=re.MULTILINE)
    content = _without_ellipses(parse_yaml(text.encode(), block.page))
    return content if isinstance(content, dict) else None


def _without_ellipses(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_ellipses(value) for key, value in content.items() if "…" not in (key, value)}
    return [_without_ellipses(value) for value in content if value != "…"] if isinstance(content, list) else content


def toy_commands() -> list[Line]:
    """Scripts on the toy, stage by stage, each once."""
    found: dict[tuple[str, ...], Line] = {}
    for line in (one for page in PAGES for one in commands(page)):
        files = [f"{word}/" for word in line.words[1:] if "/" in word or word == "example"]
        of_toy = files and all(file.startswith(("configs/toy/", "example/")) for file in files)
        of_toy = of_toy and not any(re.search(r"^example/.*\.ya?ml", file) for file in files)  # configs of the page
        if of_toy and line.words[0] != "ntupleml" and "forest" not in line.words:  # the toy has no forest
            found.setdefault(tuple(word for word in line.words if word != "--overwrite"), line)
    stages = ("dataset", "training", "testing", "application")
    return sorted(found.values(), key=lambda line: stages.index(line.words[0].partition("/")[0]))


@pytest.mark.slow
def test_commands_on_the_toy_run(run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    shutil.copytree(TOP / "configs", tmp_path / "configs")
    training = tmp_path / "configs" / "toy" / "training.yaml"
    text, number = re.subn(r"^( *(?:epochs|rounds):) \d+", r"\1 2", training.read_text(), flags=re.MULTILINE)
    assert number == 3
    trees = "!H:!V:NTrees=3:BoostType=Grad:MaxDepth=3"
    training.write_text(f"{text}\ntmva: {{methods: [{{name: BDT, type: kBDT, options: '{trees}'}}]}}\n")
    done = toy_commands()
    for line in done:
        options = [option for action in parser_of(verb_of(line.words), "")._actions for option in action.option_strings]
        more = ["--overwrite"] if "--overwrite" in options and "--overwrite" not in line.words else []
        more += ["--events", "600"] if "write_example" in line.words[0] else []
        ended = run_script(*line.words, *more, cwd=tmp_path)
        assert ended.returncode == 0, f"{line.place}: {' '.join(line.words)}\n{ended.stderr}"
    assert len(done) > 30
    for config in (tmp_path / "configs" / "toy").glob("*.yaml"):
        shutil.copy(config, tmp_path)
    shutil.copy(tmp_path / "example" / "example_signal.root", tmp_path / "data.root")
    for page, number in (("README.md", 0), ("docs/boosted-trees.md", 0), ("docs/onnx.md", 0), ("docs/python.md", 0)):
        code = python_blocks(TOP / page)[number].text
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{page}:\n{ran.stderr}"


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


@each_page
def test_python_takes_what_the_package_has(page: Path) -> None:
    """Names that blocks import from the package exist, and take the arguments that they are given."""
    if page.name.startswith("adding-"):
        return  # these pages add files to the package; test_adding.py takes them
    for block in python_blocks(page):
        tree = ast.parse(block.text.replace("…", "..."))
        known: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                known |= {
                    one.asname or one.name: import_module(one.name) for one in node.names if one.name == "ntupleml"
                }
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ntupleml."):
                module = import_module(node.module or "")
                known |= {one.asname or one.name: getattr(module, one.name) for one in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (called := _called(node, known)) is not None:
                keywords = {one.arg: None for one in node.keywords if one.arg is not None}
                try:
                    inspect.signature(called).bind_partial(*node.args, **keywords)
                except TypeError as error:
                    pytest.fail(f"{block.page}:{block.line}: {ast.unparse(node)}: {error}")


def _called(node: ast.Call, known: dict[str, Any]) -> Any:
    """Function or class of the package that is called; None for others."""
    match node.func:
        case ast.Name(name) if name in known and callable(known[name]):
            return known[name]
        case ast.Attribute(ast.Name(name), attribute) if inspect.ismodule(known.get(name)):
            return getattr(known[name], attribute)
    return None


def test_the_example_of_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """Three of five events pass nothing yet, so one of them at a threshold between 3 and 2 is a pure rate of 20."""
    (block,) = python_blocks(TOP / "docs" / "rates.md")
    exec(block.text, {})
    assert capsys.readouterr().out.split()[:2] == ["3.0", "20.0"]
