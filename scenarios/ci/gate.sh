#!/usr/bin/env bash
# The gate, for any CI that runs a shell script. Its exit code is the verdict.
#
#   gate.sh                  everything on this machine
#   gate.sh part 2 4         the second of four parts, into parts/2; keep that folder as an artifact
#   gate.sh judge            join parts/* and judge them
#
# FERRET names the program: compile it once, and hand the same file to all machines.
set -euo pipefail
ferret=${FERRET:-target/release/ferret}
policy=${POLICY:-scenarios/gate.toml}

case "${1:-all}" in
  all) exec "$ferret" gate "$policy" --out gate ;;
  part) exec "$ferret" gate "$policy" --partition "slice:$2/$3" --out "parts/$2" ;;
  judge)
    # A whole that has failures is still joined, and judged below; one that is not the whole has no sweep.json.
    rm -rf whole
    "$ferret" merge parts/* --out whole || merged=$?
    [ -f whole/sweep.json ] || exit "${merged:-1}"
    exec "$ferret" gate "$policy" --from whole --out gate
    ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
