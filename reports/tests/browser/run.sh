#!/bin/sh
# Opens reports of real runs in a headless Chromium and uses them, with selenium from PyPI in a virtual environment
# under target/. Needs `chromium` and `chromedriver` (Debian: chromium, chromium-driver).
# Usage: reports/tests/browser/run.sh [FERRET_BINARY] (default: target/release/ferret)
# SCREENSHOTS=DIR in the environment leaves pictures of what was seen.
set -eu
here=$(dirname "$0")
root=$(cd "$here/../../.." && pwd)
ferret=${1:-$root/target/release/ferret}
python=$root/target/browser/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$root/target/browser"
    "$python" -m pip install --quiet --disable-pip-version-check selenium==4.51.0
fi
exec "$python" "$here/report_test.py" --ferret "$ferret" --scenarios "$root/scenarios" ${SCREENSHOTS:+--screenshots "$SCREENSHOTS"}
