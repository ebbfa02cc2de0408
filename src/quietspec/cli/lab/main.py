"""The group of commands `quietspec lab`."""

from __future__ import annotations

import typer

from quietspec.cli.lab.bench import bench
from quietspec.cli.lab.evaluate import evaluate
from quietspec.cli.lab.recover import recover
from quietspec.cli.lab.relabel import relabel
from quietspec.cli.lab.reproduce import reproduce
from quietspec.cli.lab.simulate import simulate
from quietspec.cli.lab.train import train
from quietspec.cli.lab.train_network import train_network

__all__ = ["lab"]

lab = typer.Typer(
    no_args_is_help=True, help="The laboratory: simulate, train, evaluate, time, reproduce. Needs the extra `lab`."
)
for _command in (simulate, train, relabel, train_network, evaluate, recover, bench, reproduce):
    lab.command()(_command)
