#!/usr/bin/env python3
"""Draw the ROC curves of one or several methods on the folds that they never saw: each class against the others."""

from __future__ import annotations

import argparse
import sys

try:
    from ntupleml.command_line import run
    from ntupleml.testing.steps import add_step_options, prepared
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Write pictures and numbers."""
    from ntupleml.testing.roc import roc_files

    roc_files(prepared(arguments), overwrite=arguments.overwrite)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser, several_methods=True)
    sys.exit(run(main, parser))
