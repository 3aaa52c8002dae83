"""The errors a person can cause, and so the only ones the command shows.

Each message is one line: what was received, what was expected, what to do next.
Anything that is not a FloraError is a defect of Flora and keeps its traceback.
"""

from __future__ import annotations


class FloraError(Exception):
    """Base of all errors with a message for a person; `exit_code` is what the command returns."""

    exit_code = 1


class UsageError(FloraError):
    """The options contradict each other or have an impossible value."""

    exit_code = 2


class DependencyError(FloraError):
    """A package that this verb needs is missing, doubled or too old."""


class PhotoError(FloraError):
    """A photo, or a folder of photos, that cannot be used."""


class ModelError(FloraError):
    """A model file or a run folder that cannot be used."""


class SourceError(FloraError):
    """A camera, stream, video or folder that cannot be opened or has gone."""


class OutputError(FloraError):
    """A file, folder or window that cannot be written to."""
