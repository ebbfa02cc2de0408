// Arrays as they travel, numbers as they are written, and small statistics.

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array };

export function unpack(packed) {
  if (!packed) return null;
  const text = atob(packed.data);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
  if (packed.dtype === "u2") return fromSteps(new Uint16Array(bytes.buffer), packed);
  return new KINDS[packed.dtype](bytes.buffer);
}

// 65535 is no number; the others are steps between the limits.
function fromSteps(steps, { low, high }) {
  return Float32Array.from(steps, (step) => (step === 65535 ? NaN : low + (step / 65534) * (high - low)));
}

// Percentiles of the finite values, from a sample where there are many.
export function percentiles(values, wanted) {
  const stride = Math.max(1, Math.floor(values.length / 50000));
  const finite = [];
  for (let k = 0; k < values.length; k += stride) if (Number.isFinite(values[k])) finite.push(values[k]);
  if (!finite.length) return wanted.map(() => NaN);
  finite.sort((a, b) => a - b);
  return wanted.map((p) => finite[Math.min(finite.length - 1, Math.round((p / 100) * (finite.length - 1)))]);
}

const MINUS = "\u2212";

export function written(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const [digitsPart, power] = value.toExponential(Math.max(0, digits - 2)).split("e");
    return `${digitsPart}e${Number(power)}`.replace(/-/g, MINUS);
  }
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(decimals, 6)).replace("-", MINUS);
}

// A value with its error: as many decimals as the error has two digits.
export function withError(value, error) {
  if (!Number.isFinite(value)) return "–";
  if (!Number.isFinite(error) || error === null || error <= 1e-6 * Math.abs(value)) return written(value);
  if (Math.abs(value) >= 1e5 || error < 1e-4) return `${written(value)} ± ${written(error, 2)}`;
  const decimals = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error))));
  return `${value.toFixed(decimals).replace("-", MINUS)} ± ${error.toFixed(decimals)}`;
}

export function parsed(text) {
  const value = Number(String(text).replace(MINUS, "-").replace(",", "."));
  return String(text).trim() === "" || !Number.isFinite(value) ? null : value;
}

// Round ticks between two limits, about so many.
export function ticksBetween(low, high, about) {
  const span = high - low;
  if (!(span > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => span / size <= 1.4 * about) || 10 * power;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(k * step);
  return ticks;
}

export function tickText(value, ticks) {
  const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : Math.abs(value) || 1;
  if (Math.abs(value) >= 1e5 || (step < 1e-3 && value !== 0)) return written(value, 3);
  let decimals = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  const whole = (size) => Math.abs(size - Math.round(size)) < 1e-6 * Math.max(1, size);
  if (decimals < 6 && !whole(step * 10 ** decimals)) decimals += 1;
  return (Math.abs(value) < step * 1e-6 ? 0 : value).toFixed(decimals).replace("-", MINUS);
}

// Running mean by a Gaussian of some pixels FWHM; NaN counts nowhere and stays where nothing is near.
export function smoothed(values, fwhm) {
  const sigma = fwhm / 2.3548;
  const reach = Math.ceil(2.5 * sigma);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-0.5 * ((k - reach) / sigma) ** 2));
  const result = new Float32Array(values.length).fill(NaN);
  for (let k = 0; k < values.length; k++) {
    let total = 0;
    let weight = 0;
    for (let j = Math.max(0, k - reach); j <= Math.min(values.length - 1, k + reach); j++) {
      const value = values[j];
      if (value === value) {
        const w = kernel[j - k + reach];
        total += w * value;
        weight += w;
      }
    }
    if (weight > 0.3 * sigma) result[k] = total / weight;
  }
  return result;
}
