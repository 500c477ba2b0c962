// Completion of the query language: suggestions below a field with data-complete, from the address it names.
(function () {
  "use strict";
  document.querySelectorAll("input[data-complete]").forEach(function (input) {
    var list = document.createElement("ul");
    list.className = "pb-completion card";
    list.id = input.id + "-completion";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Suggestions");
    list.hidden = true;
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", list.id);
    input.setAttribute("aria-expanded", "false");
    input.after(list);
    var answer = null;
    var chosen = -1;
    var asked = 0;
    var timer = 0;

    function close() {
      list.hidden = true;
      chosen = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    }
    function choose(place) {
      chosen = place;
      Array.from(list.children).forEach(function (each, number) {
        each.setAttribute("aria-selected", number === place ? "true" : "false");
        if (number === place) each.scrollIntoView({ block: "nearest" });
      });
      if (place >= 0) input.setAttribute("aria-activedescendant", list.children[place].id);
      else input.removeAttribute("aria-activedescendant");
    }
    function take(place) {
      var text = answer.items[place].text;
      var before = input.value.slice(0, answer.position);
      var after = input.value.slice(answer.position + answer.length);
      input.value = before + text + after;
      var end = (before + text).length;
      input.setSelectionRange(end, end);
      input.focus();
      close();
      if (/[:=<>]$/.test(text)) ask();
    }
    function show(found) {
      answer = found;
      list.replaceChildren();
      found.items.slice(0, 12).forEach(function (item, number) {
        var row = document.createElement("li");
        row.id = list.id + "-" + number;
        row.setAttribute("role", "option");
        row.setAttribute("aria-selected", "false");
        var words = document.createElement("span");
        words.className = "pb-mono";
        words.textContent = item.text;
        var about = document.createElement("span");
        about.className = "pb-sub";
        about.textContent = item.description;
        row.append(words, about);
        row.addEventListener("mousedown", function (event) {
          event.preventDefault();
          take(number);
        });
        list.append(row);
      });
      list.hidden = !list.children.length;
      input.setAttribute("aria-expanded", list.hidden ? "false" : "true");
      chosen = -1;
    }
    function ask() {
      var number = ++asked;
      var address = input.getAttribute("data-complete") + "?text=" + encodeURIComponent(input.value) +
        "&position=" + input.selectionStart;
      fetch(address, { headers: { Accept: "application/json" } }).then(function (response) {
        return response.ok && !response.redirected ? response.json() : { items: [] };
      }).then(function (found) {
        if (number === asked && document.activeElement === input) show(found);
      }).catch(close);
    }
    input.addEventListener("input", function () {
      window.clearTimeout(timer);
      timer = window.setTimeout(ask, 120);
    });
    input.addEventListener("focus", ask);
    input.addEventListener("blur", close);
    input.addEventListener("keydown", function (event) {
      var count = list.hidden ? 0 : list.children.length;
      if (event.key === "ArrowDown" && count) {
        event.preventDefault();
        event.stopPropagation();
        choose((chosen + 1) % count);
      } else if (event.key === "ArrowUp" && count) {
        event.preventDefault();
        event.stopPropagation();
        choose((chosen + count - 1) % count);
      } else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0 && count) {
        event.preventDefault();
        take(chosen);
      } else if (event.key === "Escape") {
        close();
      }
    });
  });
})();
