"""Try spoilt inputs of every kind, and count how they end.

    python benchmarks/fuzz.py -n 100000 --json fuzz.json
    python benchmarks/fuzz.py --only 12345            # one input, with its traceback

Inputs are sound files of every layout (FITS, text tables, priors, networks, journals, plans, manifests, command lines)
with cards, columns, bytes, values and sizes changed at random; the number of an input and the seed make it again. Each
may take 10 s of processor time and 1 GB of memory. It ends as ``read`` or ``refused``; anything else is a fault.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path

from quietspec.lab.reproduce import made

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fuzz import targets
from tests.fuzz.run import GOOD, Outcome, fuzz


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="number of inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="try this input alone, in this process, and keep its files")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.only is not None:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{given.only}-"))
        print(f"in {folder}")
        print(*targets.run(given.seed, given.only, folder))
        return 0
    start = time.perf_counter()
    origin = made(shlex.join(["python", "benchmarks/fuzz.py", *sys.argv[1:]]), Path(__file__), given.json)

    def text(outcome: Outcome) -> str:
        run = {"seed": given.seed, "first": given.first, "seconds": round(time.perf_counter() - start)}
        return json.dumps(origin | run | outcome.summary(), indent=1) + "\n"

    def say(outcome: Outcome) -> None:
        print(f"{outcome.inputs} inputs, {outcome.inputs - outcome.total(*GOOD)} faults", file=sys.stderr)
        if given.json is not None:
            given.json.write_text(text(outcome), encoding="utf-8")

    outcome = fuzz(given.seed, given.first, given.first + given.n, say)
    print(text(outcome), end="")
    return int(outcome.total(*GOOD) < outcome.inputs)


if __name__ == "__main__":
    sys.exit(main())
