// What a page cannot do without script and does better with it; everything works without this file.
"use strict";

// A live part that did not change is left alone, so that what is selected, focused or unfolded stays as it is.
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (!part.classList.contains("live")) return;
  const page = new DOMParser().parseFromString(event.detail.serverResponse, "text/html");
  const fresh = page.getElementById(part.id);
  if (!fresh || fresh.innerHTML === part.innerHTML || part.querySelector("details[open]") || part.contains(document.activeElement)) {
    event.detail.shouldSwap = false;
  }
});

// Nobody looks at a hidden page: it is not read again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.classList.contains("live")) event.preventDefault();
});

// The slider says the time that it stands on, and goes there when it is let go.
for (const form of document.querySelectorAll("form[data-clock]")) {
  const slide = form.elements.at, text = form.elements.as_of;
  slide.addEventListener("input", () => {
    const end = slide.value === slide.max || Number(slide.value) + Number(slide.step) > Number(slide.max);
    text.value = end ? "" : new Date(Number(slide.value)).toISOString().slice(0, 19) + "Z";
    slide.setAttribute("aria-valuetext", text.value || "now");
  });
  slide.addEventListener("change", () => form.requestSubmit());
}
