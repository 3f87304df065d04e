"""
A keeper whose time of day stands in a file: ``python -m tests.support.clocked``, as ``keeper``.

The file holds Unix seconds, and whoever writes it moves the clock; time passes all the same. Where
a machine has no tool that fakes a process's clock, this is the process's clock.
"""

import os
import runpy
from pathlib import Path

import keeper.clock

VARIABLE = "CLOCK_OF_THE_TEST"


def _stated() -> float:
    return float(Path(os.environ[VARIABLE]).read_text())


if __name__ == "__main__":
    keeper.clock.source = _stated
    runpy.run_module("keeper", run_name="__main__", alter_sys=True)
