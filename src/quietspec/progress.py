"""How long work tells whoever waits for it how far it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

#: Called with how much is done and how much there is: spectra, files, or a fraction and 1.
Progress = Callable[[float, float], None]
