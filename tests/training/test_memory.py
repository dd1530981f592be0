"""`keep_memory`: big blocks come from the heap afterwards, and are not given back."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
import numpy as np
from vitruvian.training.memory import keep_memory
if {keep}:
    print("supported", keep_memory())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(12_000_000, np.uint8)  # 2,930 pages each time, if they are new
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def _run(keep: bool) -> list[str]:
    program = _PROGRAM.format(keep=keep)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of Linux' C library")
def test_blocks_are_used_again() -> None:
    """Page faults of twenty rounds, instead of a time: numbers that a busy machine does not change."""
    pytest.importorskip("torch")  # the package of training asks for it
    found = _run(keep=True)
    if found[1] == "False":
        pytest.skip("the C library is not glibc")
    assert int(found[-1]) < 2000
