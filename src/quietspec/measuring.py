"""What is measured of an estimate, as its methods: emission lines, their ratios, indices."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from quietspec.arrays import FloatArray
from quietspec.errors import SpectraError
from quietspec.lines import Line, LinePosterior
from quietspec.lines.diagnostics import log_ratio

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Measuring"]


class Measuring:
    """Base of `Denoised`. What is built on that class is imported when a method needs it."""

    lines: LinePosterior | None

    def line(self, name: str) -> Line:
        """Flux and equivalent width of an emission line, fitted with the stars.

        Parameters
        ----------
        name : str
            A line of `quietspec.wavelengths.EMISSION_LINES`, or ``[OII]3727`` for the sum of the doublet.

        Returns
        -------
        Line
            Of all spectra.

        Raises
        ------
        SpectraError
            If no lines were fitted, or none of this name.

        Examples
        --------
        >>> import quietspec
        >>> cube = quietspec.read(quietspec.demo_cube())[9:11, 9:11]
        >>> denoised = quietspec.load_denoiser("posterior", emission="fit").denoise(cube)
        >>> halpha = denoised.line("Halpha")
        >>> halpha.flux.shape, bool((halpha.error > 0).all())
        ((4,), True)
        """
        return self._fitted_lines().line(name)

    def _fitted_lines(self) -> LinePosterior:
        if self.lines is None:
            raise SpectraError('no emission lines were fitted; make the denoiser with emission="fit".')
        return self.lines

    def ratio(self, numerator: str, denominator: str, rng: np.random.Generator) -> FloatArray:
        """Ratio of two emission lines, by draws from their joint posterior.

        Parameters
        ----------
        numerator, denominator : str
            Names of lines, as for `line`.
        rng : numpy.random.Generator
            Source of the draws.

        Returns
        -------
        (n_spectra, 3)
            16th, 50th and 84th percentile of log10 of the ratio.

        Raises
        ------
        SpectraError
            If no lines were fitted, or none of this name.

        Examples
        --------
        >>> import numpy as np
        >>> import quietspec
        >>> cube = quietspec.read(quietspec.demo_cube())[9:11, 9:11]
        >>> denoised = quietspec.load_denoiser("posterior", emission="fit").denoise(cube)
        >>> denoised.ratio("[NII]6583", "Halpha", np.random.default_rng(0)).shape
        (4, 3)
        """
        return log_ratio(self._fitted_lines(), numerator, denominator, rng)

    def index(self, *names: Any, **options: Any) -> Any:
        """Measure spectral indices, with errors by the covariance between pixels.

        Parameters
        ----------
        *names : str or IndexDefinition
            Published indices by name, ``'lick'`` for the 25 Lick/IDS indices, ``'all'``, or own definitions.
        **options
            ``resolution``, ``redshift`` and ``fwhm`` of `quietspec.indices.indices_of`.

        Returns
        -------
        quietspec.indices.Indices
            Of all spectra.

        Raises
        ------
        IndexDefinitionError
            If an index is unknown.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> found = denoised.index("Mg_b", "Dn4000")
        >>> found.values.shape, bool((found.errors > 0).all())
        ((4, 2), True)
        """
        return import_module("quietspec.indices").indices_of(self, names, **options)
