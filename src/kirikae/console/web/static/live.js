// What changes on a page by itself: the server sends the part of the page anew, this puts it there.
const part = document.querySelector("[data-live]");

// Whoever reads it by keyboard keeps their place: what has the focus, what is open, how far it is scrolled.
const nameOf = (element) => element.getAttribute("href") ?? element.dataset.key ?? element.tagName;
const named = (name) => [...part.querySelectorAll("a, [data-key], .wide")].find((each) => nameOf(each) === name);

const putThere = (html) => {
  const holder = part.contains(document.activeElement) ? document.activeElement.closest("a, [data-key], .wide") : null;
  const focused = holder && nameOf(holder);
  const open = [...part.querySelectorAll("details[open]")].map(nameOf);
  const left = part.querySelector(".wide")?.scrollLeft ?? 0;
  part.innerHTML = html;
  for (const name of open) named(name)?.setAttribute("open", "");
  const wide = part.querySelector(".wide");
  if (wide) wide.scrollLeft = left;
  const again = focused && named(focused);
  if (again) (again.querySelector("summary") ?? again).focus({ preventScroll: true });
};

if (part) {
  const source = new EventSource(part.dataset.live);
  let shown = "";
  source.onmessage = (event) => {
    if (event.data !== shown) putThere(event.data);
    shown = event.data;
    document.documentElement.classList.remove("stale");
  };
  // The browser connects again by itself; until then the page must not look as if it were true.
  source.onerror = () => document.documentElement.classList.add("stale");
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
