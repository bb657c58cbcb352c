#!/bin/sh
# Gives exports of runs to the tools that they are for: packets to tshark,
# metrics to the parser of prometheus-client, which comes from PyPI into a virtual environment under target/.
# Usage: harness/tests/exports/run.sh [FERRET_BINARY] (default: target/release/ferret)
set -eu
here=$(dirname "$0")
root=$here/../../..
ferret=${1:-$root/target/release/ferret}
command -v tshark >/dev/null || { echo "this needs tshark: apt-get install tshark" >&2; exit 1; }
python3 "$here/packets.py" "$ferret" "$root"
python=$root/target/exports/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$root/target/exports"
    "$python" -m pip install --quiet --disable-pip-version-check prometheus-client==0.26.0
fi
"$python" "$here/metrics.py" "$ferret" "$root"
