"""The errors quietspec raises: each says what was wrong, where, and what to do."""

__all__ = [
    "BatchError",
    "FetchError",
    "IndexDefinitionError",
    "ModelError",
    "QuietspecError",
    "ReadError",
    "SpectraError",
    "TemplateError",
    "UnitError",
    "ViewError",
    "WriteError",
]  # fmt: skip


class QuietspecError(ValueError):
    """Base of every error quietspec raises on purpose; the command line prints it without a traceback."""


class SpectraError(QuietspecError):
    """A field of `Spectra` or `Denoised` is malformed."""


class ReadError(QuietspecError):
    """A file cannot be read as spectra."""


class UnitError(QuietspecError):
    """A unit of flux or wavelength is not understood, or its numbers cannot be converted."""


class WriteError(QuietspecError):
    """A result cannot be written."""


class FetchError(QuietspecError):
    """A data set cannot be fetched or fails its checksum."""


class TemplateError(QuietspecError):
    """A template library is missing, incomplete or does not cover what is asked."""


class IndexDefinitionError(QuietspecError):
    """An index is unknown, or its definition is malformed."""


class ModelError(QuietspecError):
    """A model file is unknown, corrupt or does not fit the data."""


class ViewError(QuietspecError):
    """What the viewer is asked for makes no sense, or the file cannot give it."""


class BatchError(QuietspecError):
    """A batch's manifest is wrong, or its run cannot begin or go on."""
