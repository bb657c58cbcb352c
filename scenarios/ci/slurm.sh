#!/usr/bin/env bash
# A sweep as a Slurm job array, and a job that merges when all parts have ended.
#
#   slurm.sh OUT PARTS PATH… [OPTION of `ferret run`…]
#
# OUT must be on a file system that all nodes share, and so must FERRET, the program. Prints the number of the merging
# job; its exit code is the verdict: sacct -j NUMBER -o ExitCode, or the last line of OUT/merge.log.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
ferret=$(realpath "${FERRET:-$(command -v ferret || echo target/release/ferret)}")
mkdir -p "$1"
out=$(realpath "$1")
parts=$2
shift 2
options=$(printf ' %q' "$@")

# Slurm runs a part again when its node dies: it then writes the same files once more.
array=$(sbatch --parsable --job-name=ferret --array="1-$parts" --requeue --output="$out/part-%a.log" --wrap "
  exec $(printf %q "$ferret") run$options --keep failed \
    --partition slice:\$SLURM_ARRAY_TASK_ID/$parts --out $(printf %q "$out")/part-\$SLURM_ARRAY_TASK_ID
")
# `afterany`: a part that has found a failure is merged like any other, and a part that is missing is told by merge.
sbatch --parsable --job-name=ferret-merge --dependency="afterany:$array" --output="$out/merge.log" --wrap "
  cd $(printf %q "$out")
  $(printf %q "$ferret") merge $(seq -f 'part-%.0f' -s ' ' "$parts") --out whole
  code=\$?
  echo \"exit code \$code\"
  exit \$code
"
