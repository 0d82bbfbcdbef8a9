"""The Deep Potential ensemble as an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase_mlsample.calculators.network_ensemble import NetworkEnsemble, Runtime

if TYPE_CHECKING:
    from ase_mlsample.calculators.dp_model import DeepPotentialModel
    from ase_mlsample.calculators.dp_tables import TabulationError

__all__ = ["DeepPotentialEnsemble"]


class DeepPotentialEnsemble(NetworkEnsemble):
    """An ensemble of Deep Potentials (DeepPot-SE), with energy, forces, stress and their disagreement.

    Any cell and any periodicity will do: molecules, slabs, cells smaller than the cutoff, atoms outside the
    cell; no neighbour is ever left out. Members share nothing but the neighbours, so that all members'
    forces cost hardly more than the mean force.

    Parameters
    ----------
    model : DeepPotentialModel
        The networks and all that belongs to them.
    device : str
        "cpu", or a CUDA device as torch names it; on CUDA the torch backend is used.
    dtype : str
        Precision of environment matrix and networks, "float32" or "float64". Distances and sums are in
        double in both. In single precision the native backend has the embedding networks tabulated, see
        `tabulation_error`; in double it evaluates them.
    backend : str
        "native" (compiled kernels) or "torch" (the definition, and autograd).
    with_spread : bool
        Evaluate all members each time, so that a spread at every step costs no second evaluation.

    Raises
    ------
    ValueError
        For an unknown device, dtype or backend, or a spread of one member.
    TypeError
        For a path instead of a model: :meth:`load` reads files.

    References
    ----------
    L. Zhang et al., NeurIPS 31, 4436 (2018); the definition is deepmd-kit's "se_e2_a".
    """

    model: DeepPotentialModel

    @property
    def tabulation_error(self) -> TabulationError | None:
        """What tabulated embeddings are off by, measured between the nodes; None where there are no tables.

        Relative to the largest value and slope of an embedding: a few units of single precision at most.
        """
        from ase_mlsample.calculators.dp_native import NativeBackend

        backend = (self._runtime or self._start()).backend
        return backend.tabulation_error if isinstance(backend, NativeBackend) else None

    @classmethod
    def _model_class(cls) -> type[DeepPotentialModel]:
        from ase_mlsample.calculators.dp_model import DeepPotentialModel

        return DeepPotentialModel

    def _made_runtime(self) -> Runtime:
        if self.backend == "torch":
            from ase_mlsample.calculators.dp_torch import TorchBackend

            return Runtime(TorchBackend(self.model, dtype=self.dtype, device=self.device), None, [])
        from ase_mlsample.calculators.dp_native import NativeBackend

        native = NativeBackend(self.model, dtype=self.dtype)
        return Runtime(native, native.evaluate_placed, [])
