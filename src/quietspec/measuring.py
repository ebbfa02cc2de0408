"""What is measured of an estimate, as its methods: emission lines, their ratios, indices, and sums of spectra."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from quietspec.arrays import FloatArray
from quietspec.errors import SpectraError
from quietspec.lines import Line, LinePosterior
from quietspec.lines.diagnostics import log_ratio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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

    def bin(self, labels: npt.ArrayLike, **options: Any) -> Any:
        """Sum the data over bins of spectra, and denoise the sums.

        Parameters
        ----------
        labels : (n_spectra,) of int, or (ny, nx)
            Bin of each spectrum, numbered from 0 without gaps; −1 for none. `quietspec.binning.bin_to_snr` makes bins
            of equal S/N.
        **options
            ``correlation``, ``denoiser``, ``of`` and ``clean``, as for `sum`.

        Returns
        -------
        Denoised
            One spectrum per bin; the flux is that of the whole bin.

        Raises
        ------
        SpectraError
            If the labels do not fit, or as for `sum`.
        ModelError
            As for `sum`.

        Examples
        --------
        >>> import quietspec
        >>> from quietspec.binning import INDEPENDENT
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> denoised.bin([[0, 0], [1, -1]], correlation=INDEPENDENT).flux.shape
        (2, 2757)
        """
        return import_module("quietspec.binning").bin_denoised(self, labels, **options)

    def sum(self, region: Any = None, **options: Any) -> Any:
        """Sum the data over an aperture, and denoise the sum.

        That is not the sum of the estimates: these share their prior, so that their errors neither average out nor are
        independent, while the sum of the data is one spectrum of higher S/N, for which the prior matters less.

        Parameters
        ----------
        region : array, regions.Region or iterable of these, optional
            Which spectra: a mask of bool, numbers of int, a fraction of each (float), or regions on the image or on
            the sky, each of which makes one sum. All spectra by default.
        **options
            ``correlation``: a `quietspec.binning.NoiseCorrelation` between spaxels, which is measured from the
            residuals if not given; ``denoiser``, if not the one that made this; ``of="estimates"`` for the sum of the
            estimates, where the data are not at hand (`quietspec.binning.sum_estimates` says how their errors add up);
            ``clean=False`` to keep cosmic rays of single spaxels that no mask marks.

        Returns
        -------
        Denoised
            One spectrum per region; the flux is that of the whole region.

        Raises
        ------
        SpectraError
            If the region does not fit, or the data are to be summed and are not at hand.
        ModelError
            If this was not made by a shipped model and no denoiser is given.

        Examples
        --------
        >>> import quietspec
        >>> from quietspec.binning import INDEPENDENT
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> aperture = denoised.sum([0, 1, 2], correlation=INDEPENDENT)
        >>> aperture.spectra
        <Spectra: 1 spectrum, 2757 pixels, 3710–6998 Å in vacuum, z 0.03, median S/N 53.1, FITS>
        """
        return import_module("quietspec.binning").sum_denoised(self, region, **options)
