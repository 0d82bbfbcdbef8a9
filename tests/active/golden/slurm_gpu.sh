#!/bin/bash

#SBATCH --job-name=label.TIME
#SBATCH --output=FOLDER/label.TIME.stdout
#SBATCH --error=FOLDER/label.TIME.stderr
#SBATCH --nodes=1
#SBATCH --time=120
#SBATCH --ntasks-per-node=1

#SBATCH --exclusive
#SBATCH --partition=gpu
#SBATCH --account=abc
#SBATCH --gpus-per-node=4


module load quantum-espresso
cd HERE
export PATH=PYTHON:"$PATH"
export OMP_NUM_THREADS=8 OPENBLAS_NUM_THREADS=8 MKL_NUM_THREADS=8 NUMEXPR_NUM_THREADS=8
export OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1


export JOBNAME="label.TIME"

set -e
export CORES=$SLURM_CPUS_ON_NODE
export NODES=$SLURM_JOB_NUM_NODES

[[ "1" == "1" ]] && echo "Found cores : $CORES"
[[ "1" == "1" ]] && echo "Found nodes : $NODES"
WORKERCOUNT=1
SCRIPT_DIR="FOLDER"
[[ -d $SCRIPT_DIR ]] || SCRIPT_DIR=""

cat << SLURM_EOF > ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$SLURM_JOB_NAME.sh
process_worker_pool.py  --max_workers_per_node=4 -a ADDRESS -p 0 -c 1e-06 -m None --poll 10 --port=PORT --cert_dir CERTIFICATES --logdir=FOLDER/label --logconf=None --block_id=BLOCK --hb_period=15  --hb_threshold=60 --drain_period=5280 --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 0 1 2 3
SLURM_EOF
chmod a+x ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$SLURM_JOB_NAME.sh

srun --ntasks 1 -l  bash ${SCRIPT_DIR:+$SCRIPT_DIR/}cmd_$SLURM_JOB_NAME.sh

[[ "1" == "1" ]] && echo "Done"

