"""Pickles as attackers write them: refused before anything in them runs, whatever module lends its hand.

The shapes are those that are published about scanners of pickles and about joblib, NumPy and scikit-learn: a function
named directly, named through a module that imports it, built from harmless parts, hidden in a state, or memory alone.
"""

from __future__ import annotations

import pickle
import resource
import struct
import time
from typing import TYPE_CHECKING

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import load_preprocessing, load_scalers

if TYPE_CHECKING:
    from pathlib import Path

#: Functions by the names of what a pickle calls, and text of their arguments.
CALLED = [
    "os system", "posix system", "nt system", "os popen", "os execv", "os spawnl", "os fork", "os remove",
    "subprocess Popen", "subprocess check_output", "subprocess run", "commands getoutput", "pty spawn",
    "builtins eval", "builtins exec", "builtins compile", "builtins getattr", "builtins __import__", "builtins open",
    "builtins globals", "builtins bytearray", "builtins memoryview", "builtins map", "builtins type",
    "__builtin__ eval", "__builtin__ apply", "__builtin__ file", "_io FileIO", "io open", "io open_code",
    "functools partial", "functools reduce", "operator attrgetter", "operator itemgetter", "operator methodcaller",
    "importlib import_module", "runpy run_module", "runpy _run_code", "pkgutil resolve_name", "sys modules",
    "code InteractiveInterpreter", "codeop compile_command", "types CodeType", "types FunctionType", "ctypes CDLL",
    "webbrowser open", "shutil rmtree", "socket socket", "urllib.request urlopen", "http.client HTTPSConnection",
    "timeit timeit", "timeit main", "profile run", "cProfile run", "pdb run", "bdb Bdb", "doctest debug_script",
    "idlelib.pyshell ModifiedInterpreter", "idlelib.calltip get_entity", "lib2to3.pgen2.grammar Grammar", "pip main",
    "ensurepip _run_pip", "venv create", "logging.config dictConfig", "asyncio.unix_events _UnixSubprocessTransport",
    "multiprocessing.util spawnv_passfds", "test.support.script_helper assert_python_ok", "trace Trace",
    "copyreg __newobj__", "copyreg add_extension", "pickle loads", "_pickle Unpickler", "marshal loads", "shelve open",
    "numpy load", "numpy fromfile", "numpy memmap", "numpy frompyfunc", "numpy vectorize", "numpy f2py",
    "numpy.testing._private.utils runstring", "numpy.testing._private.utils os", "numpy.f2py.crackfortran myeval",
    "numpy.f2py.diagnose run_command", "numpy.distutils.exec_command exec_command", "numpy._core.multiarray os",
    "numpy._core.multiarray fromfile", "numpy._core.numeric load", "numpy.core._internal _ctypes",
    "numpy.lib.npyio load",
    "joblib load", "joblib.numpy_pickle load", "joblib.numpy_pickle NumpyArrayWrapper", "joblib.memory MemorizedFunc",
    "joblib._dask loads", "sklearn.externals.joblib load", "sklearn.utils._joblib load",
    "sklearn.datasets fetch_openml",
    "sklearn.datasets load_svmlight_file", "sklearn.preprocessing._data os", "sklearn.preprocessing._data np.load",
    "sklearn.preprocessing._data StandardScaler.__init__", "sklearn.preprocessing FunctionTransformer",
    "sklearn.preprocessing._function_transformer FunctionTransformer", "sklearn.pipeline Pipeline",
    "sklearn.svm._libsvm fit", "sklearn.linear_model._base os.system", "pandas read_pickle", "pandas.io.common os",
    "torch load", "torch.jit.unsupported_tensor_ops execWrapper", "torch.utils.bottleneck.__main__ run_cprofile",
    "tensorflow.python.keras load_model", "keras.src.saving load_model", "cloudpickle loads", "dill loads",
    "ntupleml.ntuples.root_process serve", "ntupleml.cluster.processes serve", "__main__ anything",
]  # fmt: skip


def _text(name: str) -> bytes:
    return b"X" + struct.pack("<I", len(name)) + name.encode()


def _named(function: str) -> list[bytes]:
    """Pickles that call a function: by the old opcode, by the new one, and as an object that is built."""
    module, _, name = function.partition(" ")
    old = f"c{module}\n{name}\n".encode()
    new = b"\x80\x04" + _text(module) + _text(name) + b"\x93"
    argument = b"(Vtouch marker\nt"
    return [
        old + argument + b"R.",
        new + argument + b"R.",
        b"\x80\x02" + old + argument + b"\x81.",  # NEWOBJ
        b"(Vtouch marker\n" + f"i{module}\n{name}\n.".encode(),  # INST
        b"(" + old + b"Vtouch marker\no.",  # OBJ
        b"\x80\x02csklearn.preprocessing._data\nStandardScaler\n)\x81}(Vmean_\n" + old + argument + b"Rub.",
    ]


@pytest.mark.parametrize("function", CALLED)
def test_a_function_that_no_scaler_needs(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scaler.pickle"
    for content in _named(function):
        path.write_bytes(content)
        with pytest.raises(NtuplemlError, match=r"refused: its pickle names '.*', which no scaler needs") as error:
            load_preprocessing(path)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


SCALER = b"csklearn.preprocessing._data\nStandardScaler\n"
DTYPE = b"cnumpy\ndtype\n(Vf8\ntR"
BUILT = {
    "an entry of the registry of extensions": b"\x80\x02\x82\x01(tR.",
    "a persistent name": b"Panything\n.",
    "a persistent object": b"\x80\x02Vanything\nQ.",
    "a buffer out of the file": b"\x80\x05\x97.",
    "a state for a class": SCALER + b"}(V__setstate__\nVx\nub.",
    "a state for a function": b"cnumpy\ndtype\n}(V__call__\nVx\nub.",
    "another class for an object": b"\x80\x02" + SCALER + b")\x81}(V__class__\nVx\nub.",
    "attributes by slots": b"\x80\x02" + SCALER + b")\x81(N}(V__dict__\nVx\nutb.",
    "bytes of a made-up type": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR"
    b"(I1\n(I3\ntVO\nI00\nVabc\ntb.",
    "an array of objects": b"cnumpy._core.numeric\n_frombuffer\n(Vabcdefgh\ncnumpy\ndtype\n(VO\ntR(I1\ntVC\ntR.",
    "an array larger than its bytes": b"cnumpy._core.numeric\n_frombuffer\n(Vabcdefgh\n"
    + DTYPE
    + b"(I999999999999\ntVC\ntR.",
    "a type with fields": b"cnumpy\ndtype\n(Vf8,O\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntb.",
    "a text in another encoding": b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
    "an object of no class": b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
}  # fmt: skip


@pytest.mark.parametrize("shape", BUILT)
def test_shapes_of_allowed_parts(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "scaler.pickle"
    path.write_bytes(BUILT[shape])
    for read in (load_preprocessing, lambda path: load_scalers(path, {"a": 1, "b": 2})):
        with pytest.raises(NtuplemlError) as error:
            read(path)
        assert "\n" not in str(error.value)


def _doubled(number: int) -> bytes:
    """A list of two that hold the one before twice: 2^n entries for whoever walks through them."""
    return (
        b"\x80\x04]\x94"
        + b"".join(b"]\x94(h" + bytes([one]) + b"h" + bytes([one]) + b"e" for one in range(number))
        + b"."
    )


BOMBS = {
    "lists in lists": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "tuples in tuples": b"\x80\x04)" + b"\x85" * 200_000 + b".",
    "a number of ten thousand digits": b"I" + b"9" * 10_000 + b"\n.",
    "a number of 2 GB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\1.",
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"a.",
    "an array of bytes that is not there": b"\x80\x05\x96" + struct.pack("<Q", 10**10) + b"a.",
    "a text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"a.",
    "a place in the memo far away": b"\x80\x04Nr\xff\xff\xff\x0f.",
    "the same twice, thirty times": _doubled(30),
    "groups that are each other": b"\x80\x04}\x94(Va\nh\0u.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb: str, tmp_path: Path) -> None:
    """No more memory and time than a scaler of thousand variables takes."""
    path = tmp_path / "scaler.pickle"
    path.write_bytes(BOMBS[bomb])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(NtuplemlError) as error:
        load_scalers(path, {"a": 1})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1_000
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_the_shapes_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own unpickler runs each form of a call of os.system."""
    monkeypatch.chdir(tmp_path)
    shapes = _named("os system")
    for number in (0, 1, 3, 4):  # the others are for classes, and need a scaler of this version
        pickle.loads(shapes[number])
        (tmp_path / "marker").unlink()
