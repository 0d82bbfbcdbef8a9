#!/bin/bash

#PBS -S /bin/bash
#PBS -N label.TIME
#PBS -m n
#PBS -l walltime=02:00:00
#PBS -l select=1:ncpus=64
#PBS -o FOLDER/label.TIME.stdout
#PBS -e FOLDER/label.TIME.stderr


module load quantum-espresso
cd HERE
export PATH=PYTHON:"$PATH"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1
export OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1
export MLSAMPLE_LAUNCH='mpirun -np 64'
unset SLURM_NTASKS_PER_NODE

export JOBNAME="label.TIME"

process_worker_pool.py  --max_workers_per_node=1 -a ADDRESS -p 0 -c 1e-06 -m None --poll 10 --port=PORT --cert_dir CERTIFICATES --logdir=FOLDER/label --logconf=None --block_id=BLOCK --hb_period=15  --hb_threshold=60 --drain_period=5280 --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 

