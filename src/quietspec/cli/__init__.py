"""The command line: thin commands over the public API."""

from quietspec.cli.app import app

__all__ = ["app"]
