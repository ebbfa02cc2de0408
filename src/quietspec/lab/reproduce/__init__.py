"""Every published number by one command: what made it, whether the code has changed since, and where it is quoted."""

from quietspec.lab.reproduce.dependencies import Program, differences, essence
from quietspec.lab.reproduce.made import commit, made
from quietspec.lab.reproduce.manifest import Manifest, Part, checkout
from quietspec.lab.reproduce.run import chosen_parts, run_part
from quietspec.lab.reproduce.state import State, known_stale, stale_parts, state_of

__all__ = [
    "Manifest", "Part", "Program", "State", "checkout", "chosen_parts", "commit", "differences", "essence",
    "known_stale", "made", "run_part", "stale_parts", "state_of",
]  # fmt: skip
