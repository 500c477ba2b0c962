// Live parts of a page: an element with data-live="kinds" gets htmx's event "live" when something of these kinds
// changes, or is shown if it has data-live-show. data-live-id: only changes that name this id; data-live-seen: only
// later ones. By server-sent events while the page is looked at; where none are to be had, by asking now and then.
(function () {
  "use strict";
  var POLL = 5000, LEAST = 3000, kinds = [], source = null, timer = 0, after = "", told = [], swapped = {};
  function parts() { return Array.from(document.querySelectorAll("[data-live]")); }
  parts().forEach(function (part) {
    part.getAttribute("data-live").split(" ").forEach(function (kind) {
      if (kinds.indexOf(kind) < 0) kinds.push(kind);
    });
  });
  if (!kinds.length) return;
  var asked = "kinds=" + encodeURIComponent(kinds.join(","));

  function concerns(part, kind, at, data) {
    if (kind === "overflow") return true;
    if (part.getAttribute("data-live").split(" ").indexOf(kind) < 0) return false;
    var id = part.getAttribute("data-live-id"), seen = part.getAttribute("data-live-seen");
    if (id && Object.keys(data).every(function (name) { return data[name] !== id; })) return false;
    return !seen || Date.parse(at) > Date.parse(seen);
  }
  function tell(kind, at, data) {
    parts().forEach(function (part) {
      if (!concerns(part, kind, at, data)) return;
      if (part.hasAttribute("data-live-show")) part.hidden = false;
      else refresh(part.id);
    });
  }
  function refresh(id) {
    var state = swapped[id] = swapped[id] || { at: 0, waits: false };
    if (state.waits) return;
    state.waits = true;
    window.setTimeout(function () {
      state.waits = false;
      state.at = Date.now();
      var part = document.getElementById(id);
      // Nobody loses what they have opened or are writing.
      if (part && window.htmx && !part.querySelector("details[open]") && !part.contains(document.activeElement)) {
        window.htmx.trigger(part, "live");
      }
    }, Math.max(200, state.at + LEAST - Date.now()));
  }

  function listen() {
    if (!window.EventSource) return poll();
    source = new EventSource("/live?" + asked + (after ? "&after=" + encodeURIComponent(after) : ""));
    kinds.concat("overflow").forEach(function (kind) {
      source.addEventListener(kind, function (event) {
        if (event.lastEventId) after = event.lastEventId;
        tell(kind, event.lastEventId, JSON.parse(event.data));
      });
    });
    source.onerror = function () {
      if (!source || source.readyState !== EventSource.CLOSED) return;
      source = null;
      poll();
    };
  }
  function poll() {
    fetch("/live/recent?" + asked + (after ? "&after=" + encodeURIComponent(after) : ""), {
      headers: { Accept: "application/json" }
    }).then(function (answer) {
      if (answer.redirected || (!answer.ok && answer.status < 500)) return null;
      if (!answer.ok) return { items: [], until: after };
      return answer.json();
    }).catch(function () { return { items: [], until: after }; }).then(function (found) {
      if (!found) return;
      after = found.until;
      if (found.overflow) tell("overflow", after, {});
      found.items.forEach(function (item) {
        var key = JSON.stringify(item);
        if (told.indexOf(key) >= 0) return;
        told = told.concat(key).slice(-1000);
        tell(item.kind, item.at, item.data);
      });
      if (!document.hidden) timer = window.setTimeout(poll, POLL);
    });
  }
  function stop() {
    if (source) source.close();
    source = null;
    window.clearTimeout(timer);
  }
  document.addEventListener("visibilitychange", function () {
    stop();
    if (!document.hidden) listen();
  });
  window.addEventListener("pagehide", stop);
  if (!document.hidden) listen();
})();
