"""Free memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models.heap import _glibc

PROGRAM = """
import torch
from models.heap import trim_heap

def held_mib():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

torch.ones(31 * 2**18)  # from then on glibc takes tensors of this size from its heap
tensors = [torch.ones((1 + i % 7) * 2**18) for i in range(100)]  # 1 to 7 MiB
tensors = [(t, torch.ones(64)) for t in tensors]
full = held_mib()
pins = [small for _, small in tensors]
del tensors
kept = held_mib()
trim_heap(keep=2**40)
untouched = held_mib()
trim_heap(keep=2**26)
print(full, kept, untouched, held_mib())
"""


@pytest.mark.skipif(_glibc() is None, reason="the C library is not glibc")
def test_gaps_are_given_back_where_they_are_many() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    full, kept, untouched, trimmed = map(float, output.split())
    assert kept > full - 50, "nothing was kept, so nothing can be given back"
    assert untouched > kept - 1
    assert trimmed < full - 300
