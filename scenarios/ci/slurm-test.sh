#!/usr/bin/env bash
# slurm.sh on a real Slurm daemon, on the loopback interface: four parts as a job array, merged, must have the hash of
# results of one sweep; and without one part, nothing must be merged. Needs root, and Debian's slurm-wlm.
#
#   slurm-test.sh [FERRET]
set -euo pipefail
cd "$(dirname "$0")/../.."
ferret=$(realpath "${1:-target/release/ferret}")
if ! command -v slurmctld slurmd sbatch munged >/dev/null; then
  echo "slurm-test: not run: apt install slurm-wlm munge"
  exit 77
fi
if [ "$(id -u)" != 0 ]; then
  echo "slurm-test: not run: slurmd needs root"
  exit 77
fi

dir=$(mktemp -d)
chmod 755 "$dir"
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$dir"
}
trap stop EXIT

mkdir "$dir/munge" "$dir/state" "$dir/spool"
head -c 1024 /dev/urandom > "$dir/munge/key"
chmod 600 "$dir/munge/key"
munged --foreground --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
  --seed-file="$dir/munge/seed" --log-file="$dir/munge/log" &
pids+=($!)

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
cat > "$dir/slurm.conf" <<CONF
ClusterName=ferret
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=node1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
sed -i '/^CryptoType/d' "$dir/slurm.conf"
export SLURM_CONF=$dir/slurm.conf
slurmctld -D -i -f "$SLURM_CONF" &
pids+=($!)
slurmd -D -N node1 -f "$SLURM_CONF" &
pids+=($!)
for _ in $(seq 60); do
  [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break
  sleep 0.5
done
sinfo

# The number of the merging job is the last line of what slurm.sh prints.
wait_for() {
  while [ -n "$(squeue -h -j "$1" 2>/dev/null)" ]; do sleep 0.5; done
}
results() { sed -n 's/.*"results_hash": "\(.*\)".*/\1/p' "$1"; }

seeds="--seeds 1..4"
# shellcheck disable=SC2086
wait_for "$(FERRET=$ferret scenarios/ci/slurm.sh "$dir/sweep" 4 scenarios/smoke -E '!name(lapin)' $seeds)"
cat "$dir/sweep/merge.log"
# shellcheck disable=SC2086
"$ferret" run scenarios/smoke -E '!name(lapin)' $seeds --keep failed --out "$dir/one" > "$dir/one.log" || true
one=$(results "$dir/one/sweep.json")
many=$(results "$dir/sweep/whole/sweep.json")
if [ -z "$one" ] || [ "$one" != "$many" ]; then
  echo "slurm-test: the hashes of results differ: one sweep $one, merged $many"
  exit 1
fi
grep -q '^exit code 0$' "$dir/sweep/merge.log"

if "$ferret" merge "$dir"/sweep/part-[124] --out "$dir/gap" 2> "$dir/gap.log"; then code=0; else code=$?; fi
cat "$dir/gap.log"
[ "$code" = 5 ]
echo "slurm-test: pass: results $one from one sweep and from four parts"
