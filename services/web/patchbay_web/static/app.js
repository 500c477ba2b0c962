// Comforts only: every page reads without them.
(function () {
  "use strict";
  var zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  document.querySelectorAll("time[datetime]").forEach(function (each) {
    each.title = zoned.format(new Date(each.getAttribute("datetime")));
  });
  document.querySelectorAll("[data-toggle-theme]").forEach(function (each) {
    each.addEventListener("click", window.patchbayToggleTheme);
  });
  document.querySelectorAll("[data-copy]").forEach(function (button) {
    button.addEventListener("click", function () {
      var source = document.getElementById(button.getAttribute("data-copy"));
      navigator.clipboard.writeText(source.textContent.trim()).then(function () {
        button.classList.add("is-copied");
        button.querySelector("[data-label]").textContent = "Copied";
      });
    });
  });
  document.querySelectorAll("form[data-confirm]").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      if (!window.confirm(form.getAttribute("data-confirm"))) event.preventDefault();
    });
  });
  var progress = document.querySelector("[data-reload-seconds]");
  if (progress) {
    window.setTimeout(function () {
      if (!document.hidden) window.location.reload();
    }, 1000 * progress.getAttribute("data-reload-seconds"));
  }
  document.addEventListener("keydown", function (event) {
    var search = document.querySelector("input[type=search]");
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && search && !typing) {
      event.preventDefault();
      search.focus();
    }
  });
})();
