"""A process with ROOT, for what must be read or written without the classes that another file has left behind.

It answers lines of JSON with lines of JSON. Each request is served by a fork of its own, so that no file's classes are
known when the next is opened, and a crash of ROOT ends nothing but its request.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIBRARIES = ("libTree", "libTreePlayer", "libHist", "libPhysics", "libGenVector", "libGraf", "libROOTNTuple")


def _write(root: Any, code: str, calls: dict[str, str]) -> dict[str, Any]:
    """Compile code and call functions of it, each with a path."""
    assert root.gInterpreter.Declare(code)
    for function, path in calls.items():
        getattr(root, function)(path)
    return {}


def _describe(root: Any, path: str, tree: str, without: str, values: bool) -> dict[str, Any]:
    lines = str(root.describe_file(path, tree, without, values)).splitlines()
    return dict(line.split("\t", 1) for line in lines)


def _evaluate(root: Any, path: str, tree: str, formulas: list[str]) -> dict[str, Any]:
    return {text: json.loads(str(root.evaluate(path, tree, text))) for text in formulas}


OPERATIONS = {"write": _write, "describe": _describe, "evaluate": _evaluate}


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ROOT's wheel says that it is an alpha release
        import ROOT
    ROOT.gROOT.SetBatch(True)
    ROOT.gErrorIgnoreLevel = ROOT.kFatal
    ROOT.gEnv.SetValue("Root.Stacktrace", "no")
    for library in LIBRARIES:  # what is declared is linked at once
        ROOT.gSystem.Load(library)
    assert ROOT.gInterpreter.Declare(f'#include "{HERE / "read_with_root.C"}"')
    ROOT.describe_file("/nowhere", "none", "", True)  # what is compiled now is not compiled in each fork
    ROOT.evaluate("/nowhere", "none", "x")
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            try:
                answer = OPERATIONS[request.pop("operation")](ROOT, **request)
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        if status:
            sys.stdout.write(json.dumps({"failed": status}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
