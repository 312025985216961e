from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.store import write_part

LENGTH = 1000


def write_examples(path: Path, n: int) -> Path:
    """The text of example i is LENGTH numbers from i * LENGTH on."""
    numbers = np.arange(n * LENGTH, dtype=np.int32)
    text = pa.ListArray.from_arrays(np.arange(0, n * LENGTH + 1, LENGTH, np.int32), numbers)
    write_part(path, pa.table({"text": text, "length": pa.array([LENGTH] * n, pa.int32()), "split": ["train"] * n}))
    return path


def test_examples_are_read_from_disk_as_they_are_needed(tmp_path: Path) -> None:
    """Of 120 MB three examples take a few; the first file has brought in what reading needs."""
    files = [write_examples(tmp_path / f"part-{n:05d}.arrow", n) for n in (10, 30_000)]
    program = """
import resource, sys
from pathlib import Path
from stages.examples import open_examples
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
few, many = map(Path, sys.argv[1:])
open_examples([few])[0]
before = peak_mb()
examples = open_examples([many])
print(*(examples[i]["text"][0] for i in (3, 20_000, 29_999)), peak_mb() - before)
"""
    done = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, check=True)
    *first, grown_mb = done.stdout.split()
    assert list(map(int, first)) == [3 * LENGTH, 20_000 * LENGTH, 29_999 * LENGTH]
    assert float(grown_mb) < 30
