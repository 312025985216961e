"""transformers without its progress bars and load reports: what a checkpoint lacks is told by who loads it."""

from __future__ import annotations


def quiet_transformers() -> None:
    """From here on, in this process."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
