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

# The page stands in a frame as wide as a window would be, since no window is as narrow as a phone.
frame() { # PAGE WIDTH
  cat <<HTML
<!doctype html><meta charset="utf-8"><iframe id="page" src="file://$1" style="width:$2px;height:900px;border:0"></iframe>
<pre id="found">nothing</pre><script>
const found = text => document.getElementById("found").textContent = text;
addEventListener("load", () => {
  const inner = document.getElementById("page").contentDocument, root = inner.documentElement;
  inner.querySelectorAll("details").forEach(it => it.open = true);
  inner.querySelectorAll("svg.plot").forEach(it => it.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"})));
  const wide = [...inner.querySelectorAll("body *")].filter(it =>
    it.getBoundingClientRect().right > $2 + 0.5 && !it.closest(".scroll") && !it.closest(".tip")).map(it => it.outerHTML.slice(0, 120));
  const plots = inner.querySelectorAll("svg.plot").length;
  const theme = document.getElementById("page").contentWindow.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const small = [...inner.querySelectorAll("svg.plot")].filter(it =>
    it.getBoundingClientRect().width && it.getBoundingClientRect().width / it.viewBox.baseVal.width < 0.85).map(it => it.id);
  const clipped = [...inner.querySelectorAll("svg.plot text")].filter(it => {
    const text = it.getBoundingClientRect(), plot = it.closest("svg").getBoundingClientRect();
    return text.left < plot.left - 1.5 || text.right > plot.right + 1.5; }).map(it => it.textContent);
  found(root.scrollWidth > $2 || wide.length ? "overflow " + root.scrollWidth + " " + wide.slice(0, 3).join(" ")
    : clipped.length ? "clipped " + clipped.slice(0, 5).join(" | ")
    : small.length ? "words too small to read in " + small.slice(0, 3).join(" ")
    : theme + " fits, " + plots + " plots");
});
</script>
HTML
}

failed=0
for page in "$@"; do
  page=$(realpath "$page")
  for width in 360 1280; do
    for theme in light dark; do
      scheme=$([ "$theme" = dark ] && echo 0 || echo 1)
      frame "$page" "$width" >"$work/frame.html"
      dom=$(timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$work/profile" --allow-file-access-from-files --enable-logging=stderr --window-size=1400,1000 \
        --blink-settings=preferredColorScheme="$scheme" --virtual-time-budget=5000 \
        --dump-dom "file://$work/frame.html" 2>"$work/log") || { echo "FAIL $page: the browser failed"; cat "$work/log"; exit 1; }
      found=$(sed -n 's/.*<pre id="found">\([^<]*\).*/\1/p' <<<"$dom")
      console=$(grep ':CONSOLE' "$work/log" || true)
      if [[ $found == "$theme fits"* && -z $console ]]; then
        echo "ok   $(basename "$(dirname "$page")")/$(basename "$page") $width px: $found"
      else
        echo "FAIL $page $width px, $theme: ${found:-no answer} $console"
        failed=1
      fi
    done
  done
done
exit $failed
