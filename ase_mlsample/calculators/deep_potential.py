"""The Deep Potential ensemble as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Literal, Self

from ase_mlsample.calculators.network_ensemble import NetworkEnsemble, Runtime

if TYPE_CHECKING:
    from ase_mlsample.calculators.deepmd_models import DeepmdEnsemble
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

        Relative to the largest value and slope of each network: a few units of single precision at most.
        """
        from ase_mlsample.calculators.dp_native import NativeBackend

        backend = (self._runtime or self._start()).backend
        return backend.tabulation_error if isinstance(backend, NativeBackend) else None

    @staticmethod
    def from_deepmd(files: str | PathLike[str] | Sequence[str | PathLike[str]]) -> DeepmdEnsemble:
        """Models of deepmd-kit as they are, of any descriptor, evaluated by deepmd-kit (extra ``deepmd``).

        Parameters
        ----------
        files : path, or sequence of paths
            Frozen models (``.pb``, ``.pth``) or checkpoints (``.pt``), one a member.

        Raises
        ------
        ImportError, FileNotFoundError, ValueError
            As for `DeepmdEnsemble`.
        """
        from ase_mlsample.calculators.deepmd_models import DeepmdEnsemble

        return DeepmdEnsemble(files)

    @classmethod
    def convert_deepmd(
        cls,
        files: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
        backend: Literal["native", "torch"] = "native",
    ) -> Self:
        """Take over ``se_e2_a`` models of deepmd-kit, their weights bit for bit, to be evaluated here.

        Parameters
        ----------
        files : path, or sequence of paths
            One a member: ``.dp`` or ``.yaml`` as ``dp convert-backend`` writes them, or with deepmd-kit
            installed any file that it converts.
        device, dtype, backend : str
            As for the class.

        Raises
        ------
        ImportError, FileNotFoundError, ValueError
            As for `model_from_deepmd`: the last for what has no counterpart here, naming it.
        """
        from ase_mlsample.calculators.deepmd_import import model_from_deepmd

        return cls(model_from_deepmd(files), device=device, dtype=dtype, backend=backend)

    def to_deepmd(self, files: str | PathLike[str] | Sequence[str | PathLike[str]]) -> None:
        """Write the members as models of deepmd-kit.

        Parameters
        ----------
        files : path, or sequence of paths
            One for each member: ``.dp``, or with deepmd-kit installed ``.pth`` or ``.pb``.

        Raises
        ------
        ImportError, ValueError
            As for `model_to_deepmd`.
        """
        from ase_mlsample.calculators.deepmd_export import model_to_deepmd

        model_to_deepmd(self.model, files)

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
