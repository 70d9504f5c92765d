// Shows times in the zone of the browser. Without this script they are in UTC, which the title of
// each has in any case.
"use strict";
function formatLocal(text) {
  const at = new Date(text);
  const pad = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}
for (const element of document.querySelectorAll("time[datetime]")) {
  if (new Date(element.dateTime).getTimezoneOffset() !== 0) {
    const text = formatLocal(element.dateTime);
    element.textContent = element.closest(".axis") ? text.slice(0, 16) : text;
  }
}
