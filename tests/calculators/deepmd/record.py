"""Records what deepmd-kit says of two tiny models of its own, beside the models as it serialises them.

    python tests/calculators/deepmd/record.py        # with deepmd-kit 3.2 (PyTorch), numpy and ase

Energies, forces and virials are those of its compiled PyTorch models; the slab is given to it in a cell with
vacuum, since it knows full periodicity only.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms
from ase.build import bulk

FOLDER = Path(__file__).parent
CUTOFF = 3.6


def structures() -> dict[str, Atoms]:
    """A rattled crystal of two elements, a cell smaller than the cutoff, a slab and a molecule."""
    crystal = bulk("Si", a=5.43, cubic=True)
    crystal.symbols[[1, 2, 6]] = "Ge"
    crystal.rattle(0.12, seed=1)
    small = bulk("Si", a=5.1)
    small.symbols[1] = "Ge"
    small.rattle(0.1, seed=2)
    slab = crystal * (1, 1, 2)
    slab.pbc = (True, True, False)
    molecule = Atoms("SiGe2", [[0, 0, 0], [2.2, 0.3, 0], [-0.4, 2.1, 0.9]])
    return {"crystal": crystal, "small": small, "slab": slab, "molecule": molecule}


def definition(one_side: bool) -> dict:
    return {
        "type_map": ["Ge", "Si"],
        "descriptor": {
            "type": "se_e2_a",
            "sel": [7, 8],
            "rcut": CUTOFF,
            "rcut_smth": 1.5,
            "neuron": [3, 6],
            "axis_neuron": 2,
            "type_one_side": one_side,
            "precision": "float64",
            "seed": 3,
        },
        "fitting_net": {"type": "ener", "neuron": [4, 4], "precision": "float64", "seed": 4},
    }


def serialised(one_side: bool) -> dict:
    """A model as deepmd-kit makes it, with statistics of few digits."""
    from deepmd.dpmodel.model.model import get_model

    script = definition(one_side)
    model = get_model(json.loads(json.dumps(script))).serialize()
    statistics = model["descriptor"]["@variables"]
    statistics["davg"] = np.zeros_like(statistics["davg"])
    statistics["davg"][..., 0] = [[0.06], [0.08]]
    statistics["dstd"] = np.full_like(statistics["dstd"], 0.09)
    statistics["dstd"][..., 0] = [[0.12], [0.16]]
    model["fitting"]["@variables"]["bias_atom_e"] = np.array([[-3.5], [-4.25]])
    return {"backend": "dpmodel", "model": model, "model_def_script": script, "@variables": {}}


def evaluated(file: Path) -> dict[str, dict]:
    from deepmd.infer import DeepPot

    model, found = DeepPot(str(file)), {}
    for name, atoms in structures().items():
        cell = atoms.cell.array.copy()
        if name == "slab":
            cell[2] = [0, 0, 30]
        types = [model.get_type_map().index(symbol) for symbol in atoms.symbols]
        boxes = cell.reshape(1, 9) if atoms.pbc.any() else None
        energy, forces, virial = model.eval(atoms.positions.reshape(1, -1), boxes, types)
        found[name] = {
            "energy": energy.item(),
            "forces": forces[0].tolist(),
            "virial": virial.reshape(3, 3).tolist(),
        }
    return found


def main() -> None:
    from deepmd.backend.backend import Backend
    from deepmd.dpmodel.utils.serialization import save_dp_model

    for name, one_side in (("pair", False), ("one_side", True)):
        content = serialised(one_side)
        file = FOLDER / f"{name}.yaml"
        save_dp_model(str(file), content)
        # the same in a quarter of the lines
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()), default_flow_style=None, width=110))
        with tempfile.TemporaryDirectory() as folder:
            frozen = Path(folder) / "model.pth"
            backend = Backend.detect_backend_by_model(str(frozen))()
            backend.deserialize_hook(str(frozen), serialised(one_side))
            values = json.dumps(evaluated(frozen))
        (FOLDER / f"{name}.json").write_text(values + "\n")


if __name__ == "__main__":
    main()
