const CHUNK = 60;
const grid = $("grid");
let shown = [];
let drawn = 0;
let current = -1;

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
    event.preventDefault(); // or the same key would press the view's first button
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
