#!/bin/sh
# Makes the README's picture of a report: the first day that the planted bug of `ferret demo` shows on, as a headless
# Chromium draws its report. Needs `chromium` (apt-get install chromium).
# Usage: reports/picture/make.sh [FERRET_BINARY] (default: target/release/ferret)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
ferret=$(realpath "${1:-$root/target/release/ferret}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$root"
code=0
"$ferret" run scenarios/demo/power-cut.toml --sabotage confirm-before-majority \
    --seeds 1..50 --max-fail 1 --jobs 1 --keep failed --out "$folder" >/dev/null || code=$?
[ "$code" -eq 100 ] || { echo "no seed failed (exit code $code)" >&2; exit 1; }
# Only the run that failed has kept its history.
report=$(dirname "$(ls "$folder"/power-cut/*/history.jsonl.gz)")/report.html
chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$folder/browser" \
    --window-size=1200,646 --virtual-time-budget=5000 --screenshot="$folder/report.png" "file://$report" 2>/dev/null
mv "$folder/report.png" "$here/report.png"
bytes=$(wc -c <"$here/report.png")
[ "$bytes" -lt 200000 ] || { echo "$here/report.png has $bytes bytes, which is too many for a README" >&2; exit 1; }
echo "$here/report.png: $bytes bytes"
