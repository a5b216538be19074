#!/usr/bin/env bash
# A Ray cluster within one Slurm job, and the driver of a sweep on it. slurm.md explains it. Options of sbatch's own on its
# command line go before these:  SWEEP=sweep.yaml STORAGE=/shared/nas sbatch --nodes=4 --gpus-per-node=4 slurm.sh
#SBATCH --job-name=stcnas
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
#SBATCH --output=stcnas-%j.log
set -euo pipefail

: "${SWEEP:?set SWEEP to the sweep file}"
: "${STORAGE:?set STORAGE to a folder that all nodes see, or to an s3://, gs:// or az:// address}"
VENV=${VENV:-}                 # a virtual environment that all nodes see; empty: as when submitted
CREDENTIALS=${CREDENTIALS:-}                 # a file of `export AWS_...=...` lines, which the driver alone reads
RUN_OPTIONS=${RUN_OPTIONS:-}                 # for `stcnas run`, such as --profile local
RAY_OPTIONS=${RAY_OPTIONS:-}                 # for `ray start` on every node
RAY_FOLDER=${RAY_FOLDER:-/tmp/ray-$SLURM_JOB_ID} # Ray's logs and sockets: a disk of the node, never a shared folder
PORT=$((20000 + SLURM_JOB_ID % 10000))       # the job's own, since two may share a node

INTERRUPTED=4                                # exit code of `stcnas run`: the same command goes on

asked='' driver=''
trap 'asked=yes; [[ -z $driver ]] || kill -TERM "$driver" 2>/dev/null || true' TERM

# shellcheck disable=SC1091
if [[ -n $VENV ]]; then source "$VENV/bin/activate"; fi
read -ra run_options <<<"$RUN_OPTIONS"
read -ra ray_options <<<"$RAY_OPTIONS"

# A token of this job's own, which its steps find in their environment and which lies in no file.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0

HEAD=${HEAD:-$(getent ahostsv4 "$(hostname)" | awk '$1 !~ /^127\./ {print $1; exit}')}
HEAD=${HEAD:-$(hostname -I | awk '{print $1}')}
cpus=${SLURM_CPUS_PER_TASK:-1}
step=(srun --export=ALL --overlap --no-kill --kill-on-bad-exit=0 --ntasks-per-node=1 --cpus-per-task="$cpus")
here=(--num-cpus="$cpus" --temp-dir="$RAY_FOLDER" --block "${ray_options[@]}")

"${step[@]}" --nodes=1 --ntasks=1 --nodelist="$SLURMD_NODENAME" \
  ray start --head --node-ip-address="$HEAD" --port="$PORT" --include-dashboard=false "${here[@]}" &
until python -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' \
  "$HEAD" "$PORT" 2>/dev/null; do
  kill -0 $! || { echo "Ray's head does not start" >&2; exit 1; }
  sleep 1
done
others=$((SLURM_JOB_NUM_NODES - 1))
if ((others)); then
  "${step[@]}" --nodes=$others --ntasks=$others --exclude="$SLURMD_NODENAME" \
    ray start --address="$HEAD:$PORT" "${here[@]}" &
fi
python - "$HEAD:$PORT" "$SLURM_JOB_NUM_NODES" <<'PYTHON'
"""Waits for all nodes, two minutes at most: those that come later are used too."""
import sys
import time

import ray

ray.init(sys.argv[1], logging_level="ERROR", log_to_driver=False)
end = time.monotonic() + 120
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]) and time.monotonic() < end:
    time.sleep(1)
PYTHON

if [[ -z $asked ]]; then
  # shellcheck disable=SC1090
  (if [[ -n $CREDENTIALS ]]; then source "$CREDENTIALS"; fi
   exec stcnas run "$SWEEP" --storage "$STORAGE" --address "$HEAD:$PORT" "${run_options[@]}") &
  driver=$!
  if [[ -n $asked ]]; then kill -TERM "$driver" || true; fi
  while kill -0 "$driver" 2>/dev/null; do wait "$driver" || true; done    # a signal ends `wait`, not the driver
  code=0
  wait "$driver" || code=$?                  # remembered by the shell, however the driver ended before
  if ((code == 128 + 15)); then code=$INTERRUPTED; fi    # the notice came before the driver could listen
else
  code=$INTERRUPTED
fi

if ((code == INTERRUPTED)) && [[ $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
  echo "interrupted before its end: job $SLURM_JOB_ID goes back into the queue and will go on from there"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
