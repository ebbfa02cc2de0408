"""Are the SSP libraries in the medium and at the resolution stated? pPXF fits with M11-ELODIE (0.55 Å) as templates.

    python benchmarks/library_resolution.py [LIBRARY …]

Needs the extra `populations` and ``quietspec fetch`` of the libraries; see
`quietspec.lab.evaluation.studies.library_resolution`.
"""

from script import console, parser

from quietspec.lab.evaluation.studies.library_resolution import LIBRARIES, library_resolution_table


def main() -> None:
    made = parser(__doc__)
    made.add_argument(
        "libraries", nargs="*", default=LIBRARIES, help="names of the libraries in `fetch`; all by default"
    )
    console.print(library_resolution_table(tuple(made.parse_args().libraries)))


if __name__ == "__main__":
    main()
