"""Print the tables of docs/paper.md, as Markdown, from what `quietspec lab evaluate --json` wrote.

    python benchmarks/paper_tables.py FILE [FILE …]

Several files, of the same recipe, n, seed and S/N, are joined.
"""

import json
from pathlib import Path

from script import parser

from quietspec.lab.evaluation.tables.paper import paper_tables


def main() -> None:
    made = parser(__doc__)
    made.add_argument("files", nargs="+", type=Path, help="JSON of the same recipe, n, seed and S/N")
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in made.parse_args().files]
    print("\n\n".join(paper_tables(runs)))


if __name__ == "__main__":
    main()
