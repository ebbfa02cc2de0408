"""Settings in YAML files in which unknown keys are refused: of trainings and of experiments."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from quietspec.errors import ModelError

__all__ = ["Settings", "SettingsFile", "faults"]


class Settings(BaseModel):
    """Base of settings: never changed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SettingsFile(Settings):
    """Base of settings that fill a YAML file; subclasses name the folder of those that come with the package."""

    shipped: ClassVar[Traversable]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the files that come with the package, sorted."""
        entries = (entry.name for entry in cls.shipped.iterdir())
        return tuple(sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")))

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read settings.

        Parameters
        ----------
        source : str or path
            One of `names`, or a YAML file.

        Returns
        -------
        Self
            Checked settings.

        Raises
        ------
        ModelError
            If nothing has this name, the file is not YAML, or keys are unknown, missing or out of range; the message
            names all of them.
        """
        try:
            return cls.model_validate(yaml.safe_load(cls._text(source)))
        except yaml.YAMLError as error:
            raise ModelError(f"{source}: not YAML: {error}") from error
        except ValidationError as error:
            raise ModelError(f"{source}: {faults(error)}") from error

    @classmethod
    def _text(cls, source: str | Path) -> str:
        names = cls.names()
        try:
            path = cls.shipped / f"{source}.yaml" if str(source) in names else Path(source)
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{source}: no run of this name ({', '.join(names)}), and no readable YAML file: {error}"
            ) from error

    def changed(self, assignments: Sequence[str]) -> Self:
        """Change single settings.

        Parameters
        ----------
        assignments : sequence of str
            ``name=value`` in YAML; the name of a nested setting with dots, as in ``settings.mixture.n_mixture=64``.

        Returns
        -------
        Self
            With the changes, checked as a whole.

        Raises
        ------
        ModelError
            If an assignment has no ``=``, or a key or value is not allowed; the message names it.
        """
        content = self.model_dump(mode="json")
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            *parents, last = name.strip().split(".")
            inner = content
            for parent in parents:
                inner = inner.setdefault(parent, {})
                if not isinstance(inner, dict):
                    raise ModelError(f"{assignment!r}: {parent} has no settings within it.")
            if not equals:
                raise ModelError(f"{assignment!r}: give name=value.")
            inner[last] = yaml.safe_load(text)
        try:
            return type(self).model_validate(content)
        except ValidationError as error:
            raise ModelError(f"{', '.join(assignments)}: {faults(error)}") from error

    def save(self, path: Path) -> None:
        """Write all settings, defaults included, as YAML."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def faults(error: ValidationError) -> str:
    """Every fault in one line."""
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'run'}: {fault['msg']}" for fault in error.errors())
