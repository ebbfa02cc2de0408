"""A process that dies while fitting costs one spectrum, not the run."""

import os
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ppxf")

from quietspec.lab.simulate import PaperRecipe
from quietspec.populations import PpxfOptions, fit, parallel
from quietspec.populations.ppxf_fit import fit_one
from quietspec.populations.result import PopulationFlag


class Poison:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_spectrum_that_kills_its_process_fails_alone(tiny_library, monkeypatch):

    monkeypatch.setattr(parallel, "_TASKS", 2)
    observed = PaperRecipe(tiny_library, limits=(4300, 5300)).simulate(5, np.random.default_rng(0), 30.0).observed
    options = PpxfOptions(kinematics="fixed", dispersion=0, multiplicative=0, gas="none", velocity_scale=150.0)
    data = fit._Data(observed)
    (group,) = fit._alike(data, tiny_library)
    setup = fit._setup(group, data, tiny_library, options)
    ((_, tasks),) = fit._tasks(group, setup, data)
    expected = [fit_one(task, setup) for task in tasks]
    tasks[2] = replace(tasks[2], flux=Poison())
    found = list(parallel.fit_all(tasks, setup, 2))
    assert [result.flags for result in found] == [0, 0, int(PopulationFlag.FAILED), 0, 0]
    assert "died" in found[2].reason
    for row in (0, 1, 3, 4):
        assert found[row].values == pytest.approx(expected[row].values)
