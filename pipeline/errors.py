"""The two ways a run ends badly."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something the user can mend: a wrong name, a missing file, a field out of range. One line, no traceback."""


class StageFailed(RuntimeError):
    """A stage could not finish: too many of its items failed. What it finished is kept for the next run."""


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a ``name`` that is none of ``known``: with the nearest of them, else with what there is."""
    spellings = {k.lstrip("-").lower(): k for k in known}
    close = get_close_matches(name.lstrip("-").lower(), spellings, n=1, cutoff=0.65)
    if close:
        return UserError(f"no {what} '{name}' (did you mean {spellings[close[0]]}?)")
    names = list(spellings.values())
    return UserError(f"no {what} '{name}' (there are: {', '.join(names[:12]) or 'none'}{', …' if names[12:] else ''})")
