// A film is one sheet with the pictures of all updates; the cell shows one of them. It
// begins at the chosen update, whose picture is the result.
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
  const begin = film.chosen ?? count - 1;
  Object.assign(range, { type: "range", min: 0, max: count - 1, value: begin });
  range.setAttribute("aria-label", "update");
  const track = make("div", "track");
  track.append(range);
  if (film.chosen !== null) {
    const mark = make("span", "mark", "▲");
    mark.title = "the chosen update";
    mark.style.setProperty("--at", begin / (count - 1));
    track.append(mark);
  }
  const words = make("output", "numbers");
  const say = (at) => {
    const known = ["guide", "judge"].filter((name) => film[name][at] !== null);
    const scores = known.map((name) => ` · ${name} ${format(film[name][at])}`);
    words.textContent = `update ${film.updates[at]} of ${film.updates[count - 1]}` +
      (at === film.chosen ? ", the chosen one" : "") + scores.join("");
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
    // From the first update, or on from where a hand has stopped.
    let at = frame.hidden || Number(range.value) === count - 1 ? 0 : Number(range.value);
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
  pair.addEventListener("input", () => {
    stop();
    frame.hidden = true;
    range.value = begin;
    say(begin);
  });
  say(begin);
  box.append(play, track, words);
  return box;
}

