"""Lattice constant and bulk modulus of diamond silicon: a model against its reference.

    python benchmarks/silicon_properties.py runs/silicon/models/004/model.safetensors

Exit status 1 if the lattice constant is more than 0.5 % or the bulk modulus more than 10 % off.
"""

import argparse
import sys

from ase.build import bulk

from ase_mlsample.calculators import ANIEnsemble, StillingerWeber
from ase_mlsample.validation import bulk_properties


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="model.safetensors")
    parser.add_argument("--a", type=float, default=5.43, help="lattice constant to start from, Å")
    args = parser.parse_args()
    crystal = bulk("Si", a=args.a, cubic=True)
    model = bulk_properties(crystal, ANIEnsemble.load(args.model, dtype="float64"))
    reference = bulk_properties(crystal, StillingerWeber())
    rows = [
        ("lattice constant (Å)", args.a * model.scale, args.a * reference.scale, 0.005),
        ("bulk modulus (GPa)", model.bulk_modulus, reference.bulk_modulus, 0.10),
        ("energy (eV/atom)", model.energy, reference.energy, None),
    ]
    failed = False
    print(f"{'diamond silicon':<22}{'model':>10}{'reference':>11}{'deviation':>11}{'allowed':>9}")
    for name, found, exact, allowed in rows:
        deviation = found / exact - 1
        failed |= allowed is not None and abs(deviation) > allowed
        limit = "" if allowed is None else f"{allowed:.1%}"
        print(f"{name:<22}{found:>10.4f}{exact:>11.4f}{deviation:>+11.2%}{limit:>9}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
