"""Runs scripts, each in a process of its own, from a Python that has imported already what takes long.

TensorFlow alone takes longer than what most tests ask of a script. A line of JSON on standard input names the script,
its arguments, folder, environment and the files for its output; a line on standard output gives the exit status.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import sys
import threading
import traceback
from pathlib import Path

import keras  # noqa: F401  with TensorFlow
import numba  # noqa: F401
import uproot  # noqa: F401

import ntupleml.ntuples  # noqa: F401  with the configs

gc.collect()
gc.freeze()  # a look at it in a child would copy its memory
for line in sys.stdin:
    call = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
    sys.stdout.flush()
else:
    sys.exit()

# The child goes on here.
os.chdir(call["folder"])
os.environ.clear()
os.environ.update(call["environment"])
for descriptor, name in enumerate([os.devnull, call["stdout"], call["stderr"]]):
    opened = os.open(name, os.O_RDWR if descriptor else os.O_RDONLY)
    os.dup2(opened, descriptor)
    os.close(opened)
sys.argv = call["command"]
more = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder and folder not in sys.path]
sys.path[:1] = [str(Path(sys.argv[0]).parent), *more]
status = 0
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code if isinstance(end.code, int) else int(end.code is not None)
except BaseException:
    traceback.print_exc()
    status = 1
# It ends as every Python does, but does not take TensorFlow apart, which takes over a second.
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)
