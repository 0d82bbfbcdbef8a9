"""The ANI ensemble as an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from ase_mlsample.calculators.network_ensemble import NetworkEnsemble, Runtime

if TYPE_CHECKING:
    from ase_mlsample.calculators.ani_model import ANIModel

__all__ = ["ANIEnsemble"]


class ANIEnsemble(NetworkEnsemble):
    """An ensemble of ANI networks on a common AEV, with energy, forces, stress and their disagreement.

    Any cell and any periodicity will do: molecules, slabs, cells smaller than the cutoff, atoms outside the
    cell. Without `members` one evaluation costs the networks' forward pass and a single sweep back for the
    mean force; with it all members' forces come from one sweep.

    Parameters
    ----------
    model : ANIModel
        The networks and all that belongs to them.
    device : str
        "cpu", or a CUDA device as torch names it; on CUDA the torch backend is used.
    dtype : str
        Precision of AEV and networks, "float32" or "float64". Distances and sums are in double in both.
    backend : str
        "native" (compiled kernels) or "torch" (TorchANI's modules and autograd).
    with_spread : bool
        Evaluate all members each time, so that a spread at every step costs no second evaluation.

    Raises
    ------
    ValueError
        For an unknown device, dtype or backend, or a spread of one member.
    TypeError
        For a path instead of a model: :meth:`load` reads files.
    """

    model: ANIModel

    @classmethod
    def _model_class(cls) -> type[ANIModel]:
        from ase_mlsample.calculators.ani_model import ANIModel

        return ANIModel

    @classmethod
    def from_torchani(
        cls,
        torchani_model: Any,
        *,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
        backend: Literal["native", "torch"] = "native",
    ) -> Self:
        """Take over an assembled TorchANI model, its weights bit for bit and its Hartree converted to eV.

        Parameters
        ----------
        torchani_model : torchani.arch.ANI
            A `torchani.arch.ANI` of element networks or an ensemble of them, such as
            `torchani.models.ANI2x()`; only its active members are taken.
        device, dtype, backend : str
            As for the class.

        Raises
        ------
        TypeError
            If it is something else.
        ValueError
            If it has parts without a counterpart here, such as dispersion.
        """
        from ase_mlsample.calculators.ani_convert import model_from_torchani

        return cls(model_from_torchani(torchani_model), device=device, dtype=dtype, backend=backend)

    def to_torchani(self) -> Any:
        """Return a `torchani.arch.ANI` with the same energies, in Hartree, of the dtype of the calculator.

        Raises
        ------
        ValueError
            If the model has a repulsion, which TorchANI does not know.
        """
        from ase_mlsample.calculators.ani_convert import model_to_torchani

        return model_to_torchani(self.model, dtype=self.dtype)

    @property
    def _unit(self) -> float:
        return self.model.scale

    def _made_runtime(self) -> Runtime:
        if self.backend == "torch":
            from ase_mlsample.calculators.ani_torch import TorchBackend

            return Runtime(TorchBackend(self.model, dtype=self.dtype, device=self.device), None, [])
        from ase_mlsample.calculators.ani_native import NativeBackend

        native = NativeBackend(self.model, dtype=self.dtype)
        return Runtime(native, native.evaluate_placed, [])
