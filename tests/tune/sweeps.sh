#!/bin/sh
# Sweeps head dims 64 and 128, causal and full, on this machine's device and exports the store as JSON: what a day
# with a GPU should leave under tests/perf/results/.
#   tests/tune/sweeps.sh [ATTUNE [BUDGET [FOLDER]]]     default: build/release/attune, 60s a sweep, tests/perf/results
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
attune=${1:-$here/build/release/attune}
budget=${2:-60s}
folder=${3:-$here/tests/perf/results}
device=${ATTUNE_TUNE_DEVICE:-cuda}
length=${ATTUNE_TUNE_LENGTH:-16384}
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# batch x length = 16k and 2048 columns of heads, as the published figures have it.
for dim in 64 128; do
  for mask in none causal; do
    "$attune" tune --head-dim $dim --mask $mask --device "$device" --budget "$budget" --store "$work/store.sqlite" \
      --shapes 1x$((2048 / dim))x$((2048 / dim))x$length
  done
done
name=$("$attune" tune --export - --store "$work/store.sqlite" | sed -n 's/.*"device":"\([^"]*\)".*/\1/p' | head -1 | tr ' A-Z' '-a-z')
"$attune" tune --export "$folder/tuning-$name.json" --store "$work/store.sqlite"
echo "wrote $folder/tuning-$name.json"
