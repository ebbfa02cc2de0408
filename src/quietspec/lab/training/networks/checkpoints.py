"""Checkpoints in pieces, so that they can be carried where the size of files is limited."""

from __future__ import annotations

import io
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from quietspec.io.writing.atomic import whole_folder

__all__ = ["PIECE", "InPieces", "load_checkpoint"]

PIECE = 15_000_000  #: bytes of a piece, at most


class InPieces(TorchCheckpointIO):
    """Writes a checkpoint as a folder of files of at most `PIECE` bytes, which is complete or not there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint, in place of an earlier one of that name."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
        names = {_name(number) for number in range(len(pieces))} | {file.name for file in _pieces(Path(path))}
        with whole_folder(path, names, overwrite=True) as folder:
            for number, piece in enumerate(pieces):
                (folder / _name(number)).write_bytes(piece)

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint."""
        return load_checkpoint(Path(path), map_location=map_location, weights_only=weights_only)


def load_checkpoint(path: Path, **options: Any) -> dict[str, Any]:
    """Read a checkpoint in pieces.

    Parameters
    ----------
    path : path
        Its folder.
    **options
        As for `torch.load`.

    Returns
    -------
    dict
        The checkpoint.
    """
    content = b"".join(piece.read_bytes() for piece in _pieces(path))
    checkpoint: dict[str, Any] = torch.load(io.BytesIO(content), **options)
    return checkpoint


def _name(number: int) -> str:
    return f"{number:03d}.part"


def _pieces(path: Path) -> list[Path]:
    """Files of the pieces that are there, in order."""
    return list(takewhile(Path.exists, (path / _name(number) for number in count())))
