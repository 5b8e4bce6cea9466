#!/bin/sh
# memory_page.sh CHROMIUM PAGE: opens the page of inspect_memory in a headless browser, on a large and on a small screen, and does what
# memory_page.js says. Fails, and says why, unless all that it looks for is there.
set -eu
chromium=$1 page=$2 folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ cat "$page"; echo '<script>'; cat "$(dirname "$0")/memory_page.js"; echo '</script>'; } > "$folder/page.html"
for width in 1400 400; do  # in a frame, since a window may not be as narrow as a phone
  echo "<iframe src='page.html' width='$width' height='800'></iframe><script>
    onload = () => document.title = frames[0].document.body.dataset.verdict;</script>" > "$folder/frame.html"
  verdict=$("$chromium" --headless --no-sandbox --disable-gpu --allow-file-access-from-files --user-data-dir="$folder/user" \
    --virtual-time-budget=10000 --dump-dom "file://$folder/frame.html" 2> /dev/null | sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p')
  echo "$width pixels: $verdict"
  [ "$verdict" = "all is there" ]
done
