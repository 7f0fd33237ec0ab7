"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const store = "answers-" + data.content;
let answers = {};
try {
  answers = JSON.parse(localStorage.getItem(store)) || {};
} catch {
  answers = {}; // a page from disk may have no storage
}
let at = data.questions.findIndex((question) => !(question.id in answers));
if (at < 0) at = data.questions.length - 1;

// Small pictures show their pixels, as in the report; large ones are smooth.
function put(image, name) {
  image.src = "pictures/" + name;
  image.classList.toggle("tiny", name.endsWith(".png"));
}

function show() {
  const question = data.questions[at];
  const count = data.questions.length;
  const done = Object.keys(answers).length;
  $("progress").value = done / count;
  $("place").textContent = `${at + 1} of ${count}, ${done} answered`;
  $("prompt").textContent = question.prompt;
  $("given").hidden = !question.given;
  if (question.given) put($("given").firstChild, question.given);
  const both = question.prompt ? "the text and the given picture" : "the given picture";
  $("ask").textContent = question.given
    ? `Which picture is the better answer to ${both}?`
    : "Which picture shows this better?";
  put($("left"), question.pictures[0]);
  put($("right"), question.pictures[1]);
  for (const button of document.querySelectorAll("[data-choice]"))
    button.setAttribute("aria-pressed", answers[question.id] === button.dataset.choice);
  const content = JSON.stringify({ sheet: data.sheet, answers });
  $("export").href = "data:application/json," + encodeURIComponent(content);
  $("done").hidden = done < count;
  $("export").classList.toggle("ready", done === count);
  $("back").disabled = at === 0;
}

function answer(choice) {
  answers[data.questions[at].id] = choice;
  try {
    localStorage.setItem(store, JSON.stringify(answers));
  } catch {
    // answers stay in the page until they are exported
  }
  if (at < data.questions.length - 1) at++;
  show();
}

function back() {
  if (at > 0) at--;
  show();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-choice]");
  if (button) answer(button.dataset.choice);
  // After a click of the mouse the keys answer; a button keeps the focus of the keyboard.
  if (event.detail > 0 && document.activeElement) document.activeElement.blur();
});
$("back").addEventListener("click", back);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const focused = event.target.closest("button, a");
  if (event.key === " " && focused) {
    if (focused.id !== "export") return; // a button does what it says
    event.preventDefault();
    focused.click();
    return;
  }
  const choice = { ArrowLeft: "left", ArrowRight: "right", " ": "same" }[event.key];
  if (choice) {
    event.preventDefault();
    answer(choice);
  }
  if (event.key === "Backspace") back();
});
show();
