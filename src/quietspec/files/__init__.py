"""File to file: denoised spectra and measurements of one input, written whole or not at all, and reported."""
