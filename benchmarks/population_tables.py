"""Print the tables of docs/populations.md, as Markdown, from the results of the benchmarks it names.

python benchmarks/population_tables.py [FOLDER]
"""

from pathlib import Path

from script import RESULTS, parser

from quietspec.lab.evaluation.tables.markdown import ResultsFolder
from quietspec.lab.evaluation.tables.populations import population_tables


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", nargs="?", type=Path, default=RESULTS, help="folder of the results")
    print("\n\n".join(population_tables(ResultsFolder(made.parse_args().folder))))


if __name__ == "__main__":
    main()
