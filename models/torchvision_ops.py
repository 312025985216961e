"""Lets torchvision be imported where its compiled operators do not load.

torchvision registers Python fake kernels for ``torchvision::nms`` and ``torchvision::qnms`` at import, which fails
with "operator torchvision::nms does not exist" when its ``_C`` library was built for another torch (a CPU build of
torch beside the registry's CUDA build of torchvision). Nothing here uses those operators; torchvision's video
networks, and ``transformers``, which imports torchvision when it is installed, only need the import to succeed.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import torch

_definitions: list[torch.library.Library] = []


def define_missing_operators() -> None:
    """Declare the schemas of ``nms`` and ``qnms`` where torchvision's library cannot. Call before importing it."""
    if _definitions or _library_loads():
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _definitions.append(library)


def _library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for path in Path(spec.origin).parent.glob("_C*.so"):
        try:
            ctypes.CDLL(str(path))
        except OSError:
            return False
        return True
    return False
