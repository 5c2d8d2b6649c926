#!/usr/bin/env python3
"""`ntupleml inspect` from a clone of the project."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + "/python")

from ntupleml.cli import script

if __name__ == "__main__":
    sys.exit(script("inspect"))
