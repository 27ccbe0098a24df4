#!/bin/bash
# sbatch docs/cluster/slurm.sh video /data/videos --out /data/walk.zarr
# One Ray node a machine; the depth pass runs on the first and hands shards to all.
#SBATCH --job-name=auglift-prep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --signal=B:TERM@120
# Two minutes before the time is up: the job stops cleanly, and the same sbatch continues it.

set -eu
export PATH="$SLURM_SUBMIT_DIR/.venv/bin:$PATH"
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs on one machine must not meet

export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(ray get-auth-token --generate)
export RAY_AUTH_TOKEN

srun --kill-on-bad-exit=1 \
    ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "$SLURM_GPUS_ON_NODE" -- \
    auglift-prep "$@" --address "$head:$port" &
step=$!
trap 'kill -TERM $step; wait $step' TERM
wait $step
