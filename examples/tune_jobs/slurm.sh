#!/bin/bash
# One sweep over eight GPUs by a Slurm array. Each task writes a store of its own, so that a node that dies costs what
# it was at; a task that is started again goes on (--resume). When all are done:
#
#   attune tune merge $HOME/tuning/shard-*.sqlite
#
#SBATCH --job-name=attune-tune
#SBATCH --array=1-8
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=00:20:00
#SBATCH --requeue
set -eu

spec=${1:?usage: sbatch slurm.sh SPEC SHAPES}
shapes=${2:?usage: sbatch slurm.sh SPEC SHAPES}
mkdir -p "$HOME/tuning"
exec attune tune "$spec" --shapes "$shapes" --budget 10m --resume \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --store "$HOME/tuning/shard-$SLURM_ARRAY_TASK_ID.sqlite"
