// Puts a button beside each ID that copies the whole of it. Without this script a click on an ID
// selects the whole, and so does the button where the browser lets pages copy nothing: without
// HTTPS.
"use strict";
const SHOWN_MS = 2000;
const SQUARES = "M5 5V2h9v9h-3M2 5h9v9H2z";
const state = document.createElement("div");
state.setAttribute("role", "status");
state.className = "visually-hidden";
document.body.append(state);
function draw() {
  const image = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  image.setAttribute("viewBox", "0 0 16 16");
  image.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SQUARES);
  image.append(path);
  return image;
}
function report(button, text) {
  state.textContent = text;
  button.title = text;
  button.classList.add("done");
  setTimeout(() => {
    button.title = "Copy";
    button.classList.remove("done");
  }, SHOWN_MS);
}
async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    report(button, "Copied");
  } catch {
    getSelection().selectAllChildren(code);
    report(button, "Selected. Press Ctrl+C or ⌘C to copy it.");
  }
}
for (const code of document.querySelectorAll("code.id, code.whole-id")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.title = "Copy";
  button.setAttribute("aria-label", `Copy ${code.textContent}`);
  button.append(draw());
  button.addEventListener("click", () => copy(code, button));
  const frame = document.createElement("span");
  frame.className = "copyable";
  const shown = code.closest("a") ?? code; // No button may be inside a link.
  shown.replaceWith(frame);
  frame.append(shown, button);
}
