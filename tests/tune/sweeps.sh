#!/bin/sh
# Sweeps head dims 64, 128, 256, full and causal, at 2k and 16k on this machine's GPU, says how well the model and the
# virtual clock foretold what was measured, and leaves the results where they are committed and shipped from.
#   tests/tune/sweeps.sh [ATTUNE [SECONDS [FOLDER]]]     default: build/release/attune, 240 for all sweeps, tests/perf/results
# ATTUNE_TUNE_LENGTHS="128 256" ATTUNE_TUNE_TOKENS=1 ATTUNE_TUNE_COLUMNS=1 ATTUNE_TUNE_TARGET=ptx try it on a problem that a
# simulated driver bears (NVRTC asks the driver for what that one has not).
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
attune=${1:-$here/build/release/attune}
seconds=${2:-240}
folder=${3:-$here/tests/perf/results}
# Tokens and columns of heads: as the published figures have them.
tokens=${ATTUNE_TUNE_TOKENS:-16384}
columns=${ATTUNE_TUNE_COLUMNS:-2048}
lengths=${ATTUNE_TUNE_LENGTHS:-2048 16384}
dims="64 128 256"
masks="none causal"
commands=6
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "$(for n in $lengths; do echo $n; done | wc -l) lengths ($lengths) x head dims $dims x masks $masks: $seconds s in all, $((seconds / commands)) s a spec; Ctrl-C keeps what is measured"
began=$(date +%s)
left=$commands
for dim in $dims; do
  heads=$((columns < dim ? 1 : columns / dim))
  shapes=
  for length in $lengths; do
    batch=$((tokens < length ? 1 : tokens / length))
    shapes=$shapes${shapes:+,}${batch}x${heads}x${heads}x$length
  done
  for mask in $masks; do
    # What one spec leaves of its time is for those after it.
    share=$(((began + seconds - $(date +%s)) / left))
    [ $share -gt 0 ] || share=1
    left=$((left - 1))
    "$attune" tune --head-dim "$dim" --mask "$mask" --device cuda ${ATTUNE_TUNE_TARGET:+--target "$ATTUNE_TUNE_TARGET"} --budget "${share}s" --store "$work/store.sqlite" --shapes "$shapes" ||
      [ $? = 1 ] # nothing passed: the others may fare better
  done
done
name=$("$attune" tune export - --store "$work/store.sqlite" | sed -n 's/.*"device":"\([^"]*\)".*/\1/p' | head -1 | tr ' A-Z' '-a-z')
export=$folder/tuning-$name.json
"$attune" tune export "$export" --store "$work/store.sqlite"
echo "wrote $export, after $(($(date +%s) - began)) s"
# The model's first choice against the best, and Kendall's tau, as every later change of the model will be judged.
"$attune" model check "$export" || echo "no sweep to judge the model by"
echo "To ship it: attune tune export --winners tuner/shipped/$name.json (and name it in tuner/Exchange.cpp)"
