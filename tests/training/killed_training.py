"""Run by a test as a process of its own: trains until it is killed, or to the end."""

import sys
from pathlib import Path

import numpy as np

from ase_mlsample.training import Dataset, ModelSettings, TrainingSettings, train_ensemble


def main(data: str, directory: str, announce: str) -> None:
    train_ensemble(
        Dataset.read(data),
        model=ModelSettings(
            members=2,
            hidden=(12,),
            aev={"radial_cutoff": 4.6, "angular_cutoff": 3.6, "n_radial": 8, "n_angular": 4, "n_sections": 4},
        ),
        settings=TrainingSettings(
            epochs=6, batch_size=8, validation_interval=2, warmup_steps=2, checkpoint_seconds=0
        ),
        rng=np.random.default_rng(7),
        directory=Path(directory),
        progress=False,
        on_epoch=lambda epoch: _wait_at(epoch) if announce == "wait" else None,
    )


def _wait_at(epoch: int) -> None:
    if epoch == 3:
        sys.stdout.write("third epoch\n")
        sys.stdout.flush()
        sys.stdin.read()  # until the test kills this process


if __name__ == "__main__":
    main(*sys.argv[1:])
