"use strict";
// Keeps the parts of a page up to date while it can be seen. Without this script, a reload does the same.

const LOST_MS = 3000;
const style = document.querySelector("link[rel=stylesheet]").getAttribute("href");
const root = style.slice(0, style.lastIndexOf("/portal/"));
let source = null;
let lost = null;

function replaced(part, html) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  if (focused && focused.matches("input, select, textarea")) return; // somebody is writing
  const at = focused ? [...part.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused) : -1;
  const open = [...part.querySelectorAll("details[open]")].map((each) => each.id || each.className);
  part.innerHTML = html;
  for (const each of part.querySelectorAll("details")) each.open ||= open.includes(each.id || each.className);
  if (at >= 0) part.querySelectorAll("a, button, summary, [tabindex]")[at]?.focus({ preventScroll: true });
  localised(part);
}

function localised(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

function told(alive) {
  document.getElementById("lost").hidden = alive;
  document.body.classList.toggle("old", !alive);
  document.getElementById("live").textContent = alive ? "live" : "not live";
}

function opened() {
  if (source) return;
  source = new EventSource(root + "/live" + location.pathname.slice(root.length) + location.search);
  source.addEventListener("open", () => {
    clearTimeout(lost);
    lost = null;
    told(true);
  });
  source.addEventListener("part", (event) => {
    const { name, html } = JSON.parse(event.data);
    const part = document.getElementById("part-" + name);
    if (part && part.dataset.html !== html) {
      part.dataset.html = html;
      replaced(part, html);
    }
  });
  source.addEventListener("error", () => {
    lost ??= setTimeout(() => told(false), LOST_MS);
    if (source.readyState === EventSource.CLOSED) {
      closed(); // what came is no stream: the service is another one, or somebody must sign in again
      setTimeout(() => document.hidden || again(), LOST_MS);
    }
  });
}

async function again() {
  const answer = await fetch(root + "/portal/entry").catch(() => null);
  if (answer && answer.status === 401) location.reload(); // to the sign-in
  else opened();
}

function closed() {
  source?.close();
  source = null;
}

if (document.body.hasAttribute("data-live")) {
  opened();
  document.addEventListener("visibilitychange", () => (document.hidden ? closed() : opened()));
  addEventListener("pagehide", closed);
  addEventListener("pageshow", opened);
}
localised(document);
for (const select of document.querySelectorAll("select[data-go]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
