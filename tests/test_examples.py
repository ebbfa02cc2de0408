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


def methods(owner: type) -> list[str]:
    """Names of the public methods of a class; its properties are shown in the example of the class."""
    found = inspect.getmembers_static(owner, lambda one: inspect.isfunction(one) or isinstance(one, classmethod))
    return [f"{owner.__name__}.{name}" for name, _ in found if not name.startswith("_")]


FACE = ["demo_cube", "fetch", "load_denoiser", "open_spectra", "read", "write", "Spectra", "Denoised"]


@pytest.mark.parametrize("path", [*FACE, *methods(quietspec.Spectra), *methods(quietspec.Denoised)])
def test_the_public_face_has_examples(path):
    owner, _, name = path.partition(".")
    described = getattr(quietspec, owner)
    text = inspect.getdoc(getattr(described, name) if name else described)
    assert text is not None
    assert ">>> " in text


@pytest.mark.parametrize("owner", [quietspec.Spectra, quietspec.Denoised])
def test_properties_stand_in_the_example_of_their_class(owner):
    names = [name for name, _ in inspect.getmembers_static(owner, lambda member: isinstance(member, property))]
    assert all(f".{name}" in (inspect.getdoc(owner) or "") for name in names)


def test_dir_lists_the_public_names():
    assert dir(quietspec) == sorted(quietspec.__all__)
