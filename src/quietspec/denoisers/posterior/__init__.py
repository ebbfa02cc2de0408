r"""The posterior of the noise-free spectrum: its prior, its algebra, and the denoisers made of them.

The model of one spectrum is y = s (m + c · P) + noise, with a flux scale s, the prior's mean shape m, its components P
and their coefficients c, which follow a mixture of k Gaussians; the noise is independent from pixel to pixel. Where the
prior is of populations at rest, the vectors are shifted and broadened by velocity and dispersion and multiplied by a
flux calibration, all of them parameters (`kinematics`). The modules, in the order in which data pass through them:

- `prior`: the mixture over c and over the labels (age, metallicity, …) that go with it;
- `walk`: from redshift to redshift and batch to batch; `grid`: the pixels of one redshift and resolution, and batches;
- `coordinates`: coordinates x in which the prior is white on these pixels and the data are nearly independent;
- `linear`: projections of the data onto x, and the fit under one Gaussian that finds the scale;
- `contamination`, `masking`: emission lines, spikes and noise unlike the quoted one;
- `losvd`, `calibration`, `kinematics`, `pixel_model`, `linearised`: the model of moving stars and its linearisation;
- `velocity_scan`, `motions`, `volume`, `steps`, `kinematic_fit`: from a first look at all velocities to the posterior
  of motions;
- `compression`, `conditioning`, `inference`, `labels`: the posterior of x and of the labels under the whole mixture;
- `moving`, `features`, `diagnosis`, `diagnosed`: whether a spectrum is of the kind that the prior describes;
- `results`, `covariances`: from what is found to flux, errors and covariances; `stored`: covariances from a file;
- `basis`, `denoiser`, `kinematic_denoiser`: the denoisers themselves.

Symbols, for n spectra (m of them at a time) of n_pixels pixels, d coordinates, k Gaussians and q compressed data:

====== ============================================= ============= ==================================================
symbol name                                          shape         meaning
====== ============================================= ============= ==================================================
y      ``Batch.flux``                                (n, n_pixels) data, in units of each spectrum's typical error
W      ``weight``                                    (n, n_pixels) inverse variances, 0 where masked
B      ``BasisGrid.vectors``                          (n_pixels, d) mean shape and components on the pixels
T      ``Coordinates.transform``                     (d, d)        (s, s c) = T x
V      ``Coordinates.vectors``                       (n_pixels, d) B T, so that the model is y = V x + noise
s      ``scale``                                     (n,)          flux scale
x      ``CoefficientPosterior.mean``                 (n, d)        coordinates: white under the prior at s = 1
x₀     ``Coordinates.centre``                        (d,)          mean of x under the prior at s = 1
x₁     ``Projections.start``                         (n, d)        where the likelihood is expanded
G      ``Projections.gram``                          (n, d, d)     VᵀWV, precision of the data about x
g      ``Projections.gradient``                      (n, d)        VᵀW(y − V x₁), gradient of the log likelihood at x₁
ξ                                                    (n, d)        (x − x₁) / s, step in units of the scale
U      ``CompressedData.factor``                     (m, d, q)     pivoted Cholesky factor: s²G = UUᵀ + E
z      ``CompressedData.values``                     (m, q)        compressed data: z = Uᵀξ + unit noise
E      ``CompressedData.residual_precision``         (m, d, d)     precision of the data that z leaves out
wₖ     ``exp(Gaussians.log_weight)``                 (k,)          weight of component k of the prior
μₖ     ``Gaussians.mean``                            (k, d)        its mean, at s = 1
Σₖ     ``Gaussians.covariance``                      (k, d, d)     its covariance, Sₖ + μₖμₖᵀ: the scale's spread is 1
Sₖ     ``Gaussians.shape_covariance``                (k, d, d)     its covariance at a known scale
M                                                    (pairs, q, q) UᵀSₖU + 1, covariance of z at a known scale
L      ``Prediction.factor``                         (pairs, q, q) Cholesky factor: M = LLᵀ
a      ``Prediction.slope``                          (pairs, q)    Uᵀμₖ, change of z with the relative scale
v      ``Prediction.innovation``                     (pairs, q)    z less its expectation
====== ============================================= ============= ==================================================
"""

from quietspec.denoisers.posterior.denoiser import Posterior, PrincipalComponents
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.stored import StoredCovariances

__all__ = ["KinematicPosterior", "Posterior", "PrincipalComponents", "SpectralPrior", "StoredCovariances"]
