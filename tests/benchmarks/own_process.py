"""A side of a benchmark in a process of its own, so that none finds what another has loaded or left in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def run_again(*options: str, environment: Mapping[str, str] | None = None) -> Any:
    """The running script once more, with options after its own, of which the last counts.

    Returns what it prints last, read as JSON; None where it prints nothing.
    """
    command = [sys.executable, *sys.argv, *options]
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {})
    ).stdout
    return json.loads(output.splitlines()[-1]) if output else None
