"use strict";
// Prompts and names are inserted as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const NAMES = { clip: "CLIP score", psnr: "PSNR, dB", equivalents: "calls" };

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// Zero after rounding has no sign.
function format(value, signed = false) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 1000 ? 0 : size >= 10 ? 1 : 3;
  const text = value.toFixed(digits).replace(/^-(?=[0.]*$)/, "");
  return (signed && Number(text) > 0 ? "+" : "") + text.replace("-", "−");
}

function scoreOf(shot) {
  const [before, after] = (shot && shot.scores[data.headline]) || [null, null];
  const known = before !== null && after !== null;
  return { before, after, gain: known ? after - before : after };
}

function verdictOf(shot) {
  const [before, after] = shot.scores.right || [null, null];
  const found = new Set();
  if (shot.failed) found.add("failed");
  if (after === null) return found;
  found.add(after ? "right" : "wrong");
  if (before !== null && before !== after) found.add(after ? "fixed" : "broken");
  return found;
}

function image(names, large, className, label) {
  const node = new Image();
  node.loading = "lazy";
  node.decoding = "async";
  node.className = className + (names[0] === names[1] ? " tiny" : "");
  node.alt = label;
  node.src = "pictures/" + names[large ? 1 : 0];
  return node;
}

function pair(shot, prompt, large) {
  const box = make("div", "pair");
  if (!shot || !(shot.after || shot.before)) {
    box.classList.add("none");
    box.textContent = shot ? shot.reason || "no picture" : "not made";
    return box;
  }
  if (shot.before && shot.after) {
    box.append(image(shot.before, large, "before", "before: " + prompt));
    box.append(image(shot.after, large, "after", "after: " + prompt));
    box.append(make("span", "tag l", "before"), make("span", "tag r", "after"));
    const slider = make("input");
    slider.type = "range";
    slider.value = $("all").value;
    slider.setAttribute("aria-label", "before and after");
    box.style.setProperty("--cut", slider.value + "%");
    box.append(slider);
  } else {
    box.classList.add("single");
    box.append(image(shot.after || shot.before, large, "after", prompt));
  }
  return box;
}

// A line breaks between the parts, never within one.
function change(name, values) {
  const line = make("span", "numbers");
  const [before, after] = values;
  const from = before === null ? "" : format(before) + " → ";
  if (name) line.append(make("span", "", name), " ");
  line.append(make("span", "", from + format(after)));
  if (before !== null && after !== null) {
    const gain = format(after - before, true);
    const sort = gain.startsWith("+") ? "up" : gain.startsWith("−") ? "down" : "";
    line.append(" ", make("span", sort, gain));
  }
  return line;
}

function figure(shot, index, prompt, large) {
  const box = make("figure", `shot m${index % 6}`);
  box.append(pair(shot, prompt, large));
  const caption = make("figcaption");
  if (data.methods.length > 1 || large)
    caption.append(make("span", index > 5 ? "name dashed" : "name", data.methods[index]));
  if (shot) {
    if (!large && shot.scores[data.headline])
      caption.append(change(data.headline, shot.scores[data.headline]));
    const verdict = verdictOf(shot);
    if (verdict.has("right")) caption.append(make("span", "badge right", "✓ right"));
    else if (shot.reason || verdict.has("wrong"))
      caption.append(make("span", "badge wrong", "✗ " + (shot.reason || "wrong")));
  }
  box.append(caption);
  if (large && shot && shot.film) box.append(scrubber(shot.film, box.firstChild));
  if (large && shot) box.append(...closer(shot, index));
  return box;
}

// The command names the configuration from the page's folder. In full, its path is right
// in every folder, and wherever the page was moved to together with the results.
function commandOf(shot, index) {
  const config = data.configs[index];
  if (!config || location.protocol !== "file:") return shot.command;
  const parts = config.split("/").map(encodeURIComponent);
  const path = decodeURIComponent(new URL(parts.join("/"), location.href).pathname);
  return shot.command.replace(quote(config), () => quote(path));
}

function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

function closer(shot, index) {
  const table = make("table");
  for (const [name, values] of Object.entries(shot.scores)) {
    if (name === "right") continue;
    const row = table.insertRow();
    row.insertCell().textContent = NAMES[name] || name;
    row.insertCell().append(change("", values));
  }
  for (const [name, value] of Object.entries(shot.details)) {
    const row = table.insertRow();
    row.insertCell().textContent = NAMES[name] || name;
    row.insertCell().textContent = format(Number(value));
  }
  if (!shot.command) return [table];
  const line = make("div", "command");
  const copy = make("button", "copy", "copy");
  copy.setAttribute("aria-label", "copy the command");
  line.append(make("code", "", commandOf(shot, index)), copy);
  return [table, line];
}

function card(entry, index, grouped) {
  const node = make("article", "card");
  node.tabIndex = 0;
  node.dataset.index = index;
  const header = make("header");
  if (!grouped) header.append(make("h3", "", entry.prompt));
  header.append(make("span", "", "seed " + entry.seed));
  const shots = make("div", "shots");
  entry.shots.forEach((shot, i) => shots.append(figure(shot, i, entry.prompt, false)));
  node.append(header, shots, make("button", "open", "closer look"));
  return node;
}
