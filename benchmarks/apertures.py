"""Sums over apertures of 3 to 300 spaxels: pulls of fluxes in bands, of Mg b and of lines, and what errors others give.

    python benchmarks/apertures.py [--cubes 24] [--size 20] [--spaxels 3 10 30 100 300] [--apertures 6] [--no-real]

Simulated cubes whose noise is correlated between spaxels, against their truth; and the MUSE cube of
`quietspec fetch muse-a478` (`quietspec.lab.evaluation.studies.apertures`).
"""

from script import add_library, console, finish, library_of, log, parser

import quietspec
from quietspec.lab.evaluation.studies.apertures import ApertureSettings, aperture_study, aperture_tables

_REDSHIFT = 0.0858  # Abell 478


def main() -> None:
    made = parser(__doc__, results="apertures")
    add_library(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--cubes", type=int, default=24, help="simulated cubes")
    made.add_argument("--size", type=int, default=20, help="spaxels along each side of these")
    made.add_argument("--snr", type=float, default=20, help="S/N of their brightest spaxel")
    made.add_argument("--instrument", default="MaNGA")
    made.add_argument("--drizzle", type=float, default=0.3, help="correlation of the noise of neighbouring spaxels")
    made.add_argument("--spaxels", type=int, nargs="+", default=[3, 10, 30, 100, 300], help="sizes of apertures")
    made.add_argument("--apertures", type=int, default=6, help="apertures of each size in each cube")
    made.add_argument("--compared", type=int, default=6, help="simulated cubes on which other ways are compared")
    made.add_argument("--draws", type=int, default=4, help="how often noise is added to the real cube")
    made.add_argument("--no-real", action="store_true", help="leave the real cube out")
    made.add_argument("--no-spikes", action="store_true", help="simulate spectra without unmasked cosmic rays")
    made.add_argument("--no-clean", action="store_true", help="sum spaxels without looking for cosmic rays")
    made.add_argument("--seed", type=int, default=17)
    options = made.parse_args()
    settings = ApertureSettings(
        options.model, options.cubes, options.size, options.snr, options.instrument, options.drizzle,
        tuple(options.spaxels), options.apertures, options.compared, options.draws, options.seed, not options.no_spikes,
        not options.no_clean,
    )  # fmt: skip
    real = None if options.no_real else quietspec.read(quietspec.fetch("muse-a478"), redshift=_REDSHIFT)
    content = aperture_study(library_of(options), real, settings, log)
    for table in aperture_tables(content):
        console.print(table)
    finish(options, content)


if __name__ == "__main__":
    main()
