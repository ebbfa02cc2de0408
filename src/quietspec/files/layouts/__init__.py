"""How measurements are laid out as files: our own way, as MAPS of the MaNGA DAP, or as the folder of a run of nGIST."""

from quietspec.files.layouts.base import Contents, Layout
from quietspec.files.layouts.dap import DAP
from quietspec.files.layouts.native import NATIVE
from quietspec.files.layouts.ngist import NGIST

__all__ = ["LAYOUTS", "Contents", "Layout"]

#: All layouts, by name.
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (NATIVE, DAP, NGIST)}
