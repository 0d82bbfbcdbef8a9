"""What a potential is held to: structures it has never seen and properties it was not fitted to."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.validation.bulk import BulkProperties, bulk_properties
    from ase_mlsample.validation.held_out import HeldOutSettings, held_out_frames, held_out_set

__all__ = ["BulkProperties", "HeldOutSettings", "bulk_properties", "held_out_frames", "held_out_set"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BulkProperties": "bulk",
        "HeldOutSettings": "held_out",
        "bulk_properties": "bulk",
        "held_out_frames": "held_out",
        "held_out_set": "held_out",
    },
)
