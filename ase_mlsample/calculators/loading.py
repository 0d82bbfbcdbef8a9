"""Model files of any kind, as models and as calculators; importing this loads torch."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

from ase_mlsample.calculators.ani import ANIEnsemble
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.deep_potential import DeepPotentialEnsemble
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.model_files import model_kind

__all__ = ["Ensemble", "Model", "ensemble_of", "load_ensemble", "load_model"]

Model: TypeAlias = ANIModel | DeepPotentialModel
Ensemble: TypeAlias = ANIEnsemble | DeepPotentialEnsemble

_MODELS: dict[str, type[ANIModel] | type[DeepPotentialModel]] = {
    "ani": ANIModel,
    "deep_potential": DeepPotentialModel,
}


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file, whatever kind of model it holds; runs no code from it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, of another program, of an unknown kind, newer than this package, or incomplete.
    """
    kind = model_kind(path)
    if kind not in _MODELS:
        raise ValueError(
            f"{os.fspath(path)} holds a model of kind {kind!r}; this version knows {', '.join(_MODELS)}"
        )
    return _MODELS[kind].load(path)


def ensemble_of(model: Model, **options: Any) -> Ensemble:
    """The calculator of a model.

    Parameters
    ----------
    model : ANIModel or DeepPotentialModel
    **options
        As for the calculator's class.
    """
    if isinstance(model, DeepPotentialModel):
        return DeepPotentialEnsemble(model, **options)
    return ANIEnsemble(model, **options)


def load_ensemble(
    path: str | os.PathLike[str],
    *,
    device: str = "cpu",
    dtype: Literal["float32", "float64"] = "float32",
    backend: Literal["native", "torch"] = "native",
    with_spread: bool = False,
) -> Ensemble:
    """Read a model file of any kind as a calculator.

    Parameters
    ----------
    path : str or path
        As `train_ensemble`, ``mlsample train`` and the loop write them.
    device, dtype, backend, with_spread
        As for `ANIEnsemble`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, of another program, of an unknown kind, newer than this package, or incomplete.
    """
    model = load_model(path)
    return ensemble_of(model, device=device, dtype=dtype, backend=backend, with_spread=with_spread)
