"use strict";
// Prompts and names are inserted as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const CHUNK = 60;
const $ = (id) => document.getElementById(id);
const grid = $("grid");
const NAMES = { clip: "CLIP score", psnr: "PSNR, dB", equivalents: "calls" };
let shown = [];
let drawn = 0;
let current = -1;

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function format(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 1000 ? 0 : size >= 10 ? 1 : 3;
  return value.toFixed(digits).replace("-", "−");
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

function change(name, values) {
  const line = make("span", "numbers");
  const [before, after] = values;
  line.append(`${name} ${before === null ? "" : format(before) + " → "}${format(after)} `);
  if (before !== null && after !== null) {
    const gain = after - before;
    line.append(make("span", gain > 0 ? "up" : gain < 0 ? "down" : "",
      (gain > 0 ? "+" : "") + format(gain)));
  }
  return line;
}

function figure(shot, index, prompt, large) {
  const box = make("figure", `shot m${index % 6}`);
  box.append(pair(shot, prompt, large));
  const caption = make("figcaption");
  if (data.methods.length > 1 || large)
    caption.append(make("span", "name", data.methods[index]));
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
  if (large && shot) box.append(...closer(shot));
  return box;
}

// A film is one sheet with the pictures of all updates; the cell shows one of them.
function scrubber(film, pair) {
  const count = film.updates.length;
  const frame = make("div", "frame");
  const cell = make("div", "cell");
  cell.style.backgroundImage = `url("pictures/${film.sheet}")`;
  cell.style.backgroundSize = `${film.columns * 100}% ${film.rows * 100}%`;
  cell.style.width = Math.min(1, film.aspect) * 100 + "%";
  cell.style.height = Math.min(1, 1 / film.aspect) * 100 + "%";
  frame.append(cell);
  frame.hidden = true;
  pair.append(frame);
  const box = make("div", "scrub");
  const play = make("button", "play", "▶");
  play.setAttribute("aria-label", "play the updates");
  const range = make("input");
  Object.assign(range, { type: "range", min: 0, max: count - 1, value: count - 1 });
  range.setAttribute("aria-label", "update");
  const words = make("output", "numbers");
  const say = (at) => {
    const known = ["guide", "judge"].filter((name) => film[name][at] !== null);
    const scores = known.map((name) => ` · ${name} ${format(film[name][at])}`);
    words.textContent = `update ${film.updates[at]} of ${film.updates[count - 1]}` +
      scores.join("");
  };
  const show = (at) => {
    const place = (index, cells) => cells > 1 ? (index / (cells - 1)) * 100 : 0;
    const x = place(at % film.columns, film.columns);
    const y = place(Math.floor(at / film.columns), film.rows);
    cell.style.backgroundPosition = `${x}% ${y}%`;
    frame.hidden = false;
    range.value = at;
    say(at);
  };
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    let at = Number(range.value) === count - 1 ? 0 : Number(range.value);
    show(at);
    play.textContent = "❚❚";
    timer = setInterval(() => {
      if (!box.isConnected || at >= count - 1) stop();
      else show(++at);
    }, Math.max(60, Math.min(300, 4000 / count)));
  });
  range.addEventListener("input", () => {
    stop();
    show(Number(range.value));
  });
  // The slider between before and after shows the result again.
  pair.addEventListener("input", () => { stop(); frame.hidden = true; });
  say(count - 1);
  box.append(play, range, words);
  return box;
}

function closer(shot) {
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
  line.append(make("code", "", shot.command), copy);
  return [table, line];
}

function card(entry, index) {
  const node = make("article", "card");
  node.tabIndex = 0;
  node.dataset.index = index;
  const header = make("header");
  header.append(make("h3", "", entry.prompt), make("span", "", "seed " + entry.seed));
  const shots = make("div", "shots");
  entry.shots.forEach((shot, i) => shots.append(figure(shot, i, entry.prompt, false)));
  node.append(header, shots, make("button", "open", "closer look"));
  return node;
}

function draw() {
  const part = document.createDocumentFragment();
  const end = Math.min(drawn + CHUNK, shown.length);
  for (; drawn < end; drawn++) part.append(card(shown[drawn], drawn));
  grid.append(part);
  $("more").textContent = shown.length
    ? drawn < shown.length ? `${shown.length - drawn} more below` : ""
    : "No picture fits.";
}

function choose() {
  const value = (id) => ($(id) ? $(id).value : "");
  const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
  const method = Number(value("method"));
  const [verdict, reason, category] = ["verdict", "reason", "category"].map(value);
  shown = data.entries.filter((entry) => {
    const shot = entry.shots[method];
    const prompt = entry.prompt.toLowerCase();
    if (!words.every((word) => prompt.includes(word))) return false;
    if (category && entry.category !== category) return false;
    if (verdict && !(shot && verdictOf(shot).has(verdict))) return false;
    return !reason || (shot && shot.wrong.split(" ").includes(reason));
  });
  const sort = value("sort");
  if (sort !== "prompt") {
    const sign = sort === "best" ? -1 : 1;
    const key = sort === "after" ? "after" : "gain";
    const keyed = shown.map((entry) => [scoreOf(entry.shots[method])[key], entry]);
    // Generations without a score stand last in either direction.
    keyed.sort(([a], [b]) => (a === null) - (b === null) || sign * (a - b));
    shown = keyed.map(([, entry]) => entry);
  }
  $("count").textContent = `${shown.length} of ${data.entries.length}`;
  grid.replaceChildren();
  drawn = 0;
  draw();
}

function look(index) {
  if (index < 0 || index >= shown.length) return;
  current = index;
  while (drawn <= index) draw();
  const entry = shown[index];
  $("view-title").textContent = entry.prompt;
  $("view-seed").textContent = "seed " + entry.seed +
    (entry.category ? " · " + entry.category : "");
  const shots = make("div", "shots");
  entry.shots.forEach((shot, i) => shots.append(figure(shot, i, entry.prompt, true)));
  $("view-body").replaceChildren(shots);
  $("previous").disabled = index === 0;
  $("next").disabled = index === shown.length - 1;
  if (!$("view").open) $("view").showModal();
}

function copy(button) {
  const text = button.previousSibling.textContent;
  const done = () => { button.textContent = "copied"; };
  const select = () => {
    getSelection().selectAllChildren(button.previousSibling);
    if (document.execCommand("copy")) done();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
  else select();
}

function step(from, by) {
  const cards = [...grid.children];
  const at = cards.indexOf(from);
  const target = cards[Math.max(0, Math.min(cards.length - 1, at + by))];
  if (target) target.focus();
}

document.addEventListener("input", (event) => {
  if (event.target.id === "all") {
    for (const slider of grid.querySelectorAll(".pair input")) {
      slider.value = event.target.value;
      slider.parentNode.style.setProperty("--cut", event.target.value + "%");
    }
  } else if (event.target.matches(".pair input")) {
    event.target.parentNode.style.setProperty("--cut", event.target.value + "%");
  } else if (event.target.closest(".bar")) choose();
});
document.addEventListener("click", (event) => {
  if (event.target.matches(".open"))
    look(Number(event.target.closest(".card").dataset.index));
  if (event.target.matches(".copy")) copy(event.target);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inside = document.activeElement;
  const typing = inside.matches("input, select, textarea");
  if ($("view").open) {
    if (typing) return;
    if (event.key === "ArrowRight") look(current + 1);
    if (event.key === "ArrowLeft") look(current - 1);
  } else if (event.key === "/" && !typing) {
    event.preventDefault();
    $("text").focus();
  } else if (!typing && (event.key === "j" || event.key === "k")) {
    step(inside.closest(".card"), event.key === "j" ? 1 : -1);
  } else if (event.key === "Enter" && inside.matches(".card")) {
    look(Number(inside.dataset.index));
  }
});
$("previous").addEventListener("click", () => look(current - 1));
$("next").addEventListener("click", () => look(current + 1));
$("close").addEventListener("click", () => $("view").close());
new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting) && drawn < shown.length) draw();
}, { rootMargin: "900px" }).observe($("more"));

data.methods.forEach((name, i) => {
  const option = make("option", "", name);
  option.value = i;
  $("method").append(option);
});
grid.style.setProperty("--wide", Math.min(3, data.methods.length) * 200 + 30 + "px");
grid.style.setProperty("--count", Math.min(3, data.methods.length));
choose();
performance.mark("ready");
