"""The two ways a run ends badly."""


class UserError(ValueError):
    """Something the user can mend: a wrong name, a missing file, a field out of range. One line, no traceback."""


class StageFailed(RuntimeError):
    """A stage could not finish: too many of its items failed. What it finished is kept for the next run."""
