"""What a potential is checked for: the suites of silicon, tin, aluminium and any other element."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ase.data import atomic_numbers, reference_states

from ase_mlsample.samplers.prototypes import PROTOTYPES
from ase_mlsample.validation.crystals import COMMON, crystal_of
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.properties import PropertyResult

__all__ = ["SUITES", "Check", "all_checks", "chosen", "suite"]

_HERE = "ase_mlsample.validation"


@dataclass(frozen=True, slots=True)
class Check:
    """One property of a suite, ready to be evaluated anywhere.

    Attributes
    ----------
    name
        Unique in the suite.
    title
        In words.
    function
        "module:function" of the property.
    crystal
        Prototype that it is a property of; empty for one of the element.
    conventional
        It takes the conventional cell.
    settings, quick
        Keyword arguments; those that replace them in a quick run.
    slow
        Takes minutes; of an ensemble only the mean potential is evaluated unless asked for.
    dynamics
        Sampled by molecular dynamics, in single precision where the model knows it.
    journal
        Its function keeps a journal, and goes on inside of it after a kill.
    """

    name: str
    title: str
    function: str
    crystal: str = ""
    conventional: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False
    dynamics: bool = False
    journal: bool = False

    def run(
        self, calc: Any, symbol: str, *, quick: bool = False, journal: Journal | None = None
    ) -> PropertyResult:
        """Evaluate it for one calculator, without its members.

        Parameters
        ----------
        calc : ase Calculator
        symbol : str
            The element.
        quick : bool
            With the settings of a quick run.
        journal : Journal, optional
            Where a check that keeps one goes on.
        """
        module, _, name = self.function.partition(":")
        evaluate = getattr(importlib.import_module(module), name)
        subject = crystal_of(symbol, self.crystal, conventional=self.conventional) if self.crystal else symbol
        settings = self.arguments(quick=quick) | ({"journal": journal} if self.journal else {})
        result: PropertyResult = evaluate(calc, subject, members=False, **settings)
        return result

    def arguments(self, *, quick: bool = False) -> dict[str, Any]:
        """Keyword arguments of the property."""
        return {**self.settings, **(self.quick if quick else {})}


def _crystal_checks(crystal: str, *, suffix: str = "") -> list[Check]:
    """Elasticity and phonons of one crystal."""
    tail = f"-{suffix}" if suffix else ""
    of = f" of {crystal}"
    return [
        Check(f"elastic{tail}", f"Elastic constants{of}", f"{_HERE}.elastic:elastic_constants", crystal),
        Check(
            f"phonons{tail}",
            f"Phonons{of}",
            f"{_HERE}.phonons:phonon_bands",
            crystal,
            quick={"width": 11.0, "mesh": 10},
        ),
    ]


def _cubic_checks(crystal: str, *, defect_atoms: int, few: int) -> list[Check]:
    """Expansion, defects and surfaces of a cubic crystal."""
    checks = [
        Check(
            "expansion_qha",
            f"Quasi-harmonic expansion of {crystal}",
            f"{_HERE}.quasi_harmonic:quasi_harmonic_expansion",
            crystal,
            settings={"width": 11.0},
            quick={"points": 5, "width": 8.0, "mesh": 8, "highest_K": 500.0},
            journal=True,
        ),
        Check(
            "defects",
            f"Point defects of {crystal}",
            f"{_HERE}.defects:point_defects",
            crystal,
            conventional=True,
            settings={"n_atoms": defect_atoms},
            quick={"n_atoms": few},
        ),
        Check(
            "surfaces",
            f"Surfaces of {crystal}",
            f"{_HERE}.surfaces:surface_energies",
            crystal,
            conventional=True,
            quick={"thickness": 12.0},
        ),
    ]
    if crystal in ("fcc", "diamond"):
        checks.append(
            Check(
                "stacking_faults",
                f"Stacking faults of {crystal}",
                f"{_HERE}.stacking_faults:stacking_fault_energies",
                crystal,
                conventional=True,
                quick={"points": 5, "thickness": 15.0},
            )
        )
    return checks


def _dynamics_checks(
    crystal: str, *, hot: float, liquid: float, density: float, reach: float, melting: float
) -> list[Check]:
    """Energy conservation, the liquid, and the slow ones: expansion and melting.

    Neighbours in the liquid are those within `reach` (Å) for every potential, so that numbers compare; it is
    near the first minimum of g(r) of the element.
    """
    checks = [
        Check(
            "conservation",
            f"Energy conservation of {crystal}",
            f"{_HERE}.conservation:energy_conservation",
            crystal,
            settings={"temperature_K": hot},
            quick={"duration_ps": 4.0},
            dynamics=True,
            journal=True,
        ),
        Check(
            "liquid",
            "Liquid at zero pressure",
            f"{_HERE}.liquid_state:liquid_properties",
            settings={"temperature_K": liquid, "density": density, "reach": reach},
            quick={
                "n_atoms": 64,
                "equilibration_ps": 2.0,
                "pressure_ps": 4.0,
                "production_ps": 4.0,
                "r_max": 5.5,
            },
            dynamics=True,
            journal=True,
        ),
        Check(
            "melting",
            "Melting by coexistence of two phases",
            f"{_HERE}.melting:melting_point",
            crystal,
            conventional=True,
            settings={"guess_K": melting},
            slow=True,
            dynamics=True,
            journal=True,
        ),
    ]
    if crystal in ("fcc", "bcc", "diamond", "sc"):
        expansion = Check(
            "expansion",
            f"Thermal expansion of {crystal} by dynamics",
            f"{_HERE}.thermal_expansion:expansion_by_dynamics",
            crystal,
            conventional=True,
            settings={"temperatures_K": tuple(round(melting * f) for f in (0.2, 0.3, 0.4, 0.5))},
            quick={"n_atoms": 64, "duration_ps": 10.0},
            slow=True,
            dynamics=True,
            journal=True,
        )
        checks.insert(2, expansion)
    return checks


def _energies(prototypes: Sequence[str], ground: str, shown: Sequence[str]) -> list[Check]:
    return [
        Check(
            "prototypes",
            "Crystals at zero pressure",
            f"{_HERE}.crystals:prototype_energies",
            settings={"prototypes": tuple(prototypes), "ground": ground},
        ),
        Check(
            "eos",
            "Equations of state",
            f"{_HERE}.equation_of_state:equations_of_state",
            settings={"prototypes": tuple(shown)},
        ),
    ]


def _path(name: str, title: str) -> Check:
    return Check(name, title, f"{_HERE}.paths:{name}", quick={"points": 25})


_BAIN = _path("bain_path", "Bain path, bcc to fcc")
_TRIGONAL = _path("trigonal_path", "Trigonal path, bcc to sc to fcc")
_TIN = _path("tin_path", "Tetragonal path, diamond to β-tin")


def _silicon() -> list[Check]:
    return [
        *_energies(COMMON, "diamond", ("diamond", "beta-tin", "sc", "bcc", "fcc")),
        *_crystal_checks("diamond"),
        *_cubic_checks("diamond", defect_atoms=216, few=64),
        _TIN,
        *_dynamics_checks("diamond", hot=600.0, liquid=1750.0, density=2.5, reach=3.1, melting=1687.0),
    ]


def _tin() -> list[Check]:
    return [
        *_energies(COMMON, "diamond", ("diamond", "beta-tin", "simple-hexagonal", "bct", "bcc")),
        *_crystal_checks("diamond", suffix="alpha"),
        *_crystal_checks("beta-tin", suffix="beta"),
        *_cubic_checks("diamond", defect_atoms=216, few=64),
        _TIN,
        _BAIN,
        *_dynamics_checks("beta-tin", hot=300.0, liquid=600.0, density=6.9, reach=4.3, melting=505.0),
    ]


def _aluminium() -> list[Check]:
    names = ("fcc", "hcp", "dhcp", "bcc", "sc", "simple-hexagonal", "diamond", "bct")
    return [
        *_energies(names, "fcc", ("fcc", "hcp", "bcc", "sc")),
        *_crystal_checks("fcc"),
        *_cubic_checks("fcc", defect_atoms=108, few=32),
        _BAIN,
        _TRIGONAL,
        *_dynamics_checks("fcc", hot=300.0, liquid=1000.0, density=2.35, reach=3.9, melting=933.0),
    ]


#: Name of a suite: its element, and what makes its checks.
SUITES = {"silicon": ("Si", _silicon), "tin": ("Sn", _tin), "aluminium": ("Al", _aluminium)}


def suite(name: str, symbols: Sequence[str]) -> tuple[str, str, list[Check]]:
    """The checks of a suite.

    Parameters
    ----------
    name : str
        "silicon", "tin", "aluminium", or "auto" for the one of the model's element. An element without a
        suite of its own is checked in the crystal of ASE's table, without the liquid and without literature.
    symbols : sequence of str
        Elements that the model knows.

    Returns
    -------
    (str, str, list of Check)
        Name of the suite, or of the element; its element; the checks.

    Raises
    ------
    ValueError
        For an unknown suite, a model without its element, or "auto" with a model of several elements.
    """
    if name == "auto":
        if len(symbols) != 1:
            raise ValueError(
                f"the model knows {', '.join(symbols) or 'no element that it names'}: say which suite, "
                f"one of {', '.join(SUITES)}; each is of one element"
            )
        own = [key for key, (symbol, _) in SUITES.items() if symbol == symbols[0]]
        return (own[0], *_made(own[0])) if own else (symbols[0], symbols[0], _generic(symbols[0]))
    if name not in SUITES:
        raise ValueError(f"no suite {name!r}; there are {', '.join(SUITES)} and auto")
    symbol, checks = _made(name)
    if symbols and symbol not in symbols:
        raise ValueError(f"the suite {name!r} is of {symbol}, and the model knows {', '.join(symbols)}")
    return name, symbol, checks


def all_checks(name: str, symbol: str) -> list[Check]:
    """The checks of a suite by the name that `suite` gave it, which is the element where it has none."""
    return suite("auto" if name == symbol else name, [symbol])[2]


def _made(name: str) -> tuple[str, list[Check]]:
    symbol, make = SUITES[name]
    return symbol, make()


def _generic(symbol: str) -> list[Check]:
    state = reference_states[atomic_numbers[symbol]] or {}
    crystal = state.get("symmetry")
    if crystal not in ("fcc", "bcc", "hcp", "diamond"):
        raise ValueError(
            f"there is no suite for {symbol}, whose crystal ({crystal}) is none of fcc, bcc, hcp, diamond; "
            "call the properties of ase_mlsample.validation one by one"
        )
    names = dict.fromkeys((crystal, "fcc", "hcp", "bcc", "sc", "diamond", "bct"))
    checks = [
        *_energies(list(names), crystal, tuple(dict.fromkeys((crystal, "fcc", "bcc")))),
        *_crystal_checks(crystal),
    ]
    if PROTOTYPES[crystal].spacegroup >= 195:
        checks += _cubic_checks(crystal, defect_atoms=128, few=54)
    return [*checks, _BAIN, _TRIGONAL]


def chosen(
    checks: Sequence[Check], *, only: Sequence[str] = (), skip: Sequence[str] = (), slow: bool = False
) -> list[Check]:
    """Those of the checks that are wanted.

    Parameters
    ----------
    checks : sequence of Check
    only, skip : sequence of str
        Names; without `only` all, but slow ones where `slow` asks for them.
    slow : bool

    Raises
    ------
    ValueError
        For a name that is not among them, or when nothing is left.
    """
    names = [check.name for check in checks]
    if unknown := sorted({*only, *skip} - set(names)):
        raise ValueError(f"no check {', '.join(unknown)} in this suite; there are {', '.join(names)}")
    wanted = [
        check
        for check in checks
        if check.name not in skip and (check.name in only if only else slow or not check.slow)
    ]
    if not wanted:
        raise ValueError("no check is left; loosen --only and --skip")
    return wanted
