"""A small validation with every kind of figure, verdict and failure, made without computing."""

import numpy as np

from ase_mlsample.validation.literature import LiteratureValue
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve
from ase_mlsample.validation.suite import Outcome, Validation
from ase_mlsample.validation.verdicts import rows

X = np.linspace(0.5, 1.5, 11)
MEASURED = LiteratureValue(79.62, 0.5, "A. <b>Author</b>, Some Journal 1, 1 (1964)", calculated=False)
CALCULATED = LiteratureValue(63.9, None, "B. Other, Some Journal 2, 2 (1982): LDA", calculated=True)
OTHERWISE = LiteratureValue(50.0, None, MEASURED.source, calculated=False, caveat="of glass")


def result(name, curves, **facts):
    whole = PropertyResult(name, (), {key: curve(X, y) for key, y in curves.items()}, facts)
    return whole.with_members([whole, whole, "RuntimeError: no"])


def elastic():
    """One of each: agrees, within error, differs from the experiment, nothing to compare, no value."""
    nan = float("nan")
    model = PropertyResult(
        "elastic",
        (
            Quantity("C11", 150.0, "GPa", "C11", members=(149.0, 151.0, 150.0)),
            Quantity("C12", 60.0, "GPa", "C12", members=(40.0, 80.0, nan)),
            Quantity("C44", 30.0, "GPa", "C44", members=(30.0, 30.2, 30.4)),
            Quantity("shear", -1.5, "1e-9 GPa", "shear <modulus>", error=0.25),
        ),
        facts={"tensor_GPa": [[150.0]]},
        notes=("stable & sound",),
        failures={2: "RuntimeError: fell apart"},
    )
    exact = PropertyResult(
        "elastic",
        tuple(
            Quantity(key, value, "GPa", key, error=error)
            for key, value, error in (("C11", 151, 1.5), ("C12", 76, 0.0), ("young", 9, 0.0))
        ),
    )
    published = {"C44": MEASURED, "C12": CALCULATED, "shear": OTHERWISE}
    compared = tuple(rows("elastic", model, reference=exact, published=published))
    return Outcome("elastic", "Elastic constants", model, exact, compared, "", 61.0, quick=True)


def validation(**changes):
    bands = result(
        "phonons",
        {"bands": np.array([X, 2 * X]), "dos": X, "heat_capacity": X},
        ticks=[0.5, 1.0, 1.0, 1.5],
        labels=["G", "K", "U", "X"],
    )
    results = {
        "eos": result("eos", {"diamond": X**2, "fcc": X**2 + 1}),
        "phonons-alpha": bands,
        "liquid": result("liquid", dict.fromkeys(("rdf", "structure_factor", "angles", "displacement"), X)),
        "tin_path": result("tin_path", {"energy": X, "volume": X}),
        "trigonal_path": result("trigonal_path", {"energy": X}),
    }
    outcomes = [
        Outcome(name, f"The {name}", one, one if name != "liquid" else None, (), "", 1.0)
        for name, one in results.items()
    ]
    outcomes.insert(1, elastic())
    outcomes.append(Outcome("defects", "Defects", None, None, (), "RuntimeError: no <vacancy>", 1.0))
    words = {"suite": "silicon", "symbol": "Si", "model": "<model>", "reference": "reference"}
    prints = {"fingerprint": "f", "reference_fingerprint": "r"}
    return Validation(**words | prints | {"members": 3, "quick": True, "outcomes": tuple(outcomes)} | changes)
