// What every page has: copying, the theme, and printing in light.

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.dataset.copy;
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      // A page opened from a file may have no clipboard: fall back to selecting a field.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      copied = document.execCommand("copy");
      field.remove();
    }
    button.textContent = copied ? "Copied" : "Select and copy";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

const theme = (() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const changed = [];
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const tell = () => {
    if (button) button.textContent = isDark() ? "Light" : "Dark";
    for (const listener of changed) listener();
  };
  const set = (name) => {
    root.dataset.theme = name;
    // Some browsers have no storage for files: then the choice lasts as long as the page.
    try { localStorage.setItem("ferret-theme", name); } catch {}
    tell();
  };
  try {
    const kept = localStorage.getItem("ferret-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch {}
  button?.addEventListener("click", () => set(isDark() ? "light" : "dark"));
  system.addEventListener("change", tell);
  // Paper is white. Canvases have to be drawn again for it, before the style of paper applies; the rest follows from it.
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    root.dataset.print = "";
    tell();
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before; else delete root.dataset.theme;
    delete root.dataset.print;
    tell();
  });
  tell();
  return { toggle: () => set(isDark() ? "light" : "dark"), onChange: (listener) => changed.push(listener) };
})();

/** Opens what a link leads into. */
function reveal() {
  const target = /^#[\w-]+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  const closed = target && target.closest("details:not([open])");
  if (!closed) return;
  closed.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();

let closedBeforePrint = [];
addEventListener("beforeprint", () => {
  closedBeforePrint = [...document.querySelectorAll("details:not([open])")];
  for (const details of closedBeforePrint) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closedBeforePrint) details.open = false; });
