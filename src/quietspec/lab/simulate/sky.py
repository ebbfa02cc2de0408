"""The sky that a simulated galaxy is on: points finer than the spaxels, boundaries, and random fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import BoolArray, FloatArray

__all__ = ["Sky", "boundary", "random_field"]


@dataclass(frozen=True, eq=False)
class Sky:
    """Points of the sky, finer than the spaxels and beyond the field, from where seeing blurs light into it.

    Parameters
    ----------
    x, y : (ny, nx)
        Offsets from the centre of the field, in half its longer side.
    step : float
        Distance of neighbouring points, in the same unit.
    """

    x: FloatArray
    y: FloatArray
    step: float

    @classmethod
    def over(cls, shape: tuple[int, int], margin: int, per_spaxel: int) -> Sky:
        """Cover a field.

        Parameters
        ----------
        shape : (ny, nx)
            Spaxels of the field.
        margin : int
            Spaxels beyond each side.
        per_spaxel : int
            Points along each side of a spaxel.

        Returns
        -------
        Sky
            Points at the centres of the squares into which the spaxels are divided.
        """
        half = max(shape) / 2
        y, x = (
            ((np.arange((side + 2 * margin) * per_spaxel) + 0.5) / per_spaxel - margin - side / 2) / half
            for side in shape
        )
        y, x = np.meshgrid(y, x, indexing="ij")
        return cls(x, y, 1 / (half * per_spaxel))

    def plane(self, axis_ratio: float, angle: float) -> tuple[FloatArray, FloatArray]:
        """Return radius and azimuth (from the major axis at `angle` degrees) in the plane of an inclined disc."""
        along, across = self.along(angle), self.along(angle + 90) / axis_ratio
        return np.hypot(along, across), np.arctan2(across, along)

    def along(self, angle: float) -> FloatArray:
        """Offset in a direction, degrees from +x towards +y, (ny, nx)."""
        radians = np.radians(angle)
        return np.asarray(self.x * np.cos(radians) + self.y * np.sin(radians))


def random_field(shape: tuple[int, int], length: float, rng: np.random.Generator) -> FloatArray:
    """Draw a Gaussian random field of mean 0 and variance 1 whose values are alike over some length.

    Parameters
    ----------
    shape : (ny, nx)
        Points.
    length : float
        Correlation length, in points.
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    (ny, nx)
        The field. Its power falls as (1 + (k·length)²)^(−5/2), that of a Matérn covariance of smoothness 3/2.
    """
    ky, kx = (2 * np.pi * np.fft.fftfreq(side) for side in shape)
    amplitude = (1 + (ky[:, None] ** 2 + kx**2) * length**2) ** -1.25
    amplitude[0, 0] = 0.0
    drawn = np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * amplitude).real
    return np.asarray(drawn / np.sqrt(np.mean(amplitude**2)))


def boundary(inside: BoolArray) -> BoolArray:
    """Points (ny, nx) that have a neighbour on the other side."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(inside) & binary_dilation(~inside))
