"""Active learning: a configuration, a ledger, and the loop between proposals, labels and training."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.active.config import RunConfig
    from ase_mlsample.active.config_file import read_config
    from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor
    from ase_mlsample.active.ledger import Ledger
    from ase_mlsample.active.loop import ActiveLoop, run

__all__ = ["ActiveLoop", "Ledger", "ProcessExecutor", "RunConfig", "SerialExecutor", "read_config", "run"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ActiveLoop": "loop",
        "Ledger": "ledger",
        "ProcessExecutor": "executors",
        "RunConfig": "config",
        "SerialExecutor": "executors",
        "read_config": "config_file",
        "run": "loop",
    },
)
