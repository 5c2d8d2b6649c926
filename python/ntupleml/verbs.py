"""The verbs of the command `ntupleml VERB …`; each script of the four folders is one of them by another name."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from ntupleml.command_line import USER_ERROR, add_common_options, run
from ntupleml.commands import application, dataset, exporting, inspection, start, tables, testing, training
from ntupleml.commands.command import Command, with_one_file
from ntupleml.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

# Names of verbs come first, options of a verb after a dash, files of the folder everywhere else;
# these may have blanks in their names, so that only the end of a line ends one.
_COMPLETION = """\
_ntupleml() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{verbs}"
    else
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
        [[ "$word" == -* ]] || words=""
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    local IFS=$'\\n'
    [ "$COMP_CWORD" -eq 1 ] || [[ "$word" == -* ]] || COMPREPLY+=($(compgen -f -- "$word"))
}}
complete -o filenames -F _ntupleml ntupleml
"""


def _completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")


def _completion(arguments: argparse.Namespace) -> int:
    """Print what a shell is to evaluate."""
    cases = []
    for verb in verbs():
        parser = parser_of(verb, verb)
        add_common_options(parser)
        options = [name for action in parser._actions for name in action.option_strings]
        cases.append(f'            {verb}) words="{" ".join(options)}" ;;')
    if arguments.shell == "zsh":
        sys.stdout.write("autoload -U +X bashcompinit && bashcompinit\n")
    sys.stdout.write(_COMPLETION.format(verbs=" ".join(verbs()), cases="\n".join(cases)))
    return 0


_COMPLETE = Command(
    'Print completion of verbs, options and files for a shell: eval "$(ntupleml completion bash)".',
    _completion,
    _completion_arguments,
)
#: All verbs, by the stage that they belong to.
STAGES: dict[str, dict[str, Command]] = {
    "first steps": {**start.COMMANDS, "completion": _COMPLETE},
    "dataset: ntuples to fold files": {**inspection.COMMANDS, **dataset.COMMANDS, **tables.COMMANDS},
    "training: fold files to models": training.COMMANDS,
    "testing: models to numbers and figures": testing.COMMANDS,
    "application: scores into ntuples, models for other programs": {**application.COMMANDS, **exporting.COMMANDS},
}


class _Parser(argparse.ArgumentParser):
    """Options may stand anywhere between the arguments, also where the number of these is open."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parse."""
        return self.parse_intermixed_args(args, namespace)


def run_command(texts: list[str]) -> int:
    """Run `ntupleml` with a verb and its arguments; its exit status."""
    if not texts or texts[0] in ("-h", "--help"):
        (sys.stdout if texts else sys.stderr).write(_overview())
        return 0 if texts else USER_ERROR
    if texts[0] == "--version":
        from ntupleml.version import __version__  # asks git

        sys.stdout.write(f"ntupleml {__version__}\n")
        return 0
    verb, *arguments = texts
    if verb not in verbs():
        sys.stderr.write(f"ntupleml: no verb '{verb}'{did_you_mean(verb, list(verbs()))}; see ntupleml --help\n")
        return USER_ERROR
    return run_verb(verb, arguments, f"ntupleml {verb}")


def verbs() -> dict[str, Command]:
    """All verbs by name."""
    return {verb: command for commands in STAGES.values() for verb, command in commands.items()}


def parser_of(verb: str, prog: str) -> argparse.ArgumentParser:
    """Parser of a verb's arguments."""
    command = verbs()[verb]
    parser = _Parser(prog=prog, description=command.summary, usage=command.usage, epilog=command.epilog)
    command.add_arguments(parser)
    return parser


def run_verb(verb: str, arguments: list[str], prog: str) -> int:
    """Run a verb under a name of the program; its exit status."""
    command = verbs()[verb]
    if command.spell is not None:
        arguments = command.spell(arguments)
    parser = parser_of(verb, prog)
    return run(command.run, parser, with_one_file(parser, arguments))


def _overview() -> str:
    """Help of the command itself: each verb with the beginning of its summary."""
    lines = ["usage: ntupleml VERB ...", "", "From ROOT ntuples to trained classifiers and back.", ""]
    width = max(map(len, verbs()))
    for stage, commands in STAGES.items():
        lines += [stage, *(f"  {verb:{width}}  {_shortened(commands[verb].summary)}" for verb in commands), ""]
    lines += [
        "ntupleml VERB --help says what a verb takes; ntupleml --version which version this is.",
        "Exit status: 0 all is done, 1 some files or methods failed, 2 a mistake in arguments, configs or inputs,",
        "130 interrupted, 143 stopped (SIGTERM). Results go to standard output, all else to standard error.",
    ]
    return "\n".join(lines) + "\n"


def _shortened(summary: str) -> str:
    """What a summary says before its first colon or full stop."""
    return re.split(r": |\. ", summary, maxsplit=1)[0].rstrip(".")
