"""Sessions of ONNX Runtime for graphs from files, within bounds of memory and time."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.imports import import_onnxruntime
from ntupleml.onnx_models.checking import check_onnx, has_functions, read_onnx
from ntupleml.onnx_models.sessions import session_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Share of the machine's memory that the values of all graphs may take together.
_MOST_MEMORY = 0.5
#: Operators that run a graph of theirs as often as they like.
_LOOPS = (b"Loop", b"Scan")
#: Seconds after which a call of a graph with loops ends.
MOST_SECONDS = 600.0


class FileSession:
    """A session for a graph from a file.

    ONNX Runtime takes half of the machine's memory at most, and ten minutes for a call of a graph that has loops.
    Nothing is computed when the file is opened. What a graph holds is looked at before (`check_onnx`), but for those
    that a training wrote, which have no functions.

    Parameters
    ----------
    content : bytes or path
        The file's content, to which no other file belongs, or where it is.
    where : str
        What to call it in messages.
    threads : int
        Of ONNX Runtime.
    of_training : bool
        Whether it is the file of a training of ours.

    Raises
    ------
    NtuplemlError
        If it is refused (see `check_onnx`), or ONNX Runtime does not take it.
    """

    def __init__(self, content: bytes | Path, where: str, threads: int, *, of_training: bool = False) -> None:
        onnxruntime = import_onnxruntime()

        data, folder = (content, None) if isinstance(content, bytes) else (read_onnx(content), content.parent)
        if not of_training or has_functions(data):
            check_onnx(data, folder, where)
        self.where = where
        self._has_loops = any(name in data for name in _LOOPS)
        _bound_memory()
        options = session_options(threads)
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                content if isinstance(content, bytes) else str(content),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["ConstantFolding"],  # which runs the graph, without bounds
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise NtuplemlError(f"{where}: not an ONNX graph, or damaged: {one_line(error)}") from error

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        """Outputs of the graph.

        Raises
        ------
        NtuplemlError
            If ONNX Runtime fails: most often for lack of memory, or because it took too long.
        """
        onnxruntime = import_onnxruntime()

        options = onnxruntime.RunOptions()
        timer = threading.Timer(MOST_SECONDS, setattr, (options, "terminate", True))
        timer.daemon = True
        if self._has_loops:
            timer.start()
        try:
            found: list[Any] = self._session.run(names, dict(feeds), options)
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            reason = one_line(error)
            if options.terminate:
                reason = f"it took more than {MOST_SECONDS:g} s"
            elif "Available memory" in str(error):
                reason = "it needs more than half of the machine's memory"
            raise NtuplemlError(f"{self.where}: ONNX Runtime cannot evaluate it: {reason}") from error
        finally:
            timer.cancel()
        return found

    def get_inputs(self) -> Any:
        """As of ONNX Runtime."""
        return self._session.get_inputs()

    def get_outputs(self) -> Any:
        """As of ONNX Runtime."""
        return self._session.get_outputs()

    def get_modelmeta(self) -> Any:
        """As of ONNX Runtime."""
        return self._session.get_modelmeta()


@functools.cache
def _bound_memory() -> None:
    """Give ONNX Runtime an allocator that ends, once in a process."""
    onnxruntime = import_onnxruntime()

    most = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _MOST_MEMORY)
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(most, -1, -1, -1))
