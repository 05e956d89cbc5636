#!/usr/bin/env bash
# Opens report pages in headless Chromium: no console error, nothing wider than the window at 360 and
# 1280 px, no text cut off, in both themes, everything unfolded.
#
#   reports/tests/chromium.sh [PAGE.html…]     (without pages: those of the hand-made runs)
#
# Needs chromium (or google-chrome) on the path; installs nothing.
set -euo pipefail

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome ||
  command -v google-chrome-stable || command -v chrome) ||
  { echo "chromium.sh: no chromium on the path; .ci/setup installs it" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ $# -eq 0 ]; then
  # All of the workspace: of one crate alone the dependencies would be built anew, with other features.
  (cd "$(dirname "$0")/../.." && cargo build --quiet --release --workspace --example synthetic)
  "${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/release/examples/synthetic" "$work/pages"
  set -- "$work"/pages/{quick,grouped,full}/report.html "$work/pages/compare.html"
fi

# The page stands in two frames as wide as windows would be, since no window is as narrow as a phone.
frames() { # PAGE
  cat <<HTML
<!doctype html><meta charset="utf-8">
<iframe src="file://$1" style="width:360px;height:900px;border:0"></iframe>
<iframe src="file://$1" style="width:1280px;height:900px;border:0"></iframe>
<pre id="found"></pre><script>
// Whether pointing at either end of a stroke tells the same value, as it must where it is level, and none is told between strokes.
const reads = (svg, inner) => [...svg.querySelectorAll("[data-name]")].every(path => {
  const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
  const told = x => {
    svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + x * scale, clientY: box.top + 9}));
    return inner.querySelector(".tip").textContent.split("\n").find(row => row.startsWith(path.dataset.name + " "));
  };
  let at = 0;
  const strokes = [...path.getAttribute("d").matchAll(/([Mm])(-?[\d.]+)[^h]*h([\d.]+)/g)].map(([, move, x, wide]) => {
    const from = (move === "M" ? 0 : at) + Number(x);
    return [from, at = from + Number(wide)];
  });
  return !box.width || strokes.length < 2 || strokes.every(([from, to], index) => {
    const next = strokes[index + 1], inside = to - from < 3 || told(from + 1) && told(from + 1) === told(to - 1);
    return inside && (!next || next[0] - to < 3 || !told((to + next[0]) / 2));
  });
});
const see = frame => {
  const inner = frame.contentDocument, root = inner.documentElement, room = frame.clientWidth;
  inner.querySelectorAll("details").forEach(it => it.open = true);
  const plots = [...inner.querySelectorAll("svg.plot")];
  plots.forEach(it => it.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"})));
  const wide = [...inner.querySelectorAll("body *")].filter(it =>
    it.getBoundingClientRect().right > room + 0.5 && !it.closest(".scroll") && !it.closest(".tip")).map(it => it.outerHTML.slice(0, 120));
  const small = plots.filter(it => { const wide = it.getBoundingClientRect().width;
    return wide && wide / it.viewBox.baseVal.width < 0.85; }).map(it => it.id);
  const clipped = [...inner.querySelectorAll("svg.plot text")].filter(it => {
    const text = it.getBoundingClientRect(), plot = it.closest("svg").getBoundingClientRect();
    return text.left < plot.left - 1.5 || text.right > plot.right + 1.5; }).map(it => it.textContent);
  const misread = plots.filter(it => !reads(it, inner)).map(it => it.id);
  const theme = frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return room + " px, " + theme + ": " + (root.scrollWidth > room || wide.length
      ? "overflow " + root.scrollWidth + " " + wide.slice(0, 3).join(" ")
    : clipped.length ? "clipped " + clipped.slice(0, 5).join(" | ")
    : misread.length ? "pointing reads a neighbour's value in " + misread.slice(0, 3).join(" ")
    : small.length ? "words too small to read in " + small.slice(0, 3).join(" ")
    : "fits, " + plots.length + " plots");
};
addEventListener("load", () => {
  document.getElementById("found").textContent = [...document.querySelectorAll("iframe")].map(see).join("\n") + "\n";
});
</script>
HTML
}

failed=0
for page in "$@"; do
  page=$(realpath "$page")
  name=$(basename "$(dirname "$page")")/$(basename "$page")
  frames "$page" >"$work/frames.html"
  for theme in light dark; do
    scheme=$([ "$theme" = dark ] && echo 0 || echo 1)
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
      --user-data-dir="$work/profile" --allow-file-access-from-files --enable-logging=stderr --window-size=1400,1000 \
      --blink-settings=preferredColorScheme="$scheme" --virtual-time-budget=5000 \
      --dump-dom "file://$work/frames.html" >"$work/dom" 2>"$work/log" ||
      { echo "FAIL $name: the browser failed"; cat "$work/log"; exit 1; }
    # Only what the script wrote: its source holds the same words.
    sed -n '/<pre id="found">/,/<\/pre>/p' "$work/dom" | sed 's/.*<pre id="found">//; /<\/pre>/d' >"$work/found"
    for width in 360 1280; do
      said=$(grep "^$width px, " "$work/found" || echo "$width px: no answer")
      if [[ $said == "$width px, $theme: fits"* ]]; then
        echo "ok   $name $said"
      else
        echo "FAIL $name ($theme) $said"
        failed=1
      fi
    done
    if grep ':CONSOLE' "$work/log"; then
      echo "FAIL $name ($theme): messages on the console"
      failed=1
    fi
  done
done
exit $failed
