"""Errors that a person is meant to read; each message says what was wrong, where, and what to do."""


class InputError(ValueError):
    """Something that a user supplied cannot be used: a configuration, a genotype, a data set, a checkpoint."""


class DivergedError(RuntimeError):
    """A loss or an architecture parameter became NaN or infinite, so that nothing that follows would mean anything."""


class OverLimitError(RuntimeError):
    """A network costs more than its configuration allows: it is not trained, and would not be the next time."""
