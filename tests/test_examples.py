"""The examples in docstrings run, and everything on the public face has one."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module

import pytest

import quietspec

LABORATORY = ("quietspec.lab", "quietspec.cli")  # theirs need data or trainings


def product_modules() -> list[str]:
    """Names of all modules of the product."""
    found = (module.name for module in pkgutil.walk_packages(quietspec.__path__, "quietspec."))
    return ["quietspec", *(name for name in found if not name.startswith(LABORATORY))]


@pytest.mark.parametrize("name", product_modules())
def test_examples_run(name):
    failed, _ = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0


def members(owner: type) -> list[str]:
    return [
        f"{owner.__name__}.{name}"
        for name, member in vars(owner).items()
        if (not name.startswith("_") and isinstance(member, property | classmethod)) or inspect.isfunction(member)
        if not name.startswith("_")
    ]


FACE = ["fetch", "load_denoiser", "open_spectra", "read", "write", "Spectra", "Denoised"]


@pytest.mark.parametrize("path", [*FACE, *members(quietspec.Spectra), *members(quietspec.Denoised)])
def test_the_public_face_has_examples(path):
    owner, _, name = path.partition(".")
    described = getattr(quietspec, owner)
    if name:
        described = inspect.getattr_static(described, name)
    text = described.fget.__doc__ if isinstance(described, property) else inspect.getdoc(described)
    assert text is not None
    assert ">>> " in text


def test_dir_lists_the_public_names():
    assert dir(quietspec) == sorted(quietspec.__all__)
