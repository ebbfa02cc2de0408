"""The law of largest evidence is the one that spectra were drawn with; evidences are of the same data."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.instruments import instrument_of
from quietspec.lab.evaluation.calibration_laws import LawSearch, held_fixed, likeliest_law, log_evidence
from quietspec.lab.evaluation.studies.calibration_laws import calibration_table, learned_calibration
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra

from ...denoisers.posterior.rest_frame import rest_prior
from ...denoisers.posterior.test_kinematic_denoiser import REST, moving

PRIOR = rest_prior()


def drawn(law, n, snr, seed):
    """Spectra of moving stars with calibration errors of a law on top."""
    rng = np.random.default_rng(seed)
    spectra, *_ = moving(n, snr, rng, velocity=0, sigma=120)
    factor = law.knots(REST).draw(n, rng)
    return replace(spectra, flux=spectra.flux * factor, ivar=spectra.ivar / factor**2)


@pytest.mark.parametrize("size", [0.01, 0.03])  # 1 % at 200 Å is in the spectra already
def test_the_size_that_spectra_were_drawn_with_is_found(size):
    law = CalibrationLaw(0.0, 0.0, ((80.0, size),))
    search = LawSearch(sizes={"80": 0.012}, cycles=1)
    many = drawn(law, 4, 70, 1)
    found = likeliest_law(PRIOR, [many[row] for row in range(4)], [search])
    assert (found.spectra, found.sets) == (4, 4)
    assert size / 1.9 < dict(found.law.waves)[80.0] < 1.9 * size
    assert found.gain > 0


def test_a_dearer_kind_of_law_is_taken_only_where_it_gains():
    cheap, dear = LawSearch(sizes={"200": 0.01}, cycles=1), LawSearch(sizes={"200": 0.01, "30": 0.01}, cycles=1)
    smooth = drawn(CalibrationLaw(0.0, 0.0, ((200.0, 0.01),)), 3, 60, 3)
    rough = drawn(CalibrationLaw(0.0, 0.0, ((200.0, 0.01), (30.0, 0.02))), 3, 60, 3)
    assert 30.0 not in dict(likeliest_law(PRIOR, [smooth], [cheap, dear]).law.waves)
    assert 30.0 in dict(likeliest_law(PRIOR, [rough], [cheap, dear]).law.waves)


def test_spectra_that_share_an_exposure_count_as_one():
    some, search = drawn(CalibrationLaw(0.0, 0.0, ((80.0, 0.02),)), 1, 60, 7), LawSearch(sizes={"80": 0.012}, cycles=1)
    one, three = (likeliest_law(PRIOR, [some[rows]], [search]) for rows in ([0], [0, 0, 0]))
    assert three.law == one.law
    assert three.gain == pytest.approx(one.gain, abs=0.1)
    assert (three.spectra, three.sets) == (3, 1)


def test_with_little_light_the_typical_law_stays():
    faint = drawn(CalibrationLaw(0.0, 0.0, ((80.0, 0.03),)), 1, 2, 4)
    search = LawSearch(sizes={"80": 0.012}, cycles=1)
    (found,) = likeliest_law(PRIOR, [faint], [search]).law.waves
    assert found[1] == pytest.approx(0.012, rel=0.5)


def test_masks_and_noise_become_part_of_the_data():
    spectra = drawn(CalibrationLaw(0.01, 0.0, ()), 3, 40, 5)
    flux = spectra.flux.copy()
    flux[:, 500] += 3
    fixed = held_fixed(PRIOR, replace(spectra, flux=flux))
    assert not fixed.good[:, 500].any()
    for law in (CalibrationLaw(), CalibrationLaw(0.005, 0.0, ())):
        evidence, spoilt = log_evidence(PRIOR, law, fixed)
        assert np.isfinite(evidence).all()
        assert not spoilt.any()


def test_studies_learn_from_what_is_there():
    entry = learned_calibration(PRIOR, _Canned(None), ["SDSS 0332-52367-0639"], cycles=1)
    assert entry["taught_by"]["SDSS"]["spectra"] == 2
    laws = CalibrationLaw.of_card({"calibration": entry})
    assert laws["SDSS"] == CalibrationLaw.from_dict(entry["laws"]["SDSS"])
    assert laws["default"] == CalibrationLaw()
    assert calibration_table(entry).row_count == 2


class _Canned(RealSpectra):
    def sdss(self, name):
        spectra = drawn(CalibrationLaw(0.01, 0.0, ()), 2, 30, 6)
        return replace(spectra, meta={"survey": "SDSS"})


@pytest.mark.parametrize(
    ("survey", "instrument"),
    [("SAMI", "SAMI"), ("MaNGA DAP", "MaNGA"), ("simulated MUSE", None), ("quietspec", None), (None, None)],
)
def test_instruments_are_known_by_what_readers_say(survey, instrument):
    assert instrument_of({} if survey is None else {"survey": survey}) == instrument
