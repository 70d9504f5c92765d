// Reads the page again while it shows work in progress, and replaces that part of it.
"use strict";
const INTERVAL_MS = 3000;
async function refresh() {
  const shown = document.querySelector("[data-live]");
  if (!shown) return;
  const answer = await fetch(location.href, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const current = page.getElementById(shown.id);
  if (!current) {
    location.reload(); // It has ended, so that other parts of the page have changed too.
    return;
  }
  shown.replaceWith(current);
}
function log(error) {
  console.warn(error); // The next time it may work again.
}
if (document.querySelector("[data-live]")) setInterval(() => refresh().catch(log), INTERVAL_MS);
