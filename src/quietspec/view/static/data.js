// Questions to the server. Each kind of question has one answer that matters: a new one withdraws the one before.

import { unpack } from "./numbers.js";

const ARRAYS = ["flux", "sigma", "sigma_independent", "input", "input_sigma", "mask", "values", "errors", "wavelength"];

function unpacked(answer) {
  for (const name of ARRAYS) if (answer[name] && answer[name].data !== undefined) answer[name] = unpack(answer[name]);
  return answer;
}

export class Withdrawn extends Error {}

export class Server {
  constructor() {
    this.pending = new Map();
    this.kept = new Map();
  }

  // `role` names what the answer is for; an answer for the same role that is still awaited is abandoned.
  async ask(what, query, role) {
    const address = `api/${what}?${new URLSearchParams(query)}`;
    if (this.kept.has(address)) return this.kept.get(address);
    if (role && this.pending.has(role)) this.pending.get(role).abort();
    const controller = new AbortController();
    if (role) this.pending.set(role, controller);
    try {
      const response = await fetch(address, { signal: controller.signal });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error || `the server answered ${response.status}`);
      this.keep(address, unpacked(answer));
      return answer;
    } catch (error) {
      if (controller.signal.aborted) throw new Withdrawn();
      if (error instanceof TypeError) throw new Error("The server does not answer. Does quietspec view still run?");
      throw error;
    } finally {
      if (role && this.pending.get(role) === controller) this.pending.delete(role);
    }
  }

  keep(address, answer) {
    if (answer.done !== undefined && answer.done < 1) return;
    this.kept.set(address, answer);
    if (this.kept.size > 120) this.kept.delete(this.kept.keys().next().value);
  }

  async about() {
    const about = await this.ask("about", {});
    about.files.forEach(unpacked);
    return about;
  }

  map(file, name) {
    return this.ask("map", { file, name }, `map${file}`);
  }

  flags(file) {
    return this.ask("flags", { file });
  }

  spectrum(file, row) {
    return this.ask("spectrum", { file, row }, `spectrum${file}`);
  }

  region(file, shape) {
    return this.ask("region", { file, shape: JSON.stringify(shape) }, `region${file}`);
  }

  // The posterior of the summed data of a region; it can take seconds.
  sum(file, shape) {
    return this.ask("sum", { file, shape: JSON.stringify(shape) }, `sum${file}`);
  }

  binRegion(file, shape) {
    return this.ask("region", { file, shape: JSON.stringify(shape) });
  }

  binSum(file, shape) {
    return this.ask("sum", { file, shape: JSON.stringify(shape) });
  }

  // Give up a question that is still awaited.
  withdraw(role) {
    if (this.pending.has(role)) this.pending.get(role).abort();
  }

  band(file, target, low, high) {
    return this.ask("band", { file, ...target, low, high }, `band${file}`);
  }

  // Where a file to save is found.
  address(what, query) {
    return `api/${what}?${new URLSearchParams(query)}`;
  }
}
