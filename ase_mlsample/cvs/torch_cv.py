"""Collective variables that a user writes in PyTorch, and TorchScript models of descriptors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ase_mlsample.cvs.base import CollectiveVariable, CVValue, Domain, require_finite

if TYPE_CHECKING:
    import torch

__all__ = ["ModelCV", "TorchCV", "load_cv"]

_INPUTS = ("positions", "cell", "pbc", "numbers", "masses")


class TorchCV(CollectiveVariable):
    """Any differentiable function of the atoms, written in PyTorch.

    The gradient comes from autograd, and the virial from a symmetric strain that is applied to the positions
    and the cell before the function sees them.

    Parameters
    ----------
    function : callable or torch.nn.Module
        Its arguments are found by name among ``positions`` (N, 3) Å, ``cell`` (3, 3) Å, ``pbc`` (3,) bool,
        ``numbers`` (N,) int64 and ``masses`` (N,) amu, all tensors. It returns a number or (d,) values, or a
        pair of them and a quantity of each atom (N,). Periodic images are its own business.
    names : sequence of d str
    domains : sequence of d (low, high) or None, optional
        Of periodic components.
    lab_fixed : bool
        Whether the values depend on the orientation in space.
    dtype : str
        Precision of the arguments, "float64" or "float32".
    device : str

    Raises
    ------
    TypeError
        If the function cannot be called or asks for other arguments; in evaluation if it does not return
        tensors that depend on the positions or the cell by differentiable operations.
    ValueError
        In evaluation, for values of other shapes than (d,), or quantities of atoms of another than (N,).

    Examples
    --------
    >>> import torch
    >>> from ase.build import molecule
    >>> cv = TorchCV(lambda positions: torch.linalg.norm(positions[1] - positions[0]), names=["length"])
    >>> cv(molecule("N2")).round(4).tolist()
    [1.13]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        names: Sequence[str] = ("cv",),
        domains: Sequence[Domain] | None = None,
        lab_fixed: bool = False,
        dtype: str = "float64",
        device: str = "cpu",
    ) -> None:
        super().__init__(names, domains, lab_fixed=lab_fixed)
        if not callable(function):
            raise TypeError(
                f"a function of tensors is meant, not {type(function).__name__}: {function!r:.60}"
            )
        self._function, self._inputs = function, _inputs_of(function)
        self._dtype, self._device = _checked_dtype(dtype), device
        self.parameters = {"function": _name_of(function), "dtype": dtype, "device": device}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`."""
        import torch

        require_finite(atoms)
        kind: dict[str, Any] = {"dtype": getattr(torch, self._dtype), "device": self._device}
        strain = torch.zeros((3, 3), requires_grad=True, **kind)
        positions = torch.tensor(atoms.positions, requires_grad=True, **kind)
        with torch.enable_grad():
            found = self._function(**self._given(atoms, positions, strain))
            values, per_atom = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
            values = self._checked(values)
            rows = [_gradients(value, (positions, strain)) for value in values]
        return CVValue(
            _array(values),
            np.array([_array(by_position) for by_position, _ in rows]),
            np.array([_array(by_strain) for _, by_strain in rows]),
            None if per_atom is None else self._checked_per_atom(per_atom, len(atoms)),
        )

    def _checked_per_atom(self, quantities: Any, n: int) -> Any:
        import torch

        if not isinstance(quantities, torch.Tensor) or quantities.shape != (n,):
            shape = tuple(quantities.shape) if isinstance(quantities, torch.Tensor) else quantities
            raise ValueError(
                f"{self.parameters['function']} returned a pair: beside the values a quantity of each of the "
                f"{n} atoms is meant, not {shape!r:.60}; several values are one tensor, by torch.stack"
            )
        return _array(quantities)

    def _given(self, atoms: Atoms, positions: torch.Tensor, strain: torch.Tensor) -> dict[str, Any]:
        """What the function asks for, strained."""
        import torch

        kind: dict[str, Any] = {"dtype": positions.dtype, "device": self._device}
        deformation = torch.eye(3, **kind) + 0.5 * (strain + strain.T)
        given = {
            "positions": positions @ deformation,
            "cell": torch.tensor(atoms.cell.array, **kind) @ deformation,
            "pbc": torch.tensor(atoms.pbc, device=self._device),
            "numbers": torch.tensor(atoms.numbers, dtype=torch.int64, device=self._device),
            "masses": torch.tensor(atoms.get_masses(), **kind),
        }
        return {name: given[name] for name in self._inputs}

    def _checked(self, values: Any) -> torch.Tensor:
        import torch

        label = self.parameters["function"]
        if not isinstance(values, torch.Tensor):
            raise TypeError(f"{label} returned {type(values).__name__}; a tensor is meant")
        if not values.requires_grad:
            raise TypeError(
                f"what {label} returned does not depend on the positions or the cell by differentiable "
                "operations; no .detach(), .item(), .numpy() or counting on the way"
            )
        return _shaped(values, self.n_cvs, label)


class ModelCV(CollectiveVariable):
    """A PyTorch model of descriptors, which are a collective variable themselves.

    Parameters
    ----------
    model : torch.nn.Module or TorchScript module
        (1, d) descriptors → (1, k) values.
    inputs : CollectiveVariable
        The descriptors, in the order of the training.
    names : sequence of k str
    domains : sequence of k (low, high) or None, optional
    dtype : str, optional
        Precision of the descriptors; that of the model's parameters by default.
    label : str, optional
        What messages and logs call the model.

    Raises
    ------
    ValueError
        If a descriptor is periodic, or in evaluation if the model gives other than k values.
    """

    def __init__(
        self,
        model: Any,
        inputs: CollectiveVariable,
        *,
        names: Sequence[str] = ("cv",),
        domains: Sequence[Domain] | None = None,
        dtype: str | None = None,
        label: str | None = None,
    ) -> None:
        if not isinstance(inputs, CollectiveVariable):
            raise TypeError(f"inputs is a collective variable, not {type(inputs).__name__}: {inputs!r:.60}")
        periodic = [n for n, d in zip(inputs.names, inputs.domains, strict=True) if d is not None]
        if periodic:
            raise ValueError(
                f"{', '.join(periodic)} is periodic, and a model's value would jump where it turns over; "
                "give the model ase_mlsample.cvs.cos and sin of it"
            )
        super().__init__(names, domains, lab_fixed=inputs.lab_fixed)
        self._model, self._inputs = model, inputs
        self._dtype = _dtype_of(model) if dtype is None else _checked_dtype(dtype)
        label = _name_of(model) if label is None else label
        self.parameters = {"model": label, "inputs": inputs.todict(), "dtype": self._dtype}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Values with gradient and virial; see :class:`CollectiveVariable`."""
        import torch

        inner = self._inputs.evaluate(atoms)
        descriptors = torch.tensor(inner.value[None], dtype=getattr(torch, self._dtype), requires_grad=True)
        with torch.enable_grad():
            values = _shaped(self._model(descriptors), self.n_cvs, self.parameters["model"])
            rows = [_gradients(value, (descriptors,))[0] for value in values]
        jacobian = np.array([_array(row)[0] for row in rows])
        return CVValue(
            _array(values),
            np.tensordot(jacobian, inner.gradient, 1),
            np.tensordot(jacobian, inner.virial, 1),
            inner.per_atom,
        )


def load_cv(
    path: str | Path,
    *,
    inputs: CollectiveVariable | None = None,
    names: Sequence[str] = ("cv",),
    domains: Sequence[Domain] | None = None,
    dtype: str | None = None,
    lab_fixed: bool = False,
) -> CollectiveVariable:
    """A collective variable from a TorchScript file.

    Parameters
    ----------
    path : str or Path
        Written by ``torch.jit.save``, or by mlcolvar's export. A TorchScript file is a program: load files
        from people you trust.
    inputs : CollectiveVariable, optional
        The descriptors, for a model (1, d) → (1, k), as mlcolvar exports. Without: the module is a function
        of ``positions``, ``cell``, …, as :class:`TorchCV` takes.
    names : sequence of k str
    domains : sequence of k (low, high) or None, optional
        Of periodic components.
    dtype : str, optional
        Precision; that of the module's parameters by default (double if it has none).
    lab_fixed : bool
        Whether a function of the positions depends on the orientation in space.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TorchScript file.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    load: Any = torch.jit.load
    try:
        module = load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise ValueError(
            f"{path} is no TorchScript file ({str(error).splitlines()[0]:.120}); write one with "
            "torch.jit.script(model).save(path), or export it from mlcolvar with to_torchscript"
        ) from error
    module.eval()
    if inputs is not None:
        return ModelCV(module, inputs, names=names, domains=domains, dtype=dtype, label=str(path))
    precision = _dtype_of(module) if dtype is None else dtype
    return TorchCV(module, names=names, domains=domains, lab_fixed=lab_fixed, dtype=precision)


def _shaped(values: torch.Tensor, d: int, label: str) -> torch.Tensor:
    if values.numel() != d:
        raise ValueError(
            f"{label} gave values of shape {tuple(values.shape)} for {d} name(s); names=[...] takes one for "
            "each component"
        )
    return values.reshape(d)


def _gradients(value: torch.Tensor, by: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    import torch

    return torch.autograd.grad(value, by, retain_graph=True, allow_unused=True, materialize_grads=True)


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().double().numpy()


def _inputs_of(function: Callable[..., Any]) -> tuple[str, ...]:
    schema = getattr(getattr(function, "forward", None), "schema", None)
    if schema is not None:
        needed = [argument.name for argument in schema.arguments if argument.name != "self"]
    else:
        target = getattr(function, "forward", function)
        needed = [p.name for p in inspect.signature(target).parameters.values() if p.default is p.empty]
    unknown = sorted(set(needed) - set(_INPUTS))
    if unknown or not {"positions", "cell"} & set(needed):
        raise TypeError(
            f"{_name_of(function)} takes {', '.join(needed) or 'nothing'}; a function of positions, cell, "
            "pbc, numbers, masses is meant, each asked for by its name; a model of descriptors needs "
            "load_cv(path, inputs=...)"
        )
    return tuple(needed)


def _dtype_of(module: Any) -> str:
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            return _checked_dtype(str(tensor.dtype).removeprefix("torch."))
    return "float64"


def _checked_dtype(dtype: str) -> str:
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype {dtype!r}: 'float64' or 'float32'")
    return dtype


def _name_of(function: Any) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}:{name}" if module and name else type(function).__name__
