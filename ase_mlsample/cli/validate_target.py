"""What `mlsample validate` is given, where its results go, and the page that shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Target", "target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is validated.

    Attributes
    ----------
    model
        Model file, or module:factory. Of a run's newest model the file of its generation, which
        stays when the run trains on.
    folder
        Of the results.
    run
        Folder of the run whose report shows them; None for a page of their own.
    """

    model: str
    folder: Path
    run: Path | None = None

    def write_page(self) -> Path:
        """Write the page that shows the results, and say where it is."""
        from ase_mlsample.report import write_report, write_validation_page

        return (write_validation_page(self.folder) if self.run is None else write_report(self.run))[0]


def target(described: str, out: Path | None) -> Target:
    """What is meant by the first argument of `mlsample validate`.

    Parameters
    ----------
    described
        Folder of a run, or of one of its generations, for the model in it; a model file; or module:factory.
    out
        Folder of the results. By default that of the run, where the model is the run's newest one, else
        beside the model.

    Raises
    ------
    FileNotFoundError
        For a folder without a model.
    """
    from ase_mlsample.active.models import model_file

    path = Path(described)
    if path.is_dir():
        path = model_file(path)
        described = str(path)
    run = _run_of(path)
    if run is not None and out in (None, run / "validation"):
        return Target(_lasting(path, run, described), run / "validation", run)
    name = described.removesuffix(".safetensors").removesuffix(".json").replace(":", ".")
    return Target(described, out or Path(f"{name}.validation"))


def _run_of(model: Path) -> Path | None:
    """Folder of the run whose newest model this is, or the same as this."""
    from ase_mlsample.active.models import has_model, model_file

    if not model.is_file():
        return None
    for folder in (model.parent, model.absolute().parent.parent.parent):  # at the top, or of a generation
        if (folder / "ledger.db").is_file() and has_model(folder):
            newest = model_file(folder)
            return folder if newest.read_bytes() == model.read_bytes() else None
    return None


def _lasting(model: Path, run: Path, described: str) -> str:
    """The file of the generation with this model, which nothing replaces; else what was described."""
    content = model.read_bytes()
    for path in sorted(run.glob(f"models/*/{model.name}"), reverse=True):
        if path.read_bytes() == content:
            return str(path)
    return described
