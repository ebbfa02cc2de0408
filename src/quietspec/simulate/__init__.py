"""Simulated galaxy spectra: histories, kinematics, dust, emission, instruments and noise, joined into recipes."""

from quietspec.simulate.galaxy import Galaxy, Geometry, Population, simulate_galaxy
from quietspec.simulate.given import GivenDraws
from quietspec.simulate.histories import HistoryPrior, random_histories, random_ssp_mixtures
from quietspec.simulate.instruments import INSTRUMENTS, Instrument
from quietspec.simulate.noise import SAMI_NOISE, NoiseLaw
from quietspec.simulate.paper import PAPER_SIZES, PaperRecipe, paper_rng, paper_spectra
from quietspec.simulate.recipes import RECIPES, get_recipe
from quietspec.simulate.simulated import Recipe, RestSpectra, Simulated
from quietspec.simulate.survey import SurveyPrior, SurveyRecipe, SurveySwitches

__all__ = [
    "INSTRUMENTS",
    "PAPER_SIZES",
    "RECIPES",
    "SAMI_NOISE",
    "Galaxy",
    "Geometry",
    "GivenDraws",
    "HistoryPrior",
    "Instrument",
    "NoiseLaw",
    "PaperRecipe",
    "Population",
    "Recipe",
    "RestSpectra",
    "Simulated",
    "SurveyPrior",
    "SurveyRecipe",
    "SurveySwitches",
    "get_recipe",
    "paper_rng",
    "paper_spectra",
    "random_histories",
    "random_ssp_mixtures",
    "simulate_galaxy",
]
