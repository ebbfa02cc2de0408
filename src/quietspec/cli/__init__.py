"""The command line: thin commands over the public API."""

from quietspec.cli.main import app

__all__ = ["app"]
