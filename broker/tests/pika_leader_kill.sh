#!/bin/sh
# Runs pika_leader_kill.py with pika from PyPI in a virtual environment under target/.
# Usage: broker/tests/pika_leader_kill.sh [WARREN_BINARY] (default: target/debug/warren)
set -eu
here=$(dirname "$0")
root=$here/../..
python=$root/target/pika/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$root/target/pika"
    "$python" -m pip install --quiet --disable-pip-version-check pika==1.4.4
fi
exec "$python" "$here/pika_leader_kill.py" --warren "${1:-$root/target/debug/warren}"
