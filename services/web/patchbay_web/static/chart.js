// Draws what elements with data-chart hold: {"at": [Unix seconds], "series": [{"name", "colour", "values"}]}.
(function () {
  "use strict";
  function draw(holder) {
    var given = JSON.parse(holder.getAttribute("data-chart"));
    // A canvas knows no variables: the browser works the colours out.
    var probe = document.createElement("span");
    document.body.append(probe);
    function colour(name) {
      probe.style.color = "var(--tblr-" + name + ")";
      return getComputedStyle(probe).color;
    }
    // Smallest step in seconds, label, and what is added where a year or a day begins; of uPlot's own, without months first.
    var dates = [
      [86400 * 365, "{YYYY}", null, null, null, null, null, null, 1],
      [86400 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
      [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
      [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
    ];
    var axis = { stroke: colour("secondary"), grid: { stroke: colour("border-color"), width: 1 }, ticks: { show: false } };
    holder.replaceChildren();
    var plot = new window.uPlot({
      width: holder.clientWidth,
      height: 220,
      legend: { show: false },
      cursor: { y: false },
      scales: { y: { range: function (_, least, most) { return [0, Math.max(1, most * 1.08)]; } } },
      axes: [Object.assign({ values: dates }, axis), Object.assign({ size: 46 }, axis)],
      series: [{}].concat(given.series.map(function (each) {
        return { label: each.name, stroke: colour(each.colour), width: 2, spanGaps: true, points: { show: given.at.length < 3 } };
      })),
      hooks: { setCursor: [function (drawn) { tell(holder, given, drawn.cursor.idx); }] },
    }, [given.at].concat(given.series.map(function (each) { return each.values; })), holder);
    probe.remove();
    return plot;
  }
  // Under the pointer: the numbers of that moment, in the legend below.
  function tell(holder, given, place) {
    var legend = holder.parentElement.querySelector(".pb-legend");
    var last = given.at.length - 1;
    var shown = place === null || place === undefined ? last : place;
    given.series.forEach(function (each, number) {
      var value = each.values[shown];
      legend.children[number].querySelector("strong").textContent = value === null || value === undefined ? "–" : value.toLocaleString();
    });
    holder.title = shown === last ? "" : new Date(given.at[shown] * 1000).toLocaleString();
  }
  function drawAll(within) {
    within.querySelectorAll("[data-chart]:not(.is-drawn)").forEach(function (holder) {
      if (!window.uPlot) return;
      holder.classList.add("is-drawn");
      var plot = draw(holder);
      new ResizeObserver(function () { plot.setSize({ width: holder.clientWidth, height: 220 }); }).observe(holder);
      var theme = new MutationObserver(function () {
        if (!holder.isConnected) return theme.disconnect();
        plot.destroy();
        plot = draw(holder);
      });
      theme.observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    });
  }
  drawAll(document);
  document.addEventListener("htmx:afterSettle", function () { drawAll(document); });
})();
