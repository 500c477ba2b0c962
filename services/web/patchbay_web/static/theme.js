// Runs before the page is drawn: the remembered theme, or the system's.
(function () {
  "use strict";
  var root = document.documentElement;
  var remembered = /(?:^|; )theme=(dark|light)/.exec(document.cookie);
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    root.setAttribute("data-bs-theme", remembered ? remembered[1] : system.matches ? "dark" : "light");
  }
  apply();
  system.addEventListener("change", apply);
  root.classList.add("has-js");
  window.patchbayToggleTheme = function () {
    var next = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    document.cookie = "theme=" + next + "; path=/; max-age=31536000; samesite=lax";
    remembered = [null, next];
    apply();
  };
})();
