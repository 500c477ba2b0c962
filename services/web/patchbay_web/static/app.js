// Comforts only: every page reads without them.
(function () {
  "use strict";
  var zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  // As the server writes it, in the viewer's zone: 2026-11-20 21:40
  function written(moment) {
    function two(count) { return String(count).padStart(2, "0"); }
    return moment.getFullYear() + "-" + two(moment.getMonth() + 1) + "-" + two(moment.getDate()) +
      " " + two(moment.getHours()) + ":" + two(moment.getMinutes());
  }

  function dress(part) {
    part.querySelectorAll("time[datetime]").forEach(function (each) {
      var moment = new Date(each.getAttribute("datetime"));
      each.title = zoned.format(moment);
      if (each.hasAttribute("data-instant")) each.textContent = written(moment);
    });
  }
  dress(document);
  document.body.addEventListener("htmx:afterSwap", function (event) { dress(event.detail.target); });
  document.body.addEventListener("htmx:beforeSwap", function (event) {
    // A session that has ended answers with the sign-in page: that belongs to the whole window.
    if (event.detail.xhr.responseURL.indexOf("/sign-in") >= 0) {
      event.detail.shouldSwap = false;
      window.location.reload();
    }
  });

  // On a phone the tab that is shown may be far to the right.
  document.querySelectorAll(".pb-tabs [aria-current]").forEach(function (each) {
    var tabs = each.closest(".pb-tabs");
    tabs.scrollLeft = each.offsetLeft - (tabs.clientWidth - each.offsetWidth) / 2;
  });

  document.querySelectorAll("[data-toggle-theme]").forEach(function (each) {
    each.addEventListener("click", window.patchbayToggleTheme);
  });
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button) return;
    var source = document.getElementById(button.getAttribute("data-copy"));
    copy(source).then(function () {
      button.classList.add("is-copied");
      button.querySelector("[data-label]").textContent = "Copied";
    });
  });

  // Browsers give the clipboard to https and localhost only; elsewhere what is selected can still be copied.
  function copy(source) {
    if (navigator.clipboard) return navigator.clipboard.writeText(source.textContent.trim());
    window.getSelection().selectAllChildren(source);
    return document.execCommand("copy") ? Promise.resolve() : Promise.reject(new Error("nothing was copied"));
  }

  // Asking first: the form says in data-confirm what will happen.
  function ask(form, submitter) {
    var dialog = document.createElement("dialog");
    dialog.className = "pb-dialog";
    var words = document.createElement("p");
    words.id = "dialog-words";
    words.textContent = form.getAttribute("data-confirm");
    dialog.setAttribute("aria-labelledby", words.id);
    var list = document.createElement("div");
    list.className = "btn-list";
    var no = document.createElement("button");
    no.className = "btn";
    no.textContent = "Cancel";
    no.addEventListener("click", function () { dialog.close(); });
    var yes = document.createElement("button");
    yes.className = "btn btn-danger";
    yes.textContent = (submitter && submitter.textContent.trim()) || "Do it";
    yes.addEventListener("click", function () {
      dialog.close();
      form.setAttribute("data-confirmed", "");
      form.requestSubmit(submitter || undefined);
    });
    list.append(no, yes);
    dialog.append(words, list);
    dialog.addEventListener("close", function () { dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
  }
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (!form.hasAttribute("data-confirm") || form.hasAttribute("data-confirmed")) return;
    event.preventDefault();
    ask(form, event.submitter);
  });

  // What the API refused is said at the field as well.
  function mark(content) {
    var alert = content.querySelector(".alert-danger[role=alert]");
    var form = Array.from(content.querySelectorAll("form[method=post]")).find(function (each) {
      // Not each.action: a control may be called so.
      return new URL(each.getAttribute("action") || "", window.location).pathname === window.location.pathname;
    });
    var field = form && form.querySelector("[name='" + content.getAttribute("data-failed-field") + "']:not([type=hidden])");
    if (!field || !alert) return;
    var words = document.createElement("div");
    words.className = "invalid-feedback d-block";
    words.id = "field-failure";
    words.textContent = alert.textContent.trim().replace(/^[^:]{1,40}: /, "");
    field.classList.add("is-invalid");
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", words.id);
    (field.closest(".input-group") || field).after(words);
    var menu = field.closest("details");
    if (menu) menu.open = true;
    field.focus();
  }
  document.querySelectorAll("[data-failed-field]").forEach(mark);

  // Keys
  var find = document.getElementById("find");
  var sections = { d: "/", h: "/hosts", c: "/cves", a: "/advisories", r: "/repositories" };
  var awaited = false;
  function results(input) {
    var holder = input === find ? "#suggestions" : input.getAttribute("data-moves");
    return holder ? Array.from(document.querySelectorAll(holder + " a")) : [];
  }
  function move(event, links, place) {
    if (!links.length) return;
    event.preventDefault();
    if (place >= 0) links[Math.min(place, links.length - 1)].focus();
  }
  document.addEventListener("keydown", function (event) {
    var here = document.activeElement;
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(here.tagName);
    if (find && (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      find.focus();
      find.select();
      return;
    }
    if (event.key === "Escape" && find) {
      document.getElementById("suggestions").replaceChildren();
      if (here === find) find.blur();
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      var step = event.key === "ArrowDown" ? 1 : -1;
      if (here.tagName === "INPUT") {
        if (step > 0) move(event, results(here), 0);
        return;
      }
      var holder = here.closest("#suggestions, #hits");
      if (!holder) return;
      var links = Array.from(holder.querySelectorAll("a"));
      var place = links.indexOf(here) + step;
      if (place < 0) {
        event.preventDefault();
        (holder.id === "hits" ? document.querySelector("[data-moves]") : find).focus();
      } else move(event, links, place);
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (awaited) {
      awaited = false;
      if (sections[event.key]) window.location.assign(sections[event.key]);
    } else if (event.key === "/") {
      var search = document.querySelector("[data-page-search]") || find;
      if (search) {
        event.preventDefault();
        search.focus();
      }
    } else if (event.key === "?") {
      window.location.assign("/help");
    } else if (event.key === "g") {
      awaited = true;
    }
  });
  document.addEventListener("click", function (event) {
    if (find && !event.target.closest(".pb-find")) document.getElementById("suggestions").replaceChildren();
  });
})();
