// Shows times in the zone of the browser. Without this script they are in UTC, which the title of
// each has in any case.
"use strict";
for (const element of document.querySelectorAll("time[datetime]")) {
  const at = new Date(element.dateTime);
  if (at.getTimezoneOffset() !== 0) {
    const pad = (number) => String(number).padStart(2, "0");
    const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
    element.textContent = `${day} ${time}`;
  }
}
