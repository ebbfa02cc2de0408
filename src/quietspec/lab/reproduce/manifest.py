"""The manifest ``benchmarks/manifest.toml`` of a checkout: what makes each published result, and where it is quoted."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from quietspec.errors import QuietspecError
from quietspec.lab.reproduce.dependencies import Program
from quietspec.lab.settings import Settings, faults

__all__ = ["MANIFEST", "Manifest", "Part", "checkout"]

MANIFEST = Path("benchmarks") / "manifest.toml"
_COMMANDS = "quietspec.cli"


class Part(Settings):
    """One result.

    Parameters
    ----------
    name : str
        Name of the results file, without ``.json``.
    command : str
        What makes it, from the root of the checkout; words in braces stand for data sets in `fetch`, and ``{data}`` and
        others for places that the user names.
    minutes : float
        How long this takes on two cores, roughly.
    prints : bool
        Whether the command writes no JSON, so that what it prints is kept.
    by_hand : str
        Why it is made only if asked for by name; empty for the others.
    pages, figures : tuple of str
        Pages that quote it, and pictures that the command draws, as paths from the root.
    copies : dict of str to str
        Pictures that are copied from where the command draws them, both as paths from the root.
    models, modules, files : tuple of str
        What it depends on beside the modules that are imported: shipped models, modules behind a command that is run,
        other files (from the root).
    fetch : tuple of str
        Data sets of `quietspec fetch`.
    """

    name: str
    command: str
    minutes: float
    prints: bool = False
    by_hand: str = ""
    pages: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    copies: dict[str, str] = Field(default_factory=dict)
    models: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    fetch: tuple[str, ...] = ()

    @property
    def places(self) -> list[str]:
        """What the user has to name: words in braces that are no data set."""
        return [word for word in re.findall(r"\{([\w-]+)\}", self.command) if word not in self.fetch]

    def program(self, root: Path) -> Program:
        """Return what the part runs, with all that it depends on.

        Parameters
        ----------
        root : Path
            The checkout.

        Returns
        -------
        Program
            The script, or the module behind the command.

        Examples
        --------
        >>> part = Part(name="speed", command="quietspec lab bench --side 300", minutes=20)
        >>> part.program(Path(".")).entry.name
        'bench.py'
        """
        first, *words = shlex.split(self.command)
        entry = root / words[0] if first == "python" else _entry(words)
        return Program(entry, self.modules, self.models, tuple(root / name for name in self.files))


def _entry(words: list[str]) -> Path:
    """Module behind the words after ``quietspec``."""
    names = [word.replace("-", "_") for word in words[:2]]
    return Program.of_module(".".join([_COMMANDS, *names[: 2 if names[0] == "lab" else 1]])).entry


class Manifest(Settings):
    """All results of a checkout.

    Parameters
    ----------
    root : Path
        The checkout.
    part : tuple of Part
        The results, in the order in which they are made.
    """

    root: Path
    part: tuple[Part, ...]

    @classmethod
    def load(cls, root: Path) -> Manifest:
        """Read the manifest of a checkout.

        Parameters
        ----------
        root : Path
            The checkout.

        Returns
        -------
        Manifest
            Checked: names stand once, keys are known.

        Raises
        ------
        QuietspecError
            If the file is not as it should be; the message names every fault.
        """
        path = root / MANIFEST
        try:
            found = cls(root=root, **tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise QuietspecError(f"{path}: {error}") from error
        except ValidationError as error:
            raise QuietspecError(f"{path}: {faults(error)}") from error
        names = [part.name for part in found.part]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise QuietspecError(f"{path}: {', '.join(twice)}: more than one part of this name.")
        return found

    @property
    def results(self) -> Path:
        """Folder of the results files."""
        return self.root / "benchmarks" / "results"

    def __contains__(self, name: str) -> bool:
        return any(part.name == name for part in self.part)

    def __getitem__(self, name: str) -> Part:
        """Part of a name; `QuietspecError` if there is none."""
        for part in self.part:
            if part.name == name:
                return part
        raise QuietspecError(f"{name}: no such part. `quietspec lab reproduce --list` names all.")


def checkout(start: Path | None = None) -> Path:
    """Find the checkout that a folder belongs to.

    Parameters
    ----------
    start : Path, optional
        The folder; by default the working one, then that of the package.

    Returns
    -------
    Path
        The folder that holds ``benchmarks/manifest.toml``.

    Raises
    ------
    QuietspecError
        If there is none.
    """
    for place in [start] if start else [Path.cwd(), Path(__file__)]:
        for folder in (place, *place.resolve().parents):
            if (folder / MANIFEST).exists():
                return folder
    raise QuietspecError(
        f"{start or Path.cwd()}: no {MANIFEST} here or above. The scripts behind the results are not in the "
        "package: clone the repository, and run the command in it."
    )
