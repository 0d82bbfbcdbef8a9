"""Other people's models as members of a committee, where they are installed; docs/committees.md has them."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.calculators import Committee

DOCS = Path(__file__).parents[2] / "docs" / "committees.md"


def needs(package: str) -> list[Any]:
    """Marks of tests that another package must be there for; it and its libraries may warn."""
    absent = importlib.util.find_spec(package) is None
    return [
        pytest.mark.skipif(absent, reason=f"needs {package}"),
        pytest.mark.filterwarnings("ignore"),
    ]


def crystal() -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def check_committee(members: list[Any], atoms: Atoms) -> None:
    """Mean and spread are those of the members as ASE's interface gives them, one by one."""
    committee = Committee(members)
    prediction = committee.evaluate(atoms, members=True)
    energies, forces, stresses = [], [], []
    for member in members:
        copy = atoms.copy()
        copy.calc = member
        energies.append(copy.get_potential_energy())
        forces.append(copy.get_forces())
        stresses.append(copy.get_stress())
    # single precision of some models
    tolerance = {"rel": 1e-5, "abs": 1e-6}
    assert prediction.member_energies == pytest.approx(np.ravel(energies), **tolerance)
    assert prediction.forces == pytest.approx(np.mean(forces, axis=0), **tolerance)
    assert prediction.stress == pytest.approx(np.mean(stresses, axis=0), **tolerance)
    spread = committee.get_spread(atoms)
    assert spread.forces_std == pytest.approx(np.std(forces, axis=0, ddof=1), **tolerance)
    assert spread.force_sigma.max() > 1e-4
    assert spread.energy_std == pytest.approx(np.std(energies, ddof=1), rel=1e-4)


def random_mace(seed: int, path: Path) -> Path:
    """A small MACE that nobody trained, saved as MACE saves its models."""
    import torch
    from e3nn import o3
    from mace import modules

    torch.manual_seed(seed)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=4.5,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=1,
        hidden_irreps=o3.Irreps("4x0e + 4x1o"),
        MLP_irreps=o3.Irreps("4x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([-4.0]),
        avg_num_neighbors=16.0,
        atomic_numbers=[14],
        correlation=2,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    torch.save(model.double(), path)
    return path


class TestMACE:
    pytestmark = needs("mace")

    def test_members_of_a_committee(self, tmp_path: Path) -> None:
        from mace.calculators import MACECalculator

        files = [random_mace(seed, tmp_path / f"{seed}.model") for seed in (1, 2)]
        members = [MACECalculator(model_paths=str(f), device="cpu", default_dtype="float64") for f in files]
        check_committee(members, crystal())


class TestCHGNet:
    pytestmark = needs("chgnet")

    def test_members_of_a_committee(self) -> None:
        import torch
        from chgnet.model import CHGNet, CHGNetCalculator

        members = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            model = CHGNet(atom_fea_dim=16, bond_fea_dim=16, angle_fea_dim=16, num_radial=5, num_angular=5)
            members.append(CHGNetCalculator(model, use_device="cpu"))
        check_committee(members, crystal())


def test_what_the_docs_print_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    exec(compile(blocks[0], str(DOCS), "exec"), names)  # noqa: S102
    assert names["spread"].force_sigma.shape == (8,)
    for block in blocks[1:]:  # these need files of models
        compile(block, str(DOCS), "exec")
