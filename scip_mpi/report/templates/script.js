"use strict";
// A table whose rows are those that hold all words that were typed.
for (const box of document.querySelectorAll("input[data-table]")) {
  const rows = [...document.getElementById(box.dataset.table).tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/);
    rows.forEach((row, k) => { row.hidden = !words.every((word) => texts[k].includes(word)); });
  });
}

const chosenOutline = document.getElementById("outline");
if (chosenOutline) {
  const apply = () => {
    document.getElementById("galleries").dataset.outline = chosenOutline.value;
  };
  chosenOutline.addEventListener("change", apply);
  apply();
}

function numbers(text, Type) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Type(bytes.buffer);
}

// Colours that differ without colour vision too, and a shape for each.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
  "#8a8f98", "#b8a200", "#5b4bb5", "#7a4a2b", "#1b7f8c", "#a02050"];
const SHAPES = 6;
const RAMP = [[0, 34, 78], [87, 93, 109], [165, 156, 116], [254, 232, 56]];

function ramp(share) {
  const at = Math.min(share, 0.9999) * (RAMP.length - 1);
  const k = Math.floor(at);
  const mix = (j) => Math.round(RAMP[k][j] + (at - k) * (RAMP[k + 1][j] - RAMP[k][j]));
  return `rgb(${mix(0)},${mix(1)},${mix(2)})`;
}

function mark(context, shape, x, y, r) {
  context.beginPath();
  if (shape === 0) context.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === 1) context.rect(x - r, y - r, 2 * r, 2 * r);
  else if (shape === 2) { context.moveTo(x, y - 1.3 * r); context.lineTo(x + 1.2 * r, y + r); context.lineTo(x - 1.2 * r, y + r); context.closePath(); }
  else if (shape === 3) { context.moveTo(x, y - 1.4 * r); context.lineTo(x + 1.4 * r, y); context.lineTo(x, y + 1.4 * r); context.lineTo(x - 1.4 * r, y); context.closePath(); }
  else if (shape === 4) { context.moveTo(x, y + 1.3 * r); context.lineTo(x + 1.2 * r, y - r); context.lineTo(x - 1.2 * r, y - r); context.closePath(); }
  else { context.rect(x - 1.3 * r, y - 0.5 * r, 2.6 * r, r); context.rect(x - 0.5 * r, y - 1.3 * r, r, 2.6 * r); }
  context.fill();
}

function showMap(data) {
  const canvas = document.getElementById("map-canvas");
  const plane = document.getElementById("plane");
  const colour = document.getElementById("colour");
  const legend = document.getElementById("legend");
  const tip = document.getElementById("tip");
  const planes = data.planes.map((p) => ({ name: p.name, axes: p.axes,
    x: numbers(p.places.x, Uint16Array), y: numbers(p.places.y, Uint16Array) }));
  const colours = data.colours.map((c) => ({ ...c, codes: numbers(c.codes || c.values, Uint8Array) }));
  const order = Array.from({ length: data.count }, (_, k) => (k * 7919) % data.count);
  const seen = new Set(order).size === data.count ? order : order.map((_, k) => k);
  let hidden = new Set();
  let places = [];

  function value(k) {
    const c = colours[colour.value];
    if (!c) return "";
    const code = c.codes[k];
    if (c.categories) return code < c.categories.length ? c.categories[code].replace(/ \([\d,]+\)$/, "") : "other or none";
    return code === 255 ? "none" : `${Math.round(100 * code / 254)} % between ${c.ends[0]} and ${c.ends[1]}`;
  }

  function draw() {
    const style = getComputedStyle(document.body);
    const text = style.color;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const p = planes[plane.value || 0], c = colours[colour.value];
    const pad = 24, r = data.count > 3000 ? 2 : data.count > 600 ? 2.6 : 3.6;
    places = new Array(data.count);
    for (const k of seen) {
      const x = pad + (width - 2 * pad) * p.x[k] / 65535;
      const y = height - pad - (height - 2 * pad) * p.y[k] / 65535;
      const code = c ? c.codes[k] : 0;
      if (hidden.has(code)) continue;
      places[k] = [x, y];
      let shape = 0;
      context.fillStyle = "#8a8f98";
      if (c && c.categories && code < c.categories.length) {
        context.fillStyle = COLOURS[code % COLOURS.length];
        shape = code % SHAPES;
      } else if (c && !c.categories && code < 255) context.fillStyle = ramp(code / 254);
      mark(context, shape, x, y, r);
    }
    context.fillStyle = text;
    context.font = "11px system-ui, sans-serif";
    context.fillText(p.axes[0], pad, height - 7);
    context.save();
    context.translate(12, height - pad);
    context.rotate(-Math.PI / 2);
    context.fillText(p.axes[1], 0, 0);
    context.restore();
    canvas.dataset.drawn = String(places.filter(Boolean).length);
  }

  function explain() {
    legend.replaceChildren();
    const c = colours[colour.value];
    if (!c) return;
    if (!c.categories) {
      const bar = document.createElement("div"), ends = document.createElement("div");
      bar.className = "ramp";
      ends.className = "ends";
      for (const end of c.ends) ends.append(Object.assign(document.createElement("span"), { textContent: end }));
      legend.append(c.name, bar, ends);
      return;
    }
    const rows = c.categories.map((name, k) => [k, name]);
    if (c.codes.includes(255)) rows.push([255, "other or none"]);
    for (const [k, name] of rows) {
      const row = document.createElement("label"), box = document.createElement("input");
      const key = document.createElement("canvas");
      row.style.display = "block";
      box.type = "checkbox";
      box.checked = !hidden.has(k);
      box.addEventListener("change", () => { box.checked ? hidden.delete(k) : hidden.add(k); draw(); });
      key.width = key.height = 16;
      const context = key.getContext("2d");
      context.fillStyle = k === 255 ? "#8a8f98" : COLOURS[k % COLOURS.length];
      mark(context, k === 255 ? 0 : k % SHAPES, 8, 8, 4.5);
      row.append(box, " ", key, " ", name);
      legend.append(row);
    }
  }

  function near(event) {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = 144;
    places.forEach((at, k) => {
      const d = at ? (at[0] - x) ** 2 + (at[1] - y) ** 2 : least;
      if (d < least) { least = d; best = k; }
    });
    tip.textContent = best < 0 ? "" : `${data.names[best]}, cell ${data.cells[best]}: ${value(best)}`;
  }

  plane.addEventListener("change", draw);
  colour.addEventListener("change", () => { hidden = new Set(); explain(); draw(); });
  canvas.addEventListener("pointermove", near);
  canvas.addEventListener("pointerdown", near);
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  explain();
  draw();
}

const mapData = document.getElementById("map-data");
if (mapData) showMap(JSON.parse(mapData.textContent));
