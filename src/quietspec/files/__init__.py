"""File to file: denoised spectra and measurements of one input, written whole or not at all, and reported."""

from quietspec.files.denoise import FileReport, denoise_file
from quietspec.files.measure import MeasureReport, measure_file
from quietspec.files.measured import MeasuredFile
from quietspec.files.restore import restore
from quietspec.files.work import Report

__all__ = ["FileReport", "MeasureReport", "MeasuredFile", "Report", "denoise_file", "measure_file", "restore"]
