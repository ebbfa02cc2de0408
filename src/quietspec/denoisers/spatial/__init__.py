"""Cubes as a whole: the posterior of spaxels that know their galaxy and their neighbours.

Modules, in the order in which data pass through them:

- `motions`, `refit`: what a first pass of the usual posterior leaves for a second one, and the fits of that;
- `stack`: the sum of the bright spaxels, which shows the calibration that all share;
- `first_pass`: the first pass, tile by tile;
- `frame`: the few modes in which spaxels are compared, and what each one's data say of them;
- `galaxy`: mean and covariance of the modes over the galaxy;
- `neighbourhoods`, `field`: fields on the sky, and what neighbours say of each spaxel;
- `gas`: the motion of gas as a field, and what the others say of it;
- `learning`: what a cube says of itself, between the passes;
- `together`: the second pass, tile by tile;
- `denoiser`: the denoiser.
"""

from quietspec.denoisers.spatial.denoiser import SpatialPosterior
from quietspec.denoisers.spatial.together import Together

__all__ = ["SpatialPosterior", "Together"]
