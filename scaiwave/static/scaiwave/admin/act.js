// Keeps Back and Reload from sending a form a second time: they ask for the empty form instead.
// Shows how much of a file has been sent. Afterwards the page keeps the file, so that an import
// follows its dry run without choosing it again.
"use strict";
history.replaceState(null, "", location.href);

function showAnswer(request, form) {
  if (request.getResponseHeader("Content-Type") === "application/json") {
    return location.assign(JSON.parse(request.responseText).url);
  }
  if (request.responseURL !== location.href) return location.assign(request.responseURL); // to sign in
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const content = page.getElementById("content-main");
  if (!content) return location.reload();
  const file = content.querySelector("input[type=file]");
  if (file) file.files = form.querySelector("input[type=file]").files;
  document.getElementById("content-main").replaceWith(content);
  content.querySelector("[role=alert], [role=status]:not([hidden])")?.scrollIntoView({ block: "center" });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const status = form.querySelector(".upload");
  if (!status) return;
  event.preventDefault();
  const [bar, text] = status.children;
  const request = new XMLHttpRequest();
  status.hidden = false;
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = loaded / total;
    text.textContent = `${Math.floor((100 * loaded) / total)}% sent`;
  };
  request.upload.onload = () => {
    bar.removeAttribute("value");
    text.textContent = "The server is checking the bundle …";
  };
  request.onload = () => showAnswer(request, form);
  request.onerror = () => {
    bar.hidden = true;
    text.textContent = "The upload was interrupted. Try again.";
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  };
  request.open("POST", form.action);
  request.setRequestHeader("X-Upload", "1");
  request.send(new FormData(form));
});
