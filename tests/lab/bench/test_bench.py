"""The benchmark: children, contenders, cost and figures; the whole of it, small, is slow."""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior, load_prior
from quietspec.errors import QuietspecError
from quietspec.lab.bench import BenchOptions, run_bench
from quietspec.lab.bench.child import in_child
from quietspec.lab.bench.contenders import CONTENDERS, _speed, absent
from quietspec.lab.bench.cost import Cost, cost_of
from quietspec.lab.bench.machine import Rates
from quietspec.lab.bench.whole_files import WAYS
from quietspec.lab.plots import bench_figures
from quietspec.lab.simulate import INSTRUMENTS
from quietspec.spectra import Spectra


def muse(n=6, snr=5.0):
    wavelength = INSTRUMENTS["MUSE"].wavelength
    flux = 1 + np.random.default_rng(0).normal(size=(n, len(wavelength))) / snr
    return Spectra(wavelength=wavelength, flux=flux, ivar=np.full(flux.shape, snr**2), redshift=0.03, medium="air")


def test_a_child_returns_values_and_costs():
    measured = in_child(np.ones, 4_000_000)
    assert measured.value.sum() == 4_000_000
    assert measured.peak_rss_bytes > 32_000_000
    assert measured.seconds > 0
    assert measured.cpu_seconds > 0
    assert measured.peak_child_bytes == 0


def test_a_child_counts_the_processes_that_it_starts():
    measured = in_child(_grandchild)
    assert measured.cpu_seconds > 0.5
    assert measured.peak_child_bytes > 1e6


def _grandchild():
    code = "import time\nwhile time.process_time() < 0.5: pass"
    return subprocess.run([sys.executable, "-c", code], check=True).returncode


@pytest.mark.parametrize(
    ("function", "message"), [(partial(int, "x"), "invalid literal"), (partial(os._exit, 3), "status 3")]
)
def test_a_failing_child_says_why(function, message):
    function.__name__ = "mine"
    with pytest.raises(QuietspecError, match=message):
        in_child(function)


def test_speed_counts_spectra(monkeypatch):
    seen = []
    speed = _speed(lambda spectra: seen.append(len(spectra)), muse(6))
    assert max(seen) == 6
    assert speed.per_second > 0


def test_what_is_not_installed_is_absent(monkeypatch):
    monkeypatch.setattr("quietspec.lab.bench.contenders.find_spec", lambda _: None)
    assert "torch" in (absent("eut-paper") or "")
    assert "ppxf" in (absent("ppxf") or "")
    assert absent("posterior") is None


@pytest.mark.parametrize(("field", "kind"), [("contenders", "contender"), ("files", "way")])
def test_unknown_names_are_refused(tiny_library, field, kind):
    with pytest.raises(QuietspecError, match=f"no {kind} magic"):
        run_bench(tiny_library, BenchOptions(**{field: ("magic",)}))


def test_cost_grows_with_the_pixels_and_gives_a_floor():
    denoiser = KinematicPosterior("posterior", load_prior("survey"))
    few, all_of_them = (cost_of(denoiser, muse().between(4000.0, end)) for end in (6000.0, 9400.0))
    assert few.bytes_moved < all_of_them.bytes_moved
    rates = Rates(1e10, 1e11)
    assert 0 < few.floor(rates) < all_of_them.floor(rates)
    assert Cost(1e10, {"a": 1e11, "b": 5e10}).floor(rates) == pytest.approx(2.5)


@pytest.mark.slow
def test_the_whole_small(tiny_library):
    options = BenchOptions(side=6, spectra=64, contenders=("posterior", "posterior-spatial", "savgol"))
    assert set(options.contenders) < set(CONTENDERS)
    result = json.loads(json.dumps(run_bench(tiny_library, options)))
    assert set(result["spectra_per_second"]) == {*WAYS, *options.contenders}
    assert set(result["ratios"]) == {*WAYS, *options.contenders} - {"posterior-file"}
    assert result["cube"] == [3681, 6, 6]
    assert set(result["files"]) == set(WAYS)
    assert all(one["peak_rss_bytes"] > 1e8 for one in result["files"].values())
    assert result["floor_ratio"] > 1
    assert sum(result["profile_ms"].values()) > 0
    assert set(bench_figures(result)) == {"bench_speed", "bench_scaling", "bench_profile"}
