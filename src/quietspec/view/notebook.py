"""The page in a notebook: a result in memory is written to a temporary file, and that is shown."""

from __future__ import annotations

import os
from collections.abc import Collection
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from quietspec.view.server import ViewServer

if TYPE_CHECKING:
    from quietspec.denoised import Denoised

__all__ = ["InlineView", "view_denoised"]

_HEIGHT = 760  # pixels


class InlineView:
    """A page that a notebook shows as the value of a cell.

    Parameters
    ----------
    server : ViewServer
        The server, running.
    folder : TemporaryDirectory, optional
        Folder of the file it shows, removed in the end.
    height : int, optional
        Pixels.
    """

    def __init__(
        self, server: ViewServer, folder: TemporaryDirectory[str] | None = None, height: int = _HEIGHT
    ) -> None:
        self.server, self._folder, self.height = server, folder, height

    @property
    def address(self) -> str:
        """Address of the page: behind a JupyterHub, by way of its proxy."""
        prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
        if prefix:
            return f"{prefix.rstrip('/')}/proxy/{self.server.port}/{self.server.token}/"
        return self.server.address

    def _repr_html_(self) -> str:
        address = escape(self.address, quote=True)
        return (
            f'<iframe src="{address}" width="100%" height="{self.height}" style="border:0" title="quietspec"></iframe>'
            f'<p><a href="{address}" target="_blank" rel="noreferrer">in a window of its own</a></p>'
        )

    def __repr__(self) -> str:
        return f"<quietspec view at {self.address}>"

    def close(self) -> None:
        """Stop the server, and remove the temporary file."""
        self.server.close()
        if self._folder is not None:
            self._folder.cleanup()


def view_denoised(denoised: Denoised, *, port: int = 0, hosts: Collection[str] = ()) -> InlineView:
    """Show a result in a notebook, or at an address.

    Parameters
    ----------
    denoised : Denoised
        What to show.
    port : int, optional
        Port on this machine; any that is free by default.
    hosts : collection of str, optional
        Names, beside that of this machine, under which the page may be asked for, such as that of a JupyterHub.

    Returns
    -------
    InlineView
        Shows the page where it is the value of a notebook's cell; `close` ends it.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> page = view_denoised(denoised)
    >>> page
    <quietspec view at http://127.0.0.1:...>
    >>> page.close()
    """
    from quietspec.io import write

    folder = TemporaryDirectory(prefix="quietspec-view-", ignore_cleanup_errors=True)
    name = str(denoised.spectra.meta.get("object") or "denoised").replace("/", "_").strip() or "denoised"
    path = Path(folder.name) / f"{name}.fits"
    write(denoised, path, residual=True)
    held = denoised.spectra.good.any()
    server = ViewServer(path, port=port, hosts=hosts, data=denoised.spectra if held else None)
    server.start()
    return InlineView(server, folder)
