// What changes on a page by itself: the server sends the part of the page anew, this puts it there.
const part = document.querySelector("[data-live]");
if (part) {
  const source = new EventSource(part.dataset.live);
  source.onmessage = (event) => {
    part.innerHTML = event.data;
    document.documentElement.classList.remove("stale");
  };
  // The browser connects again by itself; until then the page must not look as if it were true.
  source.onerror = () => document.documentElement.classList.add("stale");
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
