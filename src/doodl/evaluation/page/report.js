const CHUNK = 60;
const MOST_IN_ROW = 12; // seeds of a prompt; more of them stand in several lines
const grid = $("grid");
let shown = [];
let drawn = 0;
let current = -1;
let row = null;
let counts = new Map();
const watch = new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting) && drawn < shown.length) draw();
}, { rootMargin: "900px" });

// Sorted by prompt, the cards of a prompt stand in a row of their own below its text.
function group(prompt) {
  const box = make("section", "group");
  row = make("div", counts.get(prompt) > MOST_IN_ROW ? "row many" : "row");
  box.append(make("h3", "", prompt), row);
  return box;
}

function draw() {
  const part = document.createDocumentFragment();
  const grouped = grid.classList.contains("grouped");
  const end = Math.min(drawn + CHUNK, shown.length);
  for (; drawn < end; drawn++) {
    const entry = shown[drawn];
    const first = !drawn || shown[drawn - 1].prompt !== entry.prompt;
    if (grouped && first) part.append(group(entry.prompt));
    (grouped ? row : part).append(card(entry, drawn, grouped));
  }
  grid.append(part);
  $("more").textContent = shown.length
    ? drawn < shown.length ? `${shown.length - drawn} more below` : ""
    : "No picture fits.";
  // Observed anew, the end is reported again if it is still in view.
  watch.unobserve($("more"));
  watch.observe($("more"));
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
  grid.classList.toggle("grouped", sort === "prompt");
  counts = new Map();
  for (const { prompt } of shown) counts.set(prompt, (counts.get(prompt) || 0) + 1);
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
  const given = $("view-given");
  given.hidden = !entry.given;
  if (entry.given) {
    given.firstChild.src = "pictures/" + entry.given;
    given.firstChild.classList.toggle("tiny", entry.given.endsWith(".png"));
  }
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
  const cards = [...grid.querySelectorAll(".card")];
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
    event.preventDefault(); // or the same key would press the view's first button
    look(Number(inside.dataset.index));
  }
});
$("previous").addEventListener("click", () => look(current - 1));
$("next").addEventListener("click", () => look(current + 1));
$("close").addEventListener("click", () => $("view").close());

data.methods.forEach((name, i) => {
  const option = make("option", "", name);
  option.value = i;
  $("method").append(option);
});
const columns = Math.min(3, data.methods.length);
grid.style.setProperty("--wide", columns * 200 + 30 + "px");
grid.style.setProperty("--seed", columns * 132 + 46 + "px");
grid.style.setProperty("--count", columns);
choose();
performance.mark("ready");
