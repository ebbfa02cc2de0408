"""The explorer: a page, served on this machine, that shows denoised files, spectra of any survey, and maps."""

from quietspec.view.document import Document
from quietspec.view.notebook import view_denoised
from quietspec.view.server import ViewServer

__all__ = ["Document", "ViewServer", "view_denoised"]
