// What changes on a page by itself: the server sends its parts anew, this puts them there.
const stream = document.querySelector("[data-live]");
const shown = new Map();

// Whoever reads by keyboard keeps their place: what has the focus, what is open, how far it is scrolled.
const nameOf = (element) => element.getAttribute("href") ?? element.dataset.key ?? element.tagName;
const places = "a, [data-key], .wide";

const putThere = (part, html) => {
  const named = (name) => [...part.querySelectorAll(places)].find((each) => nameOf(each) === name);
  const holder = part.contains(document.activeElement) ? document.activeElement.closest(places) : null;
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

// The forms stay as they are, with what somebody types; only those that are lawful now are shown.
const offer = (fresh) => {
  if (fresh.dataset.may === undefined) return;
  const may = fresh.dataset.may.split(" ");
  for (const form of document.querySelectorAll("form[data-act]")) form.hidden = !may.includes(form.dataset.act);
  const approval = document.querySelector("form[data-act=approve]");
  if (!approval) return;
  approval.querySelector("[name=seq]").value = fresh.dataset.seq;
  approval.querySelector("button").textContent = fresh.dataset.approve;
};

const take = (html) => {
  const sent = new DOMParser().parseFromString(html, "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const fresh = sent.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!fresh) continue;
    offer(fresh);
    if (shown.get(part) !== fresh.innerHTML) putThere(part, fresh.innerHTML);
    shown.set(part, fresh.innerHTML);
  }
};

if (stream) {
  const source = new EventSource(stream.dataset.live);
  source.onmessage = (event) => {
    take(event.data);
    document.documentElement.classList.remove("stale");
  };
  // The browser connects again by itself; until then the page must not look as if it were true.
  source.onerror = () => document.documentElement.classList.add("stale");
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
