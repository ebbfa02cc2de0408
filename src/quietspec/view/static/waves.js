// Wavelengths: air and vacuum, observed, at rest, and as velocities from a line.

const LIGHT = 299792.458; // km/s

// Refractive index of standard air at a vacuum wavelength in Å: Ciddor 1996, Applied Optics 35, 1566.
function index(vacuum) {
  const s = (1e4 / vacuum) ** 2;
  return vacuum < 2000 ? 1 : 1 + 0.05792105 / (238.0185 - s) + 0.00167917 / (57.362 - s);
}

export const toAir = (vacuum) => vacuum / index(vacuum);

export function toVacuum(air) {
  let vacuum = air;
  for (let k = 0; k < 3; k++) vacuum = air * index(vacuum);
  return vacuum;
}

// Lines and indices with all wavelengths in vacuum, where light is redshifted.
export function inVacuum(marks) {
  const to = (medium) => (medium === "air" ? toVacuum : (w) => w);
  const lines = (list) => list.map((line) => ({ ...line, wavelength: to(line.medium)(line.wavelength) }));
  const indices = marks.indices.map((index) => ({ ...index, bands: index.bands.map((band) => band.map(to(index.medium))) }));
  return { emission: lines(marks.emission), absorption: lines(marks.absorption), indices };
}

// Where a rest wavelength in vacuum is observed.
export function observedAt(rest, redshift, medium) {
  const vacuum = rest * (1 + redshift);
  return medium === "air" ? toAir(vacuum) : vacuum;
}

// What the horizontal axis shows for an observed wavelength, and back.
export function axisOf(kind, redshift, medium, line) {
  const z = Number.isFinite(redshift) ? redshift : 0;
  const vacuum = (w) => (medium === "air" ? toVacuum(w) : w);
  const observed = (v) => (medium === "air" ? toAir(v) : v);
  if (kind === "rest") {
    return {
      label: "Rest wavelength in air [Å]",
      to: (w) => toAir(vacuum(w) / (1 + z)),
      from: (r) => observed(toVacuum(r) * (1 + z)),
    };
  }
  if (kind === "velocity" && line) {
    const centre = line.wavelength * (1 + z);
    return {
      label: `Velocity from ${line.name} [km/s]`,
      to: (w) => LIGHT * Math.log(vacuum(w) / centre),
      from: (v) => observed(centre * Math.exp(v / LIGHT)),
    };
  }
  return { label: `Observed wavelength in ${medium} [Å]`, to: (w) => w, from: (w) => w };
}
