"""Simulated galaxy spectra: histories, kinematics, dust, emission, instruments and noise, joined into recipes."""

from quietspec.lab.simulate.cube_worlds import WORLDS, world
from quietspec.lab.simulate.draws import Draws, viewing_of
from quietspec.lab.simulate.galaxy import Galaxy, Geometry, Population, simulate_galaxy
from quietspec.lab.simulate.galaxy_cube import GalaxyCube
from quietspec.lab.simulate.galaxy_cubes import CubeSetup, Star, World, simulate_cube
from quietspec.lab.simulate.given import GivenDraws
from quietspec.lab.simulate.histories import HistoryPrior, random_histories, random_ssp_mixtures
from quietspec.lab.simulate.instruments import INSTRUMENTS, Instrument
from quietspec.lab.simulate.noise import SAMI_NOISE, NoiseLaw
from quietspec.lab.simulate.paper import PAPER_SEED, PAPER_SIZES, PaperRecipe, paper_rng, paper_spectra
from quietspec.lab.simulate.particles import ParticleSetup, simulate_particles
from quietspec.lab.simulate.recipes import FETCHING, RECIPES, get_recipe
from quietspec.lab.simulate.simulated import Recipe, RestSpectra, Simulated
from quietspec.lab.simulate.survey import SurveyRecipe
from quietspec.lab.simulate.survey_prior import SurveyPrior, SurveySwitches
from quietspec.lab.simulate.ultraviolet import UltravioletRecipe
from quietspec.lab.simulate.wide import WideRecipe

__all__ = [
    "FETCHING",
    "INSTRUMENTS",
    "PAPER_SEED",
    "PAPER_SIZES",
    "RECIPES",
    "SAMI_NOISE",
    "WORLDS",
    "CubeSetup",
    "Draws",
    "Galaxy",
    "GalaxyCube",
    "Geometry",
    "GivenDraws",
    "HistoryPrior",
    "Instrument",
    "NoiseLaw",
    "PaperRecipe",
    "ParticleSetup",
    "Population",
    "Recipe",
    "RestSpectra",
    "Simulated",
    "Star",
    "SurveyPrior",
    "SurveyRecipe",
    "SurveySwitches",
    "UltravioletRecipe",
    "WideRecipe",
    "World",
    "get_recipe",
    "paper_rng",
    "paper_spectra",
    "random_histories",
    "random_ssp_mixtures",
    "simulate_cube",
    "simulate_galaxy",
    "simulate_particles",
    "viewing_of",
    "world",
]
