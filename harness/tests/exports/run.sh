#!/bin/sh
# Gives exports of runs to the tools that they are for: packets to tshark.
# Usage: harness/tests/exports/run.sh [FERRET_BINARY] (default: target/release/ferret)
set -eu
here=$(dirname "$0")
root=$here/../../..
ferret=${1:-$root/target/release/ferret}
command -v tshark >/dev/null || { echo "this needs tshark: apt-get install tshark" >&2; exit 1; }
python3 "$here/packets.py" "$ferret" "$root"
