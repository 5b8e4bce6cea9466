#!/bin/sh
# Pages with comments beside the code: make_pages.sh DOCCO OUTPUT [docs] makes one for each header, for microfot, the tours and all
# Markdown, and an index, headers in the order of the lists. OUTPUT is a folder within Doxygen's; with "docs" they link to Doxygen's pages.
set -eu
docco=$1 output=$2 here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
lists="include/fot/fot.hpp include/fot/long_llama.hpp include/fot/distributed.hpp"
headers=$(sed -n 's|^#include "\(fot/.*\)".*|include/\1|p' $lists)
order=$(echo examples/microfot.cpp examples/*_tour.cpp $lists $headers)
texts=$(echo README.md paper_notes.md $(find examples tests -name '*.md' | sort) CHANGELOG.md)
figures=$(find include examples -name '*.svg')
export FOT_PAGES="$order" FOT_DOXYGEN="${3:-}"  # for page.jst, to which docco hands names in alphabetical order alone

sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
rm -rf "$output"
for file in $order $texts $figures; do
  mkdir -p "$sources/$(dirname "$file")" "$output/$(dirname "$file")"
  case $file in
    *.md) cp "$file" "$sources/$file" ;;
    *.svg) cp "$file" "$output/$file" ;;
    *) awk -f "$here/comments.awk" "$file" > "$sources/$file" ;;
  esac
done

# The index: the first line of each text and program, and the includes of the lists, each with the words beside it.
{
  echo '# The Focused Transformer, comment beside code'
  for file in $texts examples/microfot.cpp examples/*_tour.cpp $lists; do
    [ $file != examples/microfot.cpp ] || printf '\n## Where to begin with the code\n'
    echo "- \`$file\`: $(sed -n '1s|^[/#]* *||; 1s|   .*||; 1p' "$file")"
  done
  sed -n 's|^#include "\(fot/.*\)" *// *\(.*\)|\1 \2|p' $lists | while read -r header words; do
    folder=$(dirname "$header")
    [ "$folder" = "${last:-}" ] || printf '\n## %s\n' "$folder"
    last=$folder
    echo "- \`${header#fot/}\`: $words"
  done
} > "$sources/index.md"

cd "$sources"
"$docco" --languages "$here/languages.json" --marked "$here/marked.json" --template "$here/page.jst" --css "$here/page.css" \
  --output "$output" index.md $order $texts > /dev/null
