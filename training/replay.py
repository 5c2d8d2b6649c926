#!/usr/bin/env python3
"""`ntupleml replay` from a clone of the project."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from ntupleml.cli import script

if __name__ == "__main__":
    sys.exit(script("replay"))
