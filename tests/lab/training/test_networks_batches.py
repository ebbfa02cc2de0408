"""Batches: every spectrum once per pass, a stream that resumes anywhere, noise as requested, disjoint parts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.denoisers import Posterior
from quietspec.lab.simulate import SAMI_NOISE, paper_spectra
from quietspec.lab.simulate.noise import window_snr
from quietspec.lab.training import MixtureSettings, PriorSettings, fit_prior
from quietspec.lab.training.networks import Corpus, NoisyBatches, network_input
from quietspec.wavelengths import SNR_WINDOW, in_window

from .small import PATCHES, small_recipe, small_run

RECIPE = small_recipe()


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.draw(RECIPE, small_run())


def identities(spectra) -> list[bytes]:
    """Noise-free spectra as hashable values."""
    return [np.asarray(row, dtype=np.float32).tobytes() for row in spectra]


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@given(n=st.integers(3, 70), batch=st.integers(1, 20), steps_per_epoch=st.integers(1, 9), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_a_pass_has_every_training_spectrum_once(corpus, n, batch, steps_per_epoch, seed):
    part = Corpus(corpus.recipe, corpus.training[:n], corpus.validation)
    run = small_run(batch=batch, steps_per_epoch=steps_per_epoch, steps=steps_per_epoch, seed=seed)
    stream = NoisyBatches(part, run)
    rows = np.concatenate([stream.rows(number) for number in range(-(-3 * n // batch))])
    passes = rows[: 3 * n].reshape(3, n)
    np.testing.assert_array_equal(np.sort(passes, axis=1), np.tile(np.arange(n), (3, 1)))
    if n > 20:
        assert not np.array_equal(passes[0], passes[1])


def test_batches_hold_the_rows_that_rows_gives(corpus):
    stream = NoisyBatches(corpus, small_run())
    seen = [identity for batch in stream for identity in identities(batch.truth)]
    rows = np.concatenate([stream.rows(number) for number in range(len(stream))])
    assert seen == identities(corpus.training.flux[rows])
    assert len(set(seen)) == len(seen) == 60


def test_an_epoch_ends_and_the_next_continues(corpus):
    stream = NoisyBatches(corpus, small_run())
    epochs = [list(stream) for _ in range(3)]
    assert [len(epoch) for epoch in epochs] == [6, 6, 6] == [len(stream)] * 3
    for number, batch in enumerate(batch for epoch in epochs for batch in epoch):
        assert same(batch, stream.batch(number))


@given(taken=st.integers(0, 17))
@settings(max_examples=18, deadline=None)
def test_a_stream_resumed_anywhere_continues_as_if_it_had_not_stopped(corpus, taken):
    run, stream = small_run(), NoisyBatches(corpus, small_run())
    whole = [stream.batch(number) for number in range(18)]
    endless = (batch for _ in range(4) for batch in stream)
    for _ in range(taken):
        next(endless)
    resumed = NoisyBatches(corpus, run)
    resumed.load_state_dict(stream.state_dict())
    rest = [batch for _ in range(3 - taken // 6) for batch in resumed]
    assert len(rest) == 18 - taken
    assert all(same(one, other) for one, other in zip(rest, whole[taken:], strict=True))


def test_noise_is_new_each_time(corpus):
    run = small_run(batch=105, steps=4, steps_per_epoch=4)  # a pass is two batches
    stream = NoisyBatches(corpus, run)

    def noisy(*numbers: int) -> dict:
        batches = [stream.batch(number) for number in numbers]
        return {key: row for b in batches for key, row in zip(identities(b.truth), b.spectra[:, 0], strict=True)}

    first, second = noisy(0, 1), noisy(2, 3)
    assert first.keys() == second.keys()
    assert not any(torch.equal(first[key], second[key]) for key in first)


def test_another_seed_gives_another_order_and_noise(corpus):
    one, other = (NoisyBatches(corpus, small_run(seed=seed)).batch(0) for seed in (1, 2))
    assert identities(one.truth) != identities(other.truth)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_divide_each_batch_among_them(corpus, world):
    run = small_run()
    whole = NoisyBatches(corpus, run)
    parts = [NoisyBatches(corpus, run, rank=rank, world=world) for rank in range(world)]
    for number in range(8):
        seen = [identity for part in parts for identity in identities(part.batch(number).truth)]
        assert sorted(seen) == sorted(identities(whole.batch(number).truth))
    noise = [part.batch(0).spectra[0, 0] - part.batch(0).truth[0] for part in parts]
    assert abs(np.corrcoef(np.stack(noise))[0, 1]) < 0.3  # each process has its own noise


def test_noise_has_the_given_snr_over_ten_thousand_spectra():
    run = small_run(n=10_001, validation=1, batch=1000, snr=(8.0, 8.0), steps=10, steps_per_epoch=10)
    batches = list(NoisyBatches(Corpus.draw(RECIPE, run), run))
    inside = in_window(RECIPE.library.wavelength, SNR_WINDOW)
    flux, truth, sigma = (
        torch.cat([pick(batch) for batch in batches]).double().numpy()
        for pick in (lambda batch: batch.spectra[:, 0], lambda batch: batch.truth, lambda batch: batch.sigma)
    )
    assert len(set(identities(truth))) == 10_000
    np.testing.assert_allclose(window_snr(truth, sigma, inside), 8, rtol=1e-4)
    noise = np.sqrt(np.mean((flux - truth)[:, inside] ** 2))
    assert truth[:, inside].mean() / noise == pytest.approx(8, rel=0.01)


def test_noise_follows_the_law_over_wavelength():
    recipe = small_recipe(spread=False)
    run = small_run(n=10_001, validation=1, batch=1000, snr=(8.0, 8.0), steps=10, steps_per_epoch=10)
    batches = list(NoisyBatches(Corpus.draw(recipe, run), run))
    residual = torch.cat([batch.spectra[:, 0] - batch.truth for batch in batches]).double().numpy()
    wavelength = recipe.library.wavelength
    law, inside = SAMI_NOISE.relative_sigma(wavelength)[0], in_window(wavelength, SNR_WINDOW)
    # The RMS of each pixel has a relative error of 1/√20,000.
    np.testing.assert_allclose(residual.std(axis=0), law / law[inside].mean() / 8, rtol=0.035)
    assert abs(np.mean(residual[:, 1:] * residual[:, :-1]) / np.mean(residual**2)) < 0.005


def test_snr_is_uniform_in_the_given_range(corpus):
    run = small_run(batch=200, snr=(5, 20))
    inside = in_window(RECIPE.library.wavelength, SNR_WINDOW)
    batches = [NoisyBatches(corpus, run).batch(number) for number in range(10)]
    snr = np.concatenate([window_snr(batch.truth.numpy(), batch.sigma.numpy(), inside) for batch in batches])
    assert snr.min() > 4.999
    assert snr.max() < 20.001
    np.testing.assert_allclose(np.quantile(snr, [0.1, 0.5, 0.9]), [6.5, 12.5, 18.5], atol=0.7)


def test_validation_spectra_are_never_trained_on(corpus):
    run = small_run()
    validation = set(identities(torch.cat([batch.truth for batch in corpus.validation_batches(run)])))
    stream = NoisyBatches(corpus, run)
    trained = {identity for _ in range(5) for batch in stream for identity in identities(batch.truth)}
    assert (len(validation), len(trained)) == (50, 210)
    assert not validation & trained


def test_validation_batches_are_the_same_each_time_and_span_the_snr(corpus):
    run = small_run(snr=(5, 20))
    once, again = corpus.validation_batches(run), corpus.validation_batches(run)
    assert all(same(one, other) for one, other in zip(once, again, strict=True))
    inside = in_window(RECIPE.library.wavelength, SNR_WINDOW)
    for batch in once:
        snr = window_snr(batch.truth.numpy(), batch.sigma.numpy(), inside)
        np.testing.assert_allclose(snr, np.linspace(5, 20, 10), rtol=1e-4)
    assert not same(once[0], once[1])


@pytest.mark.parametrize("seed", [0, 1])
def test_spectra_of_the_test_part_are_never_drawn(seed):
    run = small_run(n=4000, validation=500, seed=seed)
    corpus = Corpus.draw(RECIPE, run)
    drawn = {*identities(corpus.training.flux), *identities(corpus.validation.flux)}
    test = {identity for rest in paper_spectra(RECIPE, "test") for identity in identities(rest.flux)}
    assert (len(drawn), len(test)) == (4000, 10_000)
    assert not drawn & test


def test_a_corpus_is_the_beginning_of_the_training_part(corpus):
    first = next(paper_spectra(RECIPE, "train", 0, 260)).flux
    np.testing.assert_array_equal(np.concatenate([corpus.training.flux, corpus.validation.flux]), first)


def wiener(recipe) -> Posterior:
    rng = np.random.default_rng(0)
    rest = recipe.rest(300, rng)
    settings = PriorSettings(n_components=3, mixture=MixtureSettings(n_mixture=1, max_iter=2))
    flat = np.ones(rest.wavelength.size)
    card = {"emission": "none", "noise": "quoted"}
    return Posterior("wiener", fit_prior(rest, flat, 40 * flat, rng, settings, card=card))


def test_channels_hold_what_their_names_say():
    simulated = RECIPE.simulate(5, np.random.default_rng(1), 10.0)
    observed, tool = simulated.observed, wiener(RECIPE)
    observed.ivar[:, 30:33] = 0
    channels = ("flux", "sigma", "masked", "wiener")
    given = network_input(simulated, channels, tool).numpy()
    assert given.shape == (5, 4, len(observed.wavelength))
    assert given.dtype == np.float32
    expected = (observed.flux, observed.sigma, ~observed.good, tool.denoise(observed).flux)
    for place, values in enumerate(expected):
        np.testing.assert_array_equal(given[:, place], values.astype(np.float32))
    assert given[:, 2].sum() == 15
    np.testing.assert_array_equal(network_input(simulated, ("flux",)).numpy(), given[:, :1])


def test_batches_hold_the_channels_of_the_run(corpus):
    network = PATCHES.model_copy(update={"channels": ("flux", "wiener", "sigma")})
    run, tool = small_run(network=network), wiener(RECIPE)
    batch = NoisyBatches(corpus._replace(wiener=tool), run).batch(0)
    assert batch.spectra.shape == (10, 3, len(RECIPE.library.wavelength))
    assert torch.equal(batch.spectra[:, 2], batch.sigma)
    noisy, filtered = ((batch.spectra[:, place] - batch.truth).square().mean() for place in (0, 1))
    assert filtered < 0.05 * noisy
    with pytest.raises(ValueError, match="channel 'wiener': no filter given"):
        NoisyBatches(corpus, run).batch(0)
