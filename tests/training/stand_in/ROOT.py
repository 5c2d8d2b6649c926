"""A stand-in for a ROOT with TMVA: it trains nothing, but writes down every call and leaves TMVA's files.

It takes the place of ROOT in the process that `ntupleml.tmva.factory` runs in. What it leaves comes from the folder
STAND_IN: `weights.xml` for each method, and `output.root`.
"""
# The names are those of ROOT.
# ruff: noqa: N801, N802, N815

import json
import os
import shutil
import signal
import sys
from pathlib import Path

_HOME = Path(os.environ.get("STAND_IN", "."))
_CALLS: list = []
#: As ROOT 6.40 with TMVA ends where an assertion fails.
_CRASH = """DataSetInfo              : [fold0_training] : Added class "sig"
                         : Add Tree sig of type sig with 300 events
Factory                  : Booking method: \033[1mBDT\033[0m
                         :
 *** Break *** trace trap
===========================================================
There was a crash.
This is the entire stack trace of all threads:
===========================================================

warning: 36\t../sysdeps/unix/sysv/linux/wait4.c: No such file or directory
#0  0x00007f6c in __GI___wait4 (pid=12) at wait4.c:30
#7  0x00007f6c in TMVA::Factory::BookMethod(TMVA::DataLoader*, TString) () from libTMVA.so
===========================================================
"""


def _note(name, *arguments):
    shown = [argument.name if isinstance(argument, (_Named, _File)) else argument for argument in arguments]
    _CALLS.append([name, *shown])
    (_HOME / "calls.json").write_text(json.dumps(_CALLS))


class _Named:
    def __init__(self, name):
        self.name = name


class _Branch(_Named):
    def GetListOfLeaves(self):
        return [self]

    def SetName(self, name):
        _note("SetName", self.name, name)
        self.name = name


class _Tree(_Named):
    def GetBranch(self, name):
        return None if "*" in name else _Branch(name)

    def AddFriend(self, other):
        _note("AddFriend", self, other)


class _File:
    def __init__(self, path, mode):
        self.name, self.mode = path, mode

    def Get(self, name):
        return _Tree(f"{Path(self.name).name}:{name}")

    def Close(self):
        _note("Close", self)
        if self.mode == "RECREATE":
            shutil.copy(_HOME / "output.root", self.name)


class TFile:
    @staticmethod
    def Open(path, mode):
        _note("Open", Path(path).name, mode)
        return _File(path, mode)


class TCut(_Named):
    pass


class PyConfig:
    pass


class gROOT:
    @staticmethod
    def SetBatch(_):
        pass

    @staticmethod
    def GetVersion():
        return "6.36.99"


class _DataLoader(_Named):
    def __init__(self, name):
        super().__init__(name)
        _note("DataLoader", name)

    def __getattr__(self, method):
        return lambda *arguments: _note(method, *arguments)


class _Factory:
    def __init__(self, job, output, options):
        _note("Factory", job, output, options)
        self.job, self.booked = job, []

    def BookMethod(self, loader, kind, name, options):
        _note("BookMethod", loader, kind, name, options)
        if "NoSuchOption" in options:
            text = f"--- <FATAL> {name} : The following options could not be interpreted: 'NoSuchOption'"
            sys.stdout.write(f"\x1b[31m{text}\x1b[0m\n")
            sys.exit(1)
        if "Crash" in options:
            sys.stdout.write(_CRASH)
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGTRAP)
        if "RootExit" in options:
            sys.stdout.write(_CRASH)
            sys.exit(128 + signal.SIGTRAP)
        if kind == "Fisher":
            return None
        self.booked.append((loader, name))
        return _Named(name)

    def TrainAllMethods(self):
        _note("TrainAllMethods")
        for loader, name in self.booked:
            if name == "Weightless":
                continue
            folder = Path(loader.name) / "weights"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(_HOME / "weights.xml", folder / f"{self.job}_{name}.weights.xml")
            (folder / f"{self.job}_{name}.class.C").write_text("// as TMVA leaves it")

    def TestAllMethods(self):
        _note("TestAllMethods")

    def EvaluateAllMethods(self):
        _note("EvaluateAllMethods")

    def GetROCIntegral(self, loader, name, index):
        _note("GetROCIntegral", loader, name, index)
        return 0.75 + index / 100


class TMVA:
    Factory = _Factory
    DataLoader = _DataLoader

    class Tools:
        @staticmethod
        def Instance():
            _note("Instance")

    class Types:
        kBDT = 12
        kFisher = 7
