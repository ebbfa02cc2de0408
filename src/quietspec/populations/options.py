"""What a user can choose about a pPXF fit."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from quietspec.errors import QuietspecError

__all__ = ["PpxfOptions"]


@dataclass(frozen=True, kw_only=True)
class PpxfOptions:
    """Options of a pPXF fit. The defaults are for observed spectra with unknown kinematics and flux calibration.

    Parameters
    ----------
    velocity_scale : float, optional
        Step of the logarithmic grid, km/s. By default the median step of the data, or their largest step where pPXF is
        given a covariance, which would be singular on a finer grid.
    limits : (low, high), optional
        Fitted range in rest-frame air Å; by default all that data and templates share.
    kinematics : {'free', 'fixed'}
        Whether velocity and dispersion are fitted, or held at `velocity` and `dispersion`.
    velocity, dispersion : float
        Starting or fixed values, km/s. A fixed dispersion of 0 leaves the templates unbroadened.
    moments : {2, 4}
        Gauss–Hermite moments fitted: 2 (velocity, dispersion), or 4 (h3 and h4 as well).
    additive, multiplicative : int
        Degrees of the additive (−1 for none) and multiplicative (0 for none) Legendre polynomials. Additive ones dilute
        lines and thus bias metallicities; they are for kinematics only.
    regularisation : float
        pPXF's ``regul``: inverse of the scatter allowed between neighbouring SSPs' weights, with spectra and templates
        of median 1; 0 for none.
    gas : {'mask', 'fit', 'none'}
        Emission lines: masked (±450 km/s and the line spread), fitted by pPXF's line templates with their own
        kinematics, or assumed absent (denoised spectra have none).
    solver : {'lsq_box', 'nnls'}
        pPXF's ``linear_method``. SciPy's nnls (1.17) is several times faster where kinematics are fixed, but does not
        return on some spectra.
    bootstrap : int
        Number of refits with randomly signed residuals (wild bootstrap) whose scatter gives the errors; 0 gives formal
        errors.
    seed : int
        Seed of the bootstrap; each spectrum has its own random stream.

    Raises
    ------
    QuietspecError
        If a value is not allowed.

    References
    ----------
    Cappellari 2017, MNRAS 466, 798; 2023, MNRAS 526, 3273 (pPXF). Davidson & Flachaire 2008, J. Econometrics 146, 162
    (wild bootstrap).
    """

    velocity_scale: float | None = None
    limits: tuple[float, float] | None = None
    kinematics: Literal["free", "fixed"] = "free"
    velocity: float = 0.0
    dispersion: float = 120.0
    moments: Literal[2, 4] = 2
    additive: int = -1
    multiplicative: int = 8
    regularisation: float = 10.0
    gas: Literal["mask", "fit", "none"] = "mask"
    solver: Literal["lsq_box", "nnls"] = "lsq_box"
    bootstrap: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "kinematics": ("free", "fixed"),
            "gas": ("mask", "fit", "none"),
            "moments": (2, 4),
            "solver": ("lsq_box", "nnls"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise QuietspecError(f"{name}: {getattr(self, name)!r}; give {' or '.join(map(str, allowed))}.")
        if not (self.additive >= -1 and self.multiplicative >= 0 and self.regularisation >= 0 and self.bootstrap >= 0):
            raise QuietspecError("additive must be ≥ −1, and multiplicative, regularisation and bootstrap ≥ 0.")
        if not (isfinite(self.velocity) and 0 <= self.dispersion < inf) or (
            self.velocity_scale is not None and not self.velocity_scale > 0
        ):
            raise QuietspecError("velocity must be finite, dispersion ≥ 0 and velocity_scale > 0 km/s.")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise QuietspecError(f"limits: {self.limits}; give two wavelengths (Å), the lower first.")
        if self.bootstrap == 1:
            raise QuietspecError("bootstrap: one refit has no scatter; give 0, or 20 or more.")
