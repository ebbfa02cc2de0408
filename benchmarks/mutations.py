"""Break lines that matter, one at a time, and see whether the tests notice.

`mutations.toml` lists the lines, what each becomes and the tests that should fail then. Each runs on a copy of the
package. A mutation survives if all these tests pass; then a test is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from script import ROOT, finish, log, parser

LIST = Path(__file__).with_suffix(".toml")
PACKAGE = ROOT / "src" / "quietspec"
_FAILED = 1  # pytest's exit status where tests fail


@dataclass(frozen=True)
class Mutation:
    """One line, broken.

    Parameters
    ----------
    what : str
        What goes wrong.
    module : str
        Where, as a path within the package.
    line, becomes : str
        The text, which stands once in the module, and what replaces it.
    tests : list of str
        Test files that should notice.
    """

    what: str
    module: str
    line: str
    becomes: str
    tests: list[str]

    def __post_init__(self) -> None:
        found = (PACKAGE / self.module).read_text(encoding="utf-8").count(self.line)
        if found != 1:
            raise ValueError(f"{LIST.name}: {self.what}: its line stands {found} times in {self.module}, not once.")
        for test in self.tests:
            if not (ROOT / test).exists():
                raise ValueError(f"{LIST.name}: {self.what}: {test} is missing.")

    def apply(self, package: Path) -> None:
        """Break the line in a copy of the package."""
        path = package / self.module
        path.write_text(path.read_text(encoding="utf-8").replace(self.line, self.becomes), encoding="utf-8")


def mutations() -> list[Mutation]:
    """Read the list; `ValueError` where it does not fit the code."""
    return [Mutation(**entry) for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutation"]]


def outcome(tests: list[str], mutation: Mutation | None = None) -> subprocess.CompletedProcess[str]:
    """Run pytest on a copy of the package, with a mutation or without."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "quietspec"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        if mutation is not None:
            mutation.apply(package)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": folder}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def measured(chosen: list[Mutation]) -> list[dict[str, Any]]:
    """Run mutations; each with whether the tests noticed."""
    every = sorted({test for mutation in chosen for test in mutation.tests})
    before = outcome(every)
    if before.returncode != 0:
        raise SystemExit(f"{before.stdout[-2000:]}\nthe tests fail on the code as it is; mend that first")
    table = []
    for mutation in chosen:
        status = outcome(mutation.tests, mutation).returncode
        table.append({"what": mutation.what, "module": mutation.module, "noticed": status == _FAILED, "status": status})
        log(f"{'noticed ' if status == _FAILED else f'SURVIVED ({status})'} {mutation.module}: {mutation.what}")
    return table


def main() -> None:
    """Run the mutations whose description holds a text."""
    made = parser(__doc__ or "", results="mutations")
    made.add_argument("--only", default="", metavar="TEXT", help="only mutations whose description holds this")
    options = made.parse_args()
    table = measured([mutation for mutation in mutations() if options.only in mutation.what])
    finish(options, {"noticed": sum(row["noticed"] for row in table), "of": len(table), "mutations": table})


if __name__ == "__main__":
    main()
