"""The words that readers, options and values share; it imports nothing, so that the command line starts at once."""

from typing import Literal

__all__ = ["Medium", "NoiseKind"]

Medium = Literal["air", "vacuum"]  #: what wavelengths are measured in
NoiseKind = Literal["sigma", "variance", "ivar"]  #: what an array of noise holds
