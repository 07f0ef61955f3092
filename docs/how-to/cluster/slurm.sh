#!/bin/bash
# Train on several machines under SLURM, and go on in a later allocation when the time is over:
#
#     sbatch slurm.sh --data /scratch/photos --image-size 64 --batch-size 512 --out runs/photos
#
# The words after slurm.sh are options of `ancestral train`. Set the resources below. All machines must see the data and
# the run folder.
#SBATCH --job-name=ancestral
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.txt
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@180
set -u

# 180 seconds before the time limit SLURM signals this script, which has torchrun stop. torchrun then gives its workers
# the seconds below to finish their step and save.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=150

time_over=""
stop() { scancel --signal=TERM "$SLURM_JOB_ID"; }       # the steps of the job, not this script
trap 'time_over=yes; stop' USR1
trap stop TERM                                          # preempted or cancelled: SLURM itself requeues, or does not

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))                  # other jobs on the machine have others

srun --kill-on-bad-exit=0 torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --max-restarts 10 \
    --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$first:$port" \
    -m ancestral train "$@" --resume &
step=$!
wait "$step"; code=$?
while kill -0 "$step" 2>/dev/null; do wait "$step"; code=$?; done  # a signal ends `wait` before the step

if [ -n "$time_over" ] && [ "$code" -ne 0 ]; then       # 0: the last step was done meanwhile
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
