// The dream of one agent: V's decoder, M and C as ONNX graphs, a step and a frame at a time.
import * as ort from "./runtime/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send
ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const KEYS = ["up", "down", "left", "right", "space"]; // bits of an index into about.actions
const ENDED_FOR = 1000; // milliseconds until the next dream begins when C drives
const by = (id) => document.getElementById(id);

// Numbers in [0, 1) that a seed gives again (mulberry32), and standard normal ones (Box and Muller).
function noise(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

class Dream {
  static async load() {
    const names = ["memory", "decoder", "controller"];
    const about = await (await fetch("about.json")).json();
    const graphs = await Promise.all(names.map((name) => ort.InferenceSession.create(`${name}.onnx`)));
    return new Dream(about, ...graphs);
  }

  constructor(about, memory, decoder, controller) {
    Object.assign(this, { about, memory, decoder, controller });
    this.temperature = about.temperature;
    this.reset(0);
  }

  reset(seed) {
    const { starts, hidden_dim } = this.about;
    this.noise = noise(seed);
    this.z = Float32Array.from(starts[seed % starts.length]);
    this.h = new Float32Array(hidden_dim);
    this.c = new Float32Array(hidden_dim);
    Object.assign(this, { steps: 0, total: 0, over: false });
  }

  row(values) {
    return new ort.Tensor("float32", values, [1, values.length]);
  }

  async chosen() {
    const { action } = await this.controller.run({ z: this.row(this.z), h: this.row(this.h) });
    return action.data;
  }

  async step(action) {
    const { uniform, normal } = this.noise;
    const after = await this.memory.run({
      z: this.row(this.z),
      action: this.row(Float32Array.from(action)),
      h: this.row(this.h),
      c: this.row(this.c),
      uniform: this.row(Float32Array.from(this.z, uniform)),
      normal: this.row(Float32Array.from(this.z, normal)),
      end: new ort.Tensor("float32", [uniform()], [1]),
      temperature: new ort.Tensor("float32", [this.temperature], []),
    });
    [this.z, this.h, this.c] = [after.z_next.data, after.h_next.data, after.c_next.data];
    this.total += after.reward.data[0];
    this.steps += 1;
    this.over = Boolean(after.terminated.data[0]);
  }

  async observation() {
    return (await this.decoder.run({ z: this.row(this.z) })).obs.data;
  }
}

function drawPixels(canvas, pixels) {
  const image = new ImageData(64, 64);
  for (let i = 0; i < 64 * 64; i += 1) {
    for (let j = 0; j < 3; j += 1) image.data[4 * i + j] = Math.round(255 * pixels[3 * i + j]);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// LunarLander's eight numbers, as worldmodels/report/states.py draws them.
function drawLander(canvas, [x, y, vx, vy, angle, , left, right]) {
  const pen = canvas.getContext("2d");
  const ground = 100;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const centre = [300 * (x + 1), ground + 18 + 200 * y];
  const place = ([a, b]) => [centre[0] + a * cos - b * sin, 400 - (centre[1] + a * sin + b * cos)];
  const path = (points, colour, width) => {
    pen.beginPath();
    for (const point of points) pen.lineTo(...point);
    [pen.strokeStyle, pen.fillStyle, pen.lineWidth] = [colour, colour, width];
    if (width) pen.stroke();
    else pen.fill();
  };
  pen.fillStyle = "rgb(18,18,26)";
  pen.fillRect(0, 0, 600, 400);
  pen.fillStyle = "rgb(226,226,226)";
  pen.fillRect(0, 400 - ground, 600, ground);
  for (const pole of [240, 360]) {
    path([[pole, 300], [pole, 250]], "rgb(226,226,226)", 1);
    path([[pole, 250], [pole, 260], [pole + 25, 255]], "rgb(204,204,0)", 0);
  }
  path([[centre[0], 400 - centre[1]], [centre[0] + 45 * vx, 400 - centre[1] - 67.5 * vy]], "rgb(120,190,255)", 1);
  for (const [side, contact] of [[-1, left], [1, right]]) {
    path([place([17 * side, -3]), place([24 * side, -18])], contact > 0.5 ? "rgb(255,196,61)" : "rgb(128,102,230)", 5);
  }
  path([[-14, 17], [-17, 0], [-17, -10], [17, -10], [17, 0], [14, 17]].map(place), "rgb(128,102,230)", 0);
}

// Any other state: what M imagines, in standard deviations from the mean, between -3 and 3.
function drawBars(canvas, z) {
  const pen = canvas.getContext("2d");
  const pitch = 540 / z.length;
  pen.fillStyle = "rgb(250,250,250)";
  pen.fillRect(0, 0, 600, 400);
  z.forEach((value, i) => {
    const height = 164 * Math.max(-1, Math.min(1, value / 3));
    pen.fillStyle = Math.abs(value) > 3 ? "rgb(214,96,77)" : "rgb(76,132,196)";
    pen.fillRect(30 + pitch * (i + 0.15), 200 - Math.max(height, 0), 0.7 * pitch, Math.abs(height));
  });
}

class Game {
  constructor(dream) {
    this.dream = dream;
    this.pressed = new Set();
    Object.assign(this, { human: false, paused: false, seed: 0, drawn: [], last: Promise.resolve() });
    this.canvas = by("screen");
  }

  action() {
    const index = KEYS.reduce((sum, key, bit) => sum + (this.pressed.has(key) ? 2 ** bit : 0), 0);
    return this.dream.about.actions[index];
  }

  // A graph computes one thing at a time: whoever wants something of the dream waits for its turn.
  turn(work) {
    this.last = this.last.then(work, work);
    return this.last;
  }

  tick() {
    return this.turn(() => this.#tick());
  }

  async #tick() {
    if (this.dream.over) return;
    await this.dream.step(this.human ? this.action() : await this.dream.chosen());
    await this.#draw();
  }

  async #draw() {
    const { dream, canvas } = this;
    const seen = await dream.observation();
    const { spec } = dream.about;
    if (spec.observation === "pixel") drawPixels(canvas, seen);
    else if (spec.id.includes("LunarLander") && seen.length === 8) drawLander(canvas, seen);
    else drawBars(canvas, dream.z);
    const now = performance.now();
    this.drawn = [...this.drawn.filter((time) => now - time < 1000), now];
    by("step").value = dream.steps;
    by("return").value = (Math.round(10 * dream.total) / 10 + 0).toFixed(1); // no -0.0
    by("rate").value = this.drawn.length;
    if (dream.over) this.say("ended");
  }

  say(text) {
    by("said").textContent = text;
  }

  again(seed = this.seed + 1) {
    return this.turn(() => {
      this.seed = seed;
      this.dream.reset(seed);
      this.say("");
      return this.#draw();
    });
  }

  // Frames a second without a pause between them.
  fastest(frames) {
    return this.turn(async () => {
      const begun = performance.now();
      for (let i = 0; i < frames; i += 1) {
        if (this.dream.over) this.dream.reset(i);
        await this.#tick();
      }
      return (1000 * frames) / (performance.now() - begun);
    });
  }

  // The return of a dream that C drives to its end, undrawn.
  driven(seed, most) {
    return this.turn(async () => {
      this.dream.reset(seed);
      while (!this.dream.over && this.dream.steps < most) await this.dream.step(await this.dream.chosen());
      return this.dream.total;
    });
  }

  drive(human) {
    this.human = human;
    by("driver").setAttribute("aria-pressed", String(!human));
    by("driver").textContent = human ? "You drive" : "C drives";
  }

  pause(paused) {
    this.paused = paused;
    by("pause").setAttribute("aria-pressed", String(paused));
  }

  // Paced by a clock: a frame each 1 / fps seconds, at the chosen speed.
  run() {
    let due = performance.now();
    let ended = 0;
    const frame = async (now) => {
      if (!this.paused && now >= due) {
        if (this.dream.over) {
          ended ||= now;
          if (!this.human && now - ended > ENDED_FOR) {
            ended = 0;
            await this.again();
          }
        } else {
          ended = 0;
          await this.tick();
        }
        due = Math.max(due + 1000 / (this.dream.about.fps * Number(by("speed").value)), now - 100);
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }
}

function listen(game) {
  const names = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", " ": "space" };
  const typed = { c: () => game.drive(!game.human), p: () => game.pause(!game.paused), n: () => one(), r: () => game.again() };
  const one = async () => {
    game.pause(true);
    await game.tick();
  };
  const steer = (key, down) => {
    if (down) {
      game.drive(true);
      game.pressed.add(key);
    } else game.pressed.delete(key);
  };
  document.addEventListener("keydown", (event) => {
    const onControl = event.target.closest?.(event.key === " " ? "button, input, a" : "input");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (names[event.key] && !onControl) {
      event.preventDefault(); // of scrolling
      steer(names[event.key], true);
    } else if (typed[event.key]) typed[event.key]();
  });
  document.addEventListener("keyup", (event) => names[event.key] && game.pressed.delete(names[event.key]));
  window.addEventListener("blur", () => game.pressed.clear());
  for (const button of document.querySelectorAll("[data-key]")) {
    const { key } = button.dataset;
    button.addEventListener("pointerdown", () => steer(key, true));
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(end, () => steer(key, false));
    const presses = (event) => event.key === "Enter" || event.key === " ";
    button.addEventListener("keydown", (event) => presses(event) && steer(key, true));
    button.addEventListener("keyup", (event) => presses(event) && steer(key, false));
  }
  by("driver").addEventListener("click", typed.c);
  by("pause").addEventListener("click", typed.p);
  by("one").addEventListener("click", one);
  by("again").addEventListener("click", () => game.again());
  const temperature = by("temperature");
  const heat = () => {
    game.dream.temperature = Number(temperature.value);
    by("shown").value = game.dream.temperature.toFixed(1);
  };
  temperature.value = game.dream.temperature;
  temperature.addEventListener("input", heat);
  by("shown").value = game.dream.temperature;
}

const game = new Game(await Dream.load());
listen(game);
await game.again(0);
game.run();
window.game = game;
