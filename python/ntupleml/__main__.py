"""`python -m ntupleml` is the command `ntupleml`."""

import sys

from ntupleml.cli import main

if __name__ == "__main__":
    sys.exit(main())
