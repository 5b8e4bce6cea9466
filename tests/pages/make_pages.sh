#!/bin/sh
# Pages with comments beside the code: make_pages.sh DOCCO OUTPUT [docs] makes one for each header, the programs below and
# paper_notes.md, and an index in the order of fot.hpp. OUTPUT is a folder within Doxygen's; with "docs" they link to Doxygen's pages.
set -eu
docco=$1 output=$2 here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
headers=$(sed -n 's|^#include "\(fot/.*\)".*|include/\1|p' include/fot/fot.hpp)
order=$(echo examples/microfot.cpp examples/*_tour.cpp include/fot/fot.hpp $headers)
files="paper_notes.md $order"
export FOT_PAGES="$order" FOT_DOXYGEN="${3:-}"  # for page.jst, to which docco hands names in alphabetical order alone

sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
rm -rf "$output"
for file in $files; do
  mkdir -p "$sources/$(dirname "$file")"
  awk -f "$here/comments.awk" "$file" > "$sources/$file"
done

# The index: the includes of fot.hpp, each with the words beside it.
{
  echo '# The Focused Transformer, comment beside code'
  echo '- `paper_notes.md`: the paper, part by part, and what comes out'
  echo '- `examples/microfot.cpp`: the whole method in one file'
  echo '- `examples/crossbatch_tour.cpp`: who sees whom, and where gradients go'
  echo '- `examples/exact_memory_tour.cpp`: what a memory can do on its own'
  echo '- `fot.hpp`: all headers, and how a program uses them'
  sed -n 's|^#include "\(fot/.*\)" *// *\(.*\)|\1 \2|p' include/fot/fot.hpp | while read -r header words; do
    folder=$(dirname "$header")
    [ "$folder" = "${last:-}" ] || printf '\n## %s\n' "$folder"
    last=$folder
    echo "- \`${header#fot/}\`: $words"
  done
} > "$sources/index.md"

cd "$sources"
"$docco" --languages "$here/languages.json" --marked "$here/marked.json" --template "$here/page.jst" --css "$here/page.css" \
  --output "$output" index.md $files > /dev/null
