// Keeps an open page as new as the collector: hears that something changed, asks for the page again,
// and puts what differs in place, so that focus, what is open and what is being typed stay as they are.
"use strict";
(() => {
  const main = document.getElementById("main");
  const state = document.getElementById("state");
  if (!main || !state || !window.EventSource) return;

  // A page asks at most this often, and without a change once in a while, for readings and ages.
  const REST_MS = 1500;
  const STALE_MS = 60000;
  // When a collector that was lost is looked for again.
  const AGAIN_MS = 5000;
  let source = null;
  let asked = performance.now();
  let waiting = null;
  let isOver = false;

  function say(text) {
    if (state.textContent === text) return;
    state.textContent = text;
    state.hidden = text === "";
  }

  function clock() {
    return new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }

  // Two nodes that may become one another: the same element, and the same thing where it has an id.
  function alike(a, b) {
    if (a.nodeType !== b.nodeType) return false;
    return a.nodeType !== Node.ELEMENT_NODE || (a.tagName === b.tagName && a.id === b.id);
  }

  function morphAttributes(to, from) {
    for (const { name } of [...to.attributes]) {
      // Whether something is open is the reader's own choice.
      if (!from.hasAttribute(name) && name !== "open" && name !== "tabindex") to.removeAttribute(name);
    }
    for (const { name, value } of from.attributes) {
      if (to.getAttribute(name) !== value && name !== "open") to.setAttribute(name, value);
    }
  }

  function morph(to, from) {
    if (to.nodeType !== Node.ELEMENT_NODE) {
      if (to.nodeValue !== from.nodeValue) to.nodeValue = from.nodeValue;
      return;
    }
    // Charts renew themselves, and a form in use belongs to who uses it.
    if (to.hasAttribute("data-keep")) return;
    if (to.tagName === "FORM" && (to.contains(document.activeElement) || to.hasAttribute("data-dirty"))) return;
    morphAttributes(to, from);
    morphChildren(to, from);
  }

  function morphChildren(to, from) {
    const wanted = [...from.childNodes];
    let at = to.firstChild;
    for (const next of wanted) {
      if (at && !alike(at, next)) {
        // What has an id may only have moved down.
        let later = at;
        while (later && !(next.id && alike(later, next))) later = later.nextSibling;
        if (later) {
          while (at !== later) { const gone = at; at = at.nextSibling; gone.remove(); }
        } else {
          to.insertBefore(document.importNode(next, true), at);
          continue;
        }
      }
      if (!at) { to.append(document.importNode(next, true)); continue; }
      morph(at, next);
      at = at.nextSibling;
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  async function renew() {
    waiting = null;
    asked = performance.now();
    let answer;
    try {
      answer = await fetch(location.href, { credentials: "same-origin" });
    } catch {
      say(`Offline. This is how it was at ${main.dataset.at || clock()}.`);
      return;
    }
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
      say("Signed out. Load the page again to sign in.");
      isOver = true;
      if (source) source.close();
      return;
    }
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const renewed = page.getElementById("main");
    if (!renewed) return;
    morphChildren(main, renewed);
    main.dataset.at = clock();
    say("");
    document.dispatchEvent(new Event("rollcall:renewed"));
  }

  function soon() {
    if (waiting !== null) return;
    const rest = Math.max(0, REST_MS - (performance.now() - asked));
    waiting = setTimeout(renew, rest);
  }

  function open() {
    if (source) source.close();
    source = new EventSource("/events");
    source.addEventListener("open", () => { if (!state.hidden) soon(); });
    source.addEventListener("changed", soon);
    source.addEventListener("pulse", () => {
      const isStale = performance.now() - asked > STALE_MS;
      if (isStale || !state.hidden) soon();
    });
    source.addEventListener("error", () => {
      if (isOver) return;
      const isClosed = source.readyState === EventSource.CLOSED;
      say(`${isClosed ? "No longer in touch with" : "Trying to reach"} the collector. This is how it was at ${main.dataset.at}.`);
      // A page tells whether it is the collector that is gone, or who was signed in.
      if (isClosed) setTimeout(again, AGAIN_MS);
    });
  }

  function again() {
    if (document.hidden || isOver) return;
    open();
    soon();
  }

  // A page that nobody looks at takes no connection.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else {
      again();
    }
  });
  main.addEventListener("input", (event) => {
    const form = event.target.closest("form");
    if (form) form.setAttribute("data-dirty", "");
  });
  // What is not chosen has no place in an address that people keep.
  main.addEventListener("formdata", (event) => {
    if (!event.target.matches("form.filter[method=get]")) return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });
  // A choice from a list needs no button.
  main.addEventListener("change", (event) => {
    const form = event.target.closest("form.filter");
    if (form && event.target.tagName === "SELECT") form.requestSubmit();
  });

  main.dataset.at = clock();
  if (!document.hidden) open();
})();
