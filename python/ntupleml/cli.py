"""Where the command `ntupleml VERB …` and the scripts of the four folders begin: each script is one verb.

What they can do stands in `ntupleml.verbs`. That is imported when signals are waited for already.
"""

from __future__ import annotations

import os
import sys

from ntupleml.stopping import stoppable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ntupleml VERB …`.

    Parameters
    ----------
    argv : sequence of str, optional
        Verb and arguments, by default those of the process, which is then to end with what this returns.

    Returns
    -------
    int
        Exit status: 0, 1 if a part of the work failed, 2 for a mistake of the user, 128 + its number after a signal.
    """

    def work() -> int:
        from ntupleml.verbs import run_command

        return run_command(list(sys.argv[1:] if argv is None else argv))

    return stoppable("ntupleml", work, last=argv is None)


def script(verb: str) -> int:
    """Run a verb with the arguments of the process, under the name of the script that calls this."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib takes time, in which signals would not be waited for

    def work() -> int:
        from ntupleml.verbs import run_verb

        return run_verb(verb, sys.argv[1:], name)

    return stoppable(name, work, last=True)
