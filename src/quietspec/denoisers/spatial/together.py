"""The second pass over a cube, tile by tile: every spaxel with what its galaxy and its neighbours say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoised import FAILURES, Denoised, Flag, ModelId
from quietspec.denoisers.outliers import without_gross_outliers
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.posterior.walk import halved
from quietspec.denoisers.spatial.first_pass import FirstPass, knowledge_of, tile_rows, with_knowledge
from quietspec.denoisers.spatial.frame import Frame, Messages
from quietspec.denoisers.spatial.gas import GasMotions
from quietspec.denoisers.spatial.refit import Kept, Refit
from quietspec.denoisers.spatial.stack import FittedStack
from quietspec.spectra import Spectra

__all__ = ["LIKELY", "Alone", "Known", "Together"]

LIKELY = 0.5  #: probability of the galaxy below which spaxels keep to their own data

#: The usual posterior of the spaxels of a tile: the result, and what was gathered for it.
Alone = Callable[[Spectra], tuple[Denoised, Accumulator]]


@dataclass(frozen=True, eq=False)
class Known(BySpectrum):
    """What is known of n spaxels when the second pass begins.

    Parameters
    ----------
    modes : (n, k)
        Posterior means of the modes, about which the model is linearised.
    messages : Messages
        What all others say of the modes.
    motions, motion_covariance : (n, 2) and (n, 2, 2)
        Posterior of velocity (km/s) and u.
    of_galaxy : (n,)
        Probability that spaxels follow what the others say; 0 for those that inform no other.
    pulls : (n, k)
        How far their data move the modes from what the others say, over the standard deviation that this should have.
    n_spaxels : (n,)
        As in `Field`.
    gas : GasMotions
        Of the motions of gas.
    """

    modes: FloatArray
    messages: Messages
    motions: FloatArray
    motion_covariance: FloatArray
    of_galaxy: FloatArray
    pulls: FloatArray
    n_spaxels: FloatArray
    gas: GasMotions

    @property
    def own(self) -> BoolArray:
        """Spaxels that keep to their own data, (n,)."""
        return self.of_galaxy < LIKELY


@dataclass(frozen=True, eq=False)
class TileKnowledge:
    """What is known of the n spaxels of a tile when the second pass begins.

    Parameters
    ----------
    flags, p_value, evidence, noise_scale : (n,)
        Of the first pass.
    batches : list of (Kept, Known)
        What the first pass keeps, and what all others say.
    """

    flags: npt.NDArray[np.int64]
    p_value: FloatArray
    evidence: FloatArray
    noise_scale: FloatArray
    batches: list[tuple[Kept, Known]]


@dataclass(frozen=True, eq=False)
class Together:
    """A denoiser that has learned a cube, and denoises its spaxels tile by tile.

    Parameters
    ----------
    tool : KinematicPosterior
        Denoiser that knows the calibration which all spaxels share.
    alone : callable
        The usual posterior, for spaxels that are of another redshift.
    first : FirstPass
        What the first pass left.
    stack : FittedStack
        Sum of the bright members.
    frame : Frame
        Modes of the galaxy.
    known : Known
        Of the spaxels of which something is kept.
    """

    tool: KinematicPosterior
    alone: Alone
    first: FirstPass
    stack: FittedStack
    frame: Frame
    known: Known

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.tool.name

    @property
    def model(self) -> ModelId:
        """The name, which says that spaxels were taken together, with the hash of the prior."""
        return ModelId(f"{self.tool.name}, spatial", self.tool.prior.hash)

    def informed(self, tile: Spectra) -> Spectra:
        """Let a tile carry all that is known of its spaxels, for one that `knows_no_spaxels`."""
        return with_knowledge(tile, self._knowledge(tile_rows(tile)))

    def knows_no_spaxels(self) -> Together:
        """Return what denoises tiles that carry what is known of their spaxels: it can be sent to other processes."""
        return replace(self, first=FirstPass(np.empty(0)), known=self.known[:0])

    def _knowledge(self, place: slice) -> TileKnowledge:
        first = self.first
        return TileKnowledge(
            first.flags[place], first.p_value[place], first.evidence[place], first.noise_scale[place],
            [(kept, self.known[where]) for where, kept in first.of_tile(place)],
        )  # fmt: skip

    def denoise(self, spectra: Spectra) -> Denoised:
        """Denoise a tile of the cube, whose rows are ``meta["rows"]``; all of it if there are none."""
        spectra, knowledge = knowledge_of(spectra)
        about = knowledge or self._knowledge(tile_rows(spectra))
        with threadpool_limits(limits=1):
            return without_gross_outliers(spectra, lambda tile: self._denoise(tile, about))

    def _denoise(self, tile: Spectra, about: TileKnowledge) -> Denoised:
        result = Accumulator(tile, self.tool.label_names)
        told = np.zeros(len(tile), dtype=bool)
        n_spaxels, of_galaxy = np.ones(len(tile)), np.zeros(len(tile))
        flags = about.flags.copy()
        for kept, known in (part for batch in about.batches for part in self._twice(*batch, result)):
            told[kept.rows], n_spaxels[kept.rows], of_galaxy[kept.rows] = True, known.n_spaxels, known.of_galaxy
            flags[kept.rows] &= ~int(Flag.PRIOR_LABELS)
            flags[kept.rows] |= result.estimates.flags[kept.rows] & int(Flag.PRIOR_LABELS)
            flags[kept.rows[known.own]] |= int(Flag.UNLIKE_NEIGHBOURS)
        if told.any():
            result.widen_labels(np.flatnonzero(told), self.stack.label_covariance)
        self._others(np.flatnonzero(~told), tile, result)
        estimates = result.estimates
        flags |= estimates.flags & int(FAILURES)
        estimates.evidence[told], estimates.noise_scale[told] = about.evidence[told], about.noise_scale[told]
        estimates.flags[:] = flags
        joined = result.finish(self.model)
        return replace(joined, flags=flags, p_value=about.p_value, n_spaxels=n_spaxels, of_galaxy=of_galaxy)

    def _twice(self, kept: Kept, known: Known, result: Accumulator) -> list[tuple[Kept, Known]]:
        """Denoise the spaxels of a batch again, and return the parts of it on which the algebra does not break down."""

        def again(part: slice) -> list[tuple[Kept, Known]]:
            some = kept.taken(part), known[part]
            self._second(*some, result)
            return [some]

        return [one for part in halved(again, lambda _: [], slice(0, len(kept.rows))) for one in part]

    def _second(self, kept: Kept, known: Known, result: Accumulator) -> None:
        """Denoise the spaxels of a batch again."""
        batch = kept.batch(self.tool, result.spectra)
        told = ~known.own
        shapes = np.where(told[:, None], self.frame.shapes(known.modes, kept.shapes), kept.shapes)
        fit = Refit(batch, kept, shapes, known.gas)
        precision, pull = self.frame.in_coordinates(known.messages)
        informed = fit.projections.informed(precision * told[:, None, None], pull * told[:, None], fit.scale)
        fit.conclude(informed, (known.motions, known.motion_covariance))
        self.tool.store(kept.rows, batch, fit, result)

    def _others(self, rows: npt.NDArray[np.intp], tile: Spectra, result: Accumulator) -> None:
        """Denoise spaxels by themselves of which nothing is kept, or on which the algebra of the second pass fails."""
        if rows.size:
            _, found = self.alone(replace(tile[rows], spatial_shape=None, wcs=None))
            found.forget_compact()  # it has other settings
            result.replace(rows, found, np.arange(len(rows)))
