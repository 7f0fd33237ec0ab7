"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const store = "answers-" + data.sheet;
let answers = {};
try {
  answers = JSON.parse(localStorage.getItem(store)) || {};
} catch {
  answers = {}; // a page from disk may have no storage
}
let at = data.questions.findIndex((question) => !(question.id in answers));
if (at < 0) at = data.questions.length - 1;

function show() {
  const question = data.questions[at];
  const done = Object.keys(answers).length;
  $("progress").value = done / data.questions.length;
  $("place").textContent =
    `${at + 1} of ${data.questions.length}, ${done} answered`;
  $("prompt").textContent = question.prompt;
  $("left").src = "pictures/" + question.pictures[0];
  $("right").src = "pictures/" + question.pictures[1];
  for (const button of document.querySelectorAll("[data-choice]"))
    button.setAttribute("aria-pressed", answers[question.id] === button.dataset.choice);
  const content = JSON.stringify({ sheet: data.sheet, answers });
  $("export").href = "data:application/json," + encodeURIComponent(content);
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
});
$("back").addEventListener("click", back);
document.addEventListener("keydown", (event) => {
  const choice = { ArrowLeft: "left", ArrowRight: "right", " ": "same" }[event.key];
  if (choice) {
    event.preventDefault();
    answer(choice);
  }
  if (event.key === "Backspace") back();
});
show();
