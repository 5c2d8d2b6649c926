"""Copy data files that ROOT ships with its tutorials into a folder: `copy_root_data.py FOLDER NAME...`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path


def data_folders() -> list[Path]:
    """Folders in which a ROOT wheel or installation keeps the data of its tutorials."""
    tops = [Path(os.environ["ROOTSYS"])] if "ROOTSYS" in os.environ else []
    specification = importlib.util.find_spec("ROOT")
    if specification is not None and specification.origin is not None:
        package = Path(specification.origin).parent
        tops += [package, *package.parents[:3]]
    subfolders = ("tutorials/machine_learning/data", "share/doc/root/tutorials/machine_learning/data")
    return [top / subfolder for top in tops for subfolder in subfolders]


def main() -> int:
    """Copy each file, or say where it was looked for."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        source = next((folder / name for folder in data_folders() if (folder / name).is_file()), None)
        if source is None:
            folders = ", ".join(map(str, data_folders())) or "no ROOT found"
            sys.stderr.write(f"{name}: not among the tutorials of this ROOT (looked in {folders})\n")
            return 2
        if not (target / name).exists():
            shutil.copyfile(source, target / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
