"""One tree of errors. Each says what is wrong, with the value, and what to do about it."""

from __future__ import annotations


class DetectorError(Exception):
    """Base of everything the program raises on purpose.

    Parameters
    ----------
    message : str
        What is wrong, with the offending value.
    hint : str
        What the reader can do about it; may be empty when nothing can be done.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(DetectorError):
    """config.yaml cannot be read, or holds a key or value that is not allowed."""


class AudioError(DetectorError):
    """A recording cannot be opened, decoded or trusted."""


class BundleError(DetectorError):
    """A bundle is missing, damaged, or says something that does not fit together."""


class EngineError(DetectorError):
    """An inference engine or device that was asked for cannot be had, or failed."""


class StoreError(DetectorError):
    """The database cannot be opened, is too new, is locked, or sits where it must not."""


class LabelError(DetectorError):
    """A table of labels cannot be read."""


class ExportError(DetectorError):
    """Detections cannot be written in the format or place that was asked for."""


class TrainingError(DetectorError):
    """A recipe or its audio does not allow a training run."""
