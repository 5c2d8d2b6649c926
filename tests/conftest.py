"""What the tests of all rooms share."""

from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[1]
#: What takes long to import, and most scripts need.
SERVED = ("keras", "numba", "uproot", "ntupleml.ntuples")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The processes of pytest-xdist share the cores: one thread each, and for the scripts that they start.
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")
# As every command does, before a library that knows OpenMP is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Most trainings are small: XLA takes longer to make its programs quick than they would ever run. (At level 0 a graph
# convolution learns NaN.)
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# A shell starts background jobs with interruptions ignored, and nohup with hang-ups, which the processes of the tests
# would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
#: How much is logged before any script's main function has run.
LOG_LEVELS = {name: logging.getLogger(name or None).level for name in ("", "ntupleml")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest go first (about: slow tests, then those that start processes or train), so that all
    processes of pytest-xdist end together; with `--no-loadscope-reorder` it keeps this order.
    """
    seconds: Counter[Path] = Counter()
    for item in items:
        of_scripts = "run_script" in getattr(item, "fixturenames", ())
        quick = 1.5 if item.path.parent.name == "training" else 0.05
        seconds[item.path] += 60 if item.get_closest_marker("slow") else 3 if of_scripts else quick
    items.sort(key=lambda item: -seconds[item.path])


def _python_hash(*values: int) -> int:
    """SplitMix64's finaliser, value by value, without its last bit: integers of Python, modulo 2⁶⁴."""
    mask, bits = 2**64 - 1, 0
    for value in values:
        bits = ((bits ^ (value & mask)) + 0x9E3779B97F4A7C15) & mask
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        bits ^= bits >> 31
    return bits >> 1


@pytest.fixture(scope="session")
def python_hash() -> Callable[..., int]:
    """The hash that decides folds, as docs/dataset.md has it, of some integers."""
    return _python_hash


@pytest.fixture(autouse=True)
def _no_handlers_left_behind() -> Iterator[None]:
    """What a script's main function logs to, and how much, ends with its test; later log lines must not go there."""
    root = logging.getLogger()
    before = set(root.handlers)
    for name, level in LOG_LEVELS.items():  # a fixture of a module may have run a main function before
        logging.getLogger(name or None).setLevel(level)
    yield
    for name, level in LOG_LEVELS.items():
        logging.getLogger(name or None).setLevel(level)
    for handler in [one for one in root.handlers if type(one) is logging.StreamHandler and one not in before]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def project() -> Path:
    """Top folder of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def run_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run one of the scripts as a user does, in a process of its own: `run_script("dataset/x.py", "a", cwd=...)`."""
    outputs = [tmp_path_factory.mktemp("script") / name for name in ("stdout", "stderr")]
    server: Any = None

    def run(script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        nonlocal server
        if server is None:
            server = runpy.run_path(str(PROJECT / "tools/script_server.py"))["ScriptServer"](*SERVED)
        command = [str(PROJECT / script), *map(str, arguments)]
        for output in outputs:
            output.write_bytes(b"")
        server.start(command, cwd or Path.cwd(), *outputs)
        status = server.wait(300)
        if status is None:
            server.kill()
            raise subprocess.TimeoutExpired(command, 300)
        return subprocess.CompletedProcess(command, status, *(output.read_text() for output in outputs))

    yield run
    if server is not None:
        server.close()


@pytest.fixture(scope="session")
def root_data() -> Path:
    """Folder of the data files that ROOT's wheel ships with its tutorials."""
    import importlib.util

    specification = importlib.util.find_spec("ROOT")
    assert specification is not None
    assert specification.origin is not None
    return Path(specification.origin).parent / "tutorials" / "machine_learning" / "data"
