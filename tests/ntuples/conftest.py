"""Files that ROOT wrote, for the tests of this room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root_written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with trees.root, rntuple.root and collections.root; see root_files.py for what is in them."""
    folder = tmp_path_factory.mktemp("root_written")
    script = Path(__file__).with_name("root_files.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=120)
    return folder
