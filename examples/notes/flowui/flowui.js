// Only for methods that need Ory's own script (passkeys, security keys). Pages work
// without this script. It never runs code from a page: a button can only name one of the
// functions below.
"use strict";
addEventListener("load", () => {
  const known = ["oryWebAuthnRegistration", "oryWebAuthnLogin", "oryPasskeyLogin", "oryPasskeyLoginAutocompleteInit",
    "oryPasskeyRegistration", "oryPasskeySettingsRegistration"];
  const ory = (name) => known.includes(name) && typeof window[name] === "function" ? window[name] : null;
  for (const button of document.querySelectorAll("[data-ory-click]")) {
    const run = ory(button.dataset.oryClick);
    if (run) {
      button.hidden = button.form.hidden = false;
      const divider = button.form.previousElementSibling;
      if (divider?.matches(".flow-divider")) divider.hidden = false;
      button.addEventListener("click", () => run());
    }
  }
  const starts = new Set([...document.querySelectorAll("[data-ory-load]")].map((e) => e.dataset.oryLoad));
  for (const name of starts) ory(name)?.();
});
