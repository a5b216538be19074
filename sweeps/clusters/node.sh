#!/usr/bin/env bash
# One machine of a Ray cluster. Start the head first: `node.sh head` there, `node.sh worker` on every other machine.
# `node.sh stop` takes a machine away again; trials that ran there go on elsewhere from their last epoch.
set -euo pipefail

: "${HEAD:?set HEAD to the address of the head machine, as the other machines reach it}"
TOKEN=${TOKEN:-$HOME/.ray/auth_token}        # the same file on every machine
RAY_FOLDER=${RAY_FOLDER:-/tmp/ray}           # Ray's logs and sockets: a local disk, never a shared folder
PORT=${PORT:-6379}                           # all ports follow from it; plain.md says which to open
OPTIONS=${OPTIONS:-}                         # for `ray start`, such as --num-cpus=8 to leave some to others

[[ -s $TOKEN ]] || { echo "no token in $TOKEN: ray get-auth-token --generate, then copy it here" >&2; exit 2; }
chmod 600 "$TOKEN"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$TOKEN
read -ra options <<<"$OPTIONS"
ports=(
  --node-manager-port=$((PORT + 1)) --object-manager-port=$((PORT + 2)) --runtime-env-agent-port=$((PORT + 3))
  --dashboard-agent-grpc-port=$((PORT + 4)) --dashboard-agent-listen-port=$((PORT + 5))
  --metrics-export-port=$((PORT + 6)) --min-worker-port=10002 --max-worker-port=10999
)
case ${1:-} in
  head)
    exec ray start --head --node-ip-address="$HEAD" --port="$PORT" --include-dashboard=false --disable-usage-stats \
      --temp-dir="$RAY_FOLDER" "${ports[@]}" "${options[@]}" ;;
  worker)
    exec ray start --address="$HEAD:$PORT" --disable-usage-stats --temp-dir="$RAY_FOLDER" "${ports[@]}" "${options[@]}" ;;
  stop)
    exec ray stop ;;
  *)
    echo "usage: HEAD=ADDRESS $0 head | worker | stop" >&2
    exit 2 ;;
esac
