// A look at structures in three dimensions, on a plain 2D canvas: works offline and without WebGL.
// Drag turns, the wheel or two fingers zoom, arrow keys turn, + and - zoom, a double click starts over.
(function () {
  "use strict";
  const holder = document.getElementById("viewer");
  if (!holder) return;
  const data = JSON.parse(document.getElementById("structures").textContent);
  const byClass = (name) => holder.querySelector("." + name);
  const canvas = byClass("stage"), context = canvas.getContext("2d"), tip = byClass("tip");
  const chooser = byClass("which"), scalarChooser = byClass("scalar");
  const showBonds = byClass("bonds"), showCell = byClass("cell");

  // matplotlib's viridis at nine places
  const MAP = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
               [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
  const NO_VALUE = [255, 255, 255];
  const EDGE_PARTS = 10, ATOM_SIZE = 0.66, BOND_REACH = 1.18;
  const START = [[0.87, 0, 0.5], [-0.17, 0.94, 0.3], [-0.47, -0.34, 0.81]];
  let scene = null, turn = null, zoom = 1, drawn = [], waiting = false;

  const mix = (a, b, t) => a.map((x, k) => x + (b[k] - x) * t);
  const css = (c) => "rgb(" + c.map((x) => Math.round(x)).join(",") + ")";
  const product = (m, v) => m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
  const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const along = (a, b, t) => a.map((x, k) => x + (b[k] - x) * t);
  const length = (a) => Math.hypot(a[0], a[1], a[2]);

  function mapped(t) {
    const place = Math.min(0.9999, Math.max(0, t)) * (MAP.length - 1), k = Math.floor(place);
    return mix(MAP[k], MAP[k + 1], place - k);
  }

  function corners(cell) {
    const found = [];
    for (let n = 0; n < 8; n++) found.push([0, 1, 2].map((k) => cell.reduce((sum, row, j) => sum + ((n >> j) & 1) * row[k], 0)));
    return found;
  }

  // --- what is shown

  function choose(number) {
    const shown = data.structures[number];
    const hasCell = shown.cell.some((row) => length(row) > 0);
    const places = hasCell ? shown.positions.concat(corners(shown.cell)) : shown.positions;
    const low = [0, 1, 2].map((k) => Math.min(...places.map((p) => p[k])));
    const high = [0, 1, 2].map((k) => Math.max(...places.map((p) => p[k])));
    const centre = along(low, high, 0.5);
    const kinds = shown.symbols.map((symbol) => data.elements[symbol]);
    scene = {
      shown, hasCell, kinds,
      atoms: shown.positions.map((p) => minus(p, centre)),
      corners: hasCell ? corners(shown.cell).map((p) => minus(p, centre)) : [],
      reach: Math.max(...places.map((p) => length(minus(p, centre)))) + 1,
    };
    const seen = places.map((p) => product(START, minus(p, centre)));
    scene.half = [0, 1].map((k) => Math.max(...seen.map((p) => Math.abs(p[k]))) + 1.2);
    scene.bonds = bonds(scene.atoms, kinds);
    turn = START.map((row) => row.slice());
    zoom = 1;
    fillScalars();
    fillFacts(shown);
    chooser.value = String(number);
  }

  function bonds(atoms, kinds) {
    const found = [];
    if (atoms.length > 800) return found;
    for (let i = 0; i < atoms.length; i++)
      for (let j = 0; j < i; j++)
        if (length(minus(atoms[i], atoms[j])) < BOND_REACH * (kinds[i].radius + kinds[j].radius)) found.push([i, j]);
    return found;
  }

  function fillScalars() {
    const names = Object.keys(scene.shown.scalars), before = scalarChooser.value;
    scalarChooser.replaceChildren(...names.concat("element").map((name) => new Option(name, name)));
    scalarChooser.value = before && [...scalarChooser.options].some((o) => o.value === before) ? before : scalarChooser.options[0].value;
    colourAtoms();
  }

  function colourAtoms() {
    const values = scene.shown.scalars[scalarChooser.value];
    const bar = byClass("bar");
    bar.hidden = !values;
    scene.values = values || null;
    if (!values) {
      scene.colours = scene.kinds.map((kind) => kind.colour);
      return later();
    }
    const top = Math.max(...values) || 1;
    scene.colours = values.map((x) => (x === null ? NO_VALUE : mapped(x / top)));
    bar.querySelector(".ramp").style.background = "linear-gradient(to right," + MAP.map(css).join(",") + ")";
    bar.querySelector(".top").textContent = Number(top.toPrecision(3)) + " eV/Å";
    bar.querySelector(".name").textContent = scalarChooser.value;
    later();
  }

  function fillFacts(shown) {
    const list = byClass("facts");
    list.replaceChildren();
    for (const [word, value] of Object.entries(shown.facts)) {
      const term = document.createElement("dt"), told = document.createElement("dd");
      term.textContent = word;
      told.textContent = value;
      list.append(term, told);
    }
  }

  // --- drawing: everything in pieces, the farthest first

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const look = getComputedStyle(canvas);
    const scale = zoom * Math.min(width / (2 * scene.half[0]), height / (2 * scene.half[1]));
    const view = {
      scale, ink: look.color, ground: look.backgroundColor.match(/\d+/g).slice(0, 3).map(Number),
      place: (p) => { const q = product(turn, p); return [width / 2 + scale * q[0], height / 2 - scale * q[1], q[2]]; },
      far: (z) => Math.min(1, Math.max(0, 0.5 - z / (2 * scene.reach))),
    };
    const places = scene.atoms.map(view.place), pieces = [];
    places.forEach((p, n) => pieces.push([p[2], () => sphere(view, p, n)]));
    if (showCell.checked && scene.hasCell) addEdges(view, pieces);
    if (showBonds.checked) addBonds(view, places, pieces);
    pieces.sort((a, b) => a[0] - b[0]);
    pieces.forEach((piece) => piece[1]());
    drawn = places.map((p, n) => ({ x: p[0], y: p[1], z: p[2], n, r: radius(view, n) })).sort((a, b) => b.z - a.z);
  }

  const radius = (view, n) => Math.max(1.5, view.scale * scene.kinds[n].radius * ATOM_SIZE * (showBonds.checked ? 0.7 : 1));

  function sphere(view, p, n) {
    const r = radius(view, n), base = mix(scene.colours[n], view.ground, 0.45 * view.far(p[2]));
    const shade = context.createRadialGradient(p[0] - 0.35 * r, p[1] - 0.4 * r, 0.05 * r, p[0], p[1], r);
    shade.addColorStop(0, css(mix(base, [255, 255, 255], 0.65)));
    shade.addColorStop(0.45, css(base));
    shade.addColorStop(1, css(mix(base, [0, 0, 0], 0.4)));
    context.beginPath();
    context.arc(p[0], p[1], r, 0, 2 * Math.PI);
    context.fillStyle = shade;
    context.fill();
    context.lineWidth = 0.7;
    context.strokeStyle = css(mix(base, [0, 0, 0], 0.6));
    context.stroke();
  }

  function line(a, b, width, style, alpha, cap) {
    context.globalAlpha = alpha;
    context.beginPath();
    context.moveTo(a[0], a[1]);
    context.lineTo(b[0], b[1]);
    context.lineWidth = width;
    context.lineCap = cap;
    context.strokeStyle = style;
    context.stroke();
    context.globalAlpha = 1;
  }

  function addEdges(view, pieces) {
    for (let n = 0; n < 8; n++)
      for (let j = 0; j < 3; j++) {
        if ((n >> j) & 1) continue;
        const from = scene.corners[n], to = scene.corners[n | (1 << j)];
        for (let k = 0; k < EDGE_PARTS; k++) {
          const a = view.place(along(from, to, k / EDGE_PARTS)), b = view.place(along(from, to, (k + 1) / EDGE_PARTS));
          pieces.push([(a[2] + b[2]) / 2, () => line(a, b, 1.2, view.ink, 0.9 - 0.5 * view.far(a[2]), "butt")]);
        }
      }
  }

  function addBonds(view, places, pieces) {
    for (const [i, j] of scene.bonds) {
      const half = along(places[i], places[j], 0.5);
      for (const n of [i, j]) {
        const tint = mix(mix(scene.colours[n], [90, 90, 90], 0.35), view.ground, 0.45 * view.far(half[2]));
        const p = places[n], width = Math.max(1, 0.16 * view.scale);
        pieces.push([(p[2] + 3 * half[2]) / 4, () => line(p, half, width, css(tint), 1, "round")]);
      }
    }
  }

  // --- turning, zooming, pointing

  function rotate(dx, dy) {
    const cx = Math.cos(dx), sx = Math.sin(dx), cy = Math.cos(dy), sy = Math.sin(dy);
    const about = (m, rows) => rows.map((row) => [0, 1, 2].map((k) => row[0] * m[0][k] + row[1] * m[1][k] + row[2] * m[2][k]));
    turn = about(turn, [[cx, 0, sx], [0, 1, 0], [-sx, 0, cx]]);
    turn = about(turn, [[1, 0, 0], [0, cy, -sy], [0, sy, cy]]);
    later();
  }

  function enlarge(factor) {
    zoom = Math.min(12, Math.max(0.3, zoom * factor));
    later();
  }

  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    tip.hidden = true;
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId), now = [event.clientX, event.clientY];
    if (!before) return point(event);
    const gap = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
    const apart = fingers.size > 1 ? gap() : 0;
    fingers.set(event.pointerId, now);
    if (fingers.size > 1) return enlarge(gap() / Math.max(1, apart));
    rotate((now[0] - before[0]) / 120, (now[1] - before[1]) / 120);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    enlarge(Math.exp(-0.0015 * Math.max(-200, Math.min(200, event.deltaY * (event.deltaMode ? 30 : 1)))));
  }, { passive: false });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("dblclick", () => choose(Number(chooser.value)));
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (turns) rotate(...turns);
    else if (event.key === "+" || event.key === "=") enlarge(1.15);
    else if (event.key === "-") enlarge(1 / 1.15);
    else return;
    event.preventDefault();
  });

  function point(event) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const hit = drawn.find((atom) => Math.hypot(atom.x - x, atom.y - y) < atom.r);
    tip.hidden = !hit;
    if (!hit) return;
    const told = Object.entries(scene.shown.scalars).map(([name, values]) => name + " " + (values[hit.n] === null ? "unknown" : values[hit.n] + " eV/Å"));
    tip.textContent = scene.shown.symbols[hit.n] + ", atom " + hit.n + (told.length ? ": " + told.join(", ") : "");
    tip.style.left = Math.min(x + 12, box.width - 150) + "px";
    tip.style.top = y + 14 + "px";
  }

  // --- beginning

  const groups = { worst: "Largest true error, held-out set", uncertain: "Least certain of those chosen, last exploration" };
  for (const [group, title] of Object.entries(groups)) {
    const part = document.createElement("optgroup");
    part.label = title;
    data.structures.forEach((shown, n) => { if (shown.group === group) part.append(new Option(shown.title, String(n))); });
    if (part.children.length) chooser.append(part);
  }
  const step = (by) => choose((Number(chooser.value) + by + data.structures.length) % data.structures.length);
  byClass("before").addEventListener("click", () => step(-1));
  byClass("after").addEventListener("click", () => step(1));
  chooser.addEventListener("change", () => choose(Number(chooser.value)));
  scalarChooser.addEventListener("change", colourAtoms);
  for (const box of [showBonds, showCell]) box.addEventListener("change", later);
  new ResizeObserver(later).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  holder.hidden = false;
  choose(0);
})();
