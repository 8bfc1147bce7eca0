// One or two keys for what is done often. Off by choice, kept in this browser.
"use strict";
(() => {
  const KEY = "rollcall-keys";
  const PLACES = { a: "/", f: "/devices", r: "/reachability", p: "/reports", s: "/administration" };
  const ITEMS = "main .alerts > li, main tbody tr:has(a[href])";
  const HELP = [
    ["j, k", "next and previous laptop, alert or row"],
    ["Enter", "open it"],
    ["a, s, n", "acknowledge, silence, note, where the laptop or alert has it"],
    ["t, u", "give to somebody, mark as not useful"],
    ["/", "search"],
    ["g then a, f, r, p, s", "go to Attention, Fleet, Reachability, Reports, Administration"],
    ["?", "this list"],
  ];
  let isGoing = false;

  function isOn() {
    try { return localStorage.getItem(KEY) !== "off"; } catch { return true; }
  }

  function isTyping(target) {
    return target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
  }

  function current() {
    return document.activeElement && document.activeElement.closest(ITEMS);
  }

  function move(step) {
    const items = [...document.querySelectorAll(ITEMS)].filter((item) => item.checkVisibility({ contentVisibilityAuto: true }));
    if (items.length === 0) return;
    const at = items.indexOf(current());
    const next = items[Math.min(items.length - 1, Math.max(0, at + step))];
    next.tabIndex = -1;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  function help() {
    let dialog = document.getElementById("keys");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "keys";
      dialog.setAttribute("aria-labelledby", "keys-title");
      const title = Object.assign(document.createElement("h2"), { id: "keys-title", textContent: "Keys" });
      const list = document.createElement("dl");
      for (const [keys, what] of HELP) {
        list.append(
          Object.assign(document.createElement("dt"), { textContent: keys }),
          Object.assign(document.createElement("dd"), { textContent: what }),
        );
      }
      const choice = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: isOn() });
      box.addEventListener("change", () => {
        try { localStorage.setItem(KEY, box.checked ? "on" : "off"); } catch { /* for this page only */ }
      });
      choice.append(box, " Use these keys in this browser");
      const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
      close.addEventListener("click", () => dialog.close());
      dialog.append(title, list, choice, close);
      document.body.append(dialog);
    }
    dialog.showModal();
  }

  // Opens the form of an act, or sends it where nothing is to be said.
  function act(key) {
    const item = current();
    const target = item && item.querySelector(`[data-key="${key}"]`);
    if (!target) return false;
    if (target.tagName === "DETAILS") {
      target.open = true;
      const field = target.querySelector("input:not([type=hidden]), select, textarea, button");
      if (field) field.focus();
    } else {
      target.click();
    }
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.target.closest("[data-own-keys], dialog")) return;
    if (event.key === "?") { event.preventDefault(); help(); return; }
    if (!isOn()) return;
    if (isGoing) {
      isGoing = false;
      const place = PLACES[event.key];
      if (place) { event.preventDefault(); location.assign(place); }
      return;
    }
    if (event.key === "g") { isGoing = true; setTimeout(() => { isGoing = false; }, 1500); return; }
    const step = { j: 1, k: -1 }[event.key];
    if (step) { event.preventDefault(); move(step); return; }
    if (event.key === "/") {
      const search = document.querySelector("main input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
      return;
    }
    if (event.key === "Enter" && event.target.matches(ITEMS)) {
      const link = event.target.querySelector("a[href]");
      if (link) link.click();
      return;
    }
    if (/^[asntu]$/.test(event.key) && act(event.key)) event.preventDefault();
  });
})();
