"""`Flag`, why a spectrum was not denoised or its result is in doubt, and `ModelId`, what made a result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

__all__ = ["FAILURES", "Flag", "ModelId"]

_HASH_SHOWN = 16  # digits of a hash that tell models apart in texts


class Flag(IntFlag):
    """Why a spectrum was not denoised, or why its result is in doubt. Bits combine."""

    OK = 0
    EMPTY = 1  #: no pixel with a finite flux and a positive inverse variance
    NO_REDSHIFT = 2  #: the denoiser works in the rest frame and the redshift is unknown
    OUT_OF_RANGE = 4  #: the redshift moves every good pixel out of the model's wavelengths
    NO_SIGNAL = 8  #: the flux scale is not above zero by twice its error
    POOR_FIT = 16  #: χ² per degree of freedom above 1.5, and improbable (p < 0.001), after `noise_scale`
    UNLIKE_PRIOR = 32  #: at its redshift, but with features or colours that the model does not know
    WRONG_REDSHIFT = 64  #: another redshift explains its features better; used instead if within 2000 km/s
    STAR = 128  #: stars at redshift 0 explain its features better
    NOT_GALAXY = 256  #: a smooth continuum explains it better than any galaxy does: quasar, artefact
    MISSCALED = 512  #: the scatter of its channels is not what the quoted errors say
    UNDETERMINED = (
        1024  #: fewer than 6 good pixels, or numbers beyond the arithmetic (S/N of thousands in part of them)
    )
    PRIOR_LABELS = 2048  #: at least one label is little more than the prior: its error exceeds 0.9 of the prior's
    NUCLEUS = 4096  #: light of an active nucleus is seen: broad lines, or a power law
    STRONG_LINES = (
        8192  #: gas lines of more than 300 Å of equivalent width in all; stars are not seen under their wings
    )
    ULTRAVIOLET = 16384  #: denoised by the model `ultraviolet`, chosen since the usual one left out too many pixels
    UNLIKE_NEIGHBOURS = 32768  #: of a cube denoised as a whole: unlike its galaxy or neighbours, denoised by itself

    @property
    def failed(self) -> bool:
        """Whether the denoised spectrum is NaN because of this flag."""
        return bool(self & FAILURES)


#: Flags of spectra without an estimate.
FAILURES = Flag.EMPTY | Flag.NO_REDSHIFT | Flag.OUT_OF_RANGE | Flag.UNDETERMINED


@dataclass(frozen=True)
class ModelId:
    """What made a result; as text, name and the first 16 digits of the hash.

    Parameters
    ----------
    name : str
        Name of the denoiser, with its settings where there is no model file.
    hash : str, optional
        SHA-256 of the model behind it, 64 hexadecimal digits; None where there is none.

    Examples
    --------
    >>> print(ModelId("posterior", "05307f056e6ba8bf9ad04d673e934f5cf3da701ab983c8765f02ff5460bd778f"))
    posterior 05307f056e6ba8bf
    """

    name: str
    hash: str | None = None

    @property
    def short_hash(self) -> str | None:
        """The first 16 digits of the hash."""
        return None if self.hash is None else self.hash[:_HASH_SHOWN]

    def __str__(self) -> str:
        return self.name if self.hash is None else f"{self.name} {self.short_hash}"
