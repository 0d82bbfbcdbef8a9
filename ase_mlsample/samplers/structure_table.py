"""The table of structure types.

Sites and Strukturbericht names after M. J. Mehl et al., The AFLOW Library of Crystallographic Prototypes:
Part 1, Comput. Mater. Sci. 136, S1 (2017), where no other source is given.
"""

from __future__ import annotations

import math
from typing import Any

from ase_mlsample.samplers.structure_types import Prototype, Vectors

__all__ = ["PROTOTYPES"]

_FACE: Vectors = ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_FACE_CUBE: Vectors = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
_BODY_CUBE: Vectors = ((0, 1, 1), (1, 0, 1), (1, 1, 0))
_PRIMITIVE: Vectors = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_ORTHO: Vectors = ((1, 0, 0), (1, 2, 0), (0, 0, 1))  # the orthorhombic cell of a hexagonal lattice

_O = (0.0, 0.0, 0.0)
_EIGHTH, _QUARTER, _HALF, _THREE_QUARTERS = (0.125,) * 3, (0.25,) * 3, (0.5,) * 3, (0.75,) * 3
_HCP = math.sqrt(8 / 3)
_TIN = 0.55  # c/a of β-tin: Sn 0.546, Si 0.552
_SIMPLE_HEXAGONAL = 0.94  # c/a of Si V


def _face(name: str, group: int, *sites: tuple[float, ...], also: str = "", **more: Any) -> Prototype:
    """A face-centred cubic lattice."""
    return Prototype(name, group, _FACE, sites, _FACE_CUBE, synonyms=tuple(also.split()), **more)


def _body(
    name: str, group: int, shape: tuple[float, float], *sites: tuple[float, ...], also: str = "", **more: Any
) -> Prototype:
    """A body-centred lattice with the axial ratios b/a and c/a."""
    b, c = shape
    cell = ((-0.5, b / 2, c / 2), (0.5, -b / 2, c / 2), (0.5, b / 2, -c / 2))
    return Prototype(name, group, cell, sites, _BODY_CUBE, synonyms=tuple(also.split()), **more)


def _simple(
    name: str, group: int, ratio: float, *sites: tuple[float, ...], also: str = "", **more: Any
) -> Prototype:
    """A primitive cubic or tetragonal lattice with the axial ratio c/a."""
    cell = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, ratio))
    return Prototype(name, group, cell, sites, _PRIMITIVE, synonyms=tuple(also.split()), **more)


def _hexagonal(
    name: str, group: int, ratio: float, *sites: tuple[float, ...], also: str = "", **more: Any
) -> Prototype:
    """A hexagonal lattice with the axial ratio c/a."""
    cell = ((1.0, 0.0, 0.0), (-0.5, math.sqrt(0.75), 0.0), (0.0, 0.0, ratio))
    return Prototype(name, group, cell, sites, _ORTHO, synonyms=tuple(also.split()), **more)


def _a(height: float) -> tuple[float, ...]:
    """The site A of a triangular layer."""
    return (0.0, 0.0, height)


def _b(height: float) -> tuple[float, ...]:
    """The site B of a triangular layer."""
    return (1 / 3, 2 / 3, height)


def _c(height: float) -> tuple[float, ...]:
    """The site C of a triangular layer."""
    return (2 / 3, 1 / 3, height)


def _kagome(x: float, height: float) -> Vectors:
    """The sites (x, 2x), (−2x, −x) and (x, −x) of a layer."""
    return ((x, 2 * x % 1, height), (-2 * x % 1, 1 - x, height), (x, 1 - x, height))


_ELEMENTS = (
    _face("diamond", 227, _O, _QUARTER, also="a4 dia alpha-tin cubic-diamond"),
    _body("beta-tin", 141, (1, _TIN), _O, (0.75, 0.25, 0.5), also="a5 white-tin betatin"),
    _face("fcc", 225, _O, also="a1 ccp face-centered-cubic face-centred-cubic"),
    _body("bcc", 229, (1, 1), _O, also="a2 body-centered-cubic body-centred-cubic"),
    _hexagonal("hcp", 194, _HCP, _b(0.25), _c(0.75), also="a3 hexagonal-close-packed"),
    _simple("sc", 221, 1, _O, also="ah simple-cubic cubic"),
    _hexagonal("simple-hexagonal", 191, _SIMPLE_HEXAGONAL, _O, also="af sh hexagonal si-v"),
    _body("bct", 139, (1, 1.521), _O, also="a6 indium body-centered-tetragonal body-centred-tetragonal"),
    _hexagonal("dhcp", 194, 2 * _HCP, _a(0), _b(0.25), _a(0.5), _c(0.75), also="a3-prime double-hcp"),
    # of titanium: AlB2 with one element
    _hexagonal("omega", 191, math.sqrt(3 / 8), _a(0), _b(0.5), _c(0.5), reach=1.2),
    # β-tungsten
    _simple("A15", 223, 1, _O, (0.25, 0.0, 0.5), reach=1.25, setting=1, also="beta-tungsten beta-w"),
    _hexagonal(
        "hexagonal-diamond", 194, _HCP, _b(1 / 16), _b(7 / 16), _c(9 / 16), _c(15 / 16), also="lonsdaleite"
    ),
    _hexagonal("graphite", 194, 2.726, _a(0.25), _a(0.75), _b(0.25), _c(0.75), also="a9"),
    # M. I. McMahon et al., Phys. Rev. B 50, 739 (1994): Si XI
    _body("imma", 74, (4.502 / 4.737, 2.550 / 4.737), (0, 0.25, 0.193), setting=1, also="si-xi"),
    # L. L. Boyer et al., Phys. Rev. Lett. 67, 715 (1991): five neighbours
    _body("bct5", 139, (1, 1.81), (0.2, 0.2, 0), (0.8, 0.8, 0)),
    # J. S. Kasper, S. M. Richards, Acta Cryst. 17, 752 (1964): Si III and Ge III
    _body("bc8", 206, (1, 1), (0.1003,) * 3, setting=1, also="si-iii"),
    _simple("st12", 96, 6.98 / 5.93, (0.0912, 0.0912, 0), (0.173, 0.3784, 0.2486), setting=1, also="ge-iii"),
    # G. B. Adams et al., Phys. Rev. B 49, 8048 (1994)
    _simple(
        "clathrate-i", 223, 1, (0.25, 0.5, 0), (0.1837,) * 3, (0, 0.1172, 0.3077), setting=1, also="si46"
    ),
    _face(
        "clathrate-ii", 227, _EIGHTH, (0.2174,) * 3, (0.1817, 0.1817, 0.3712), setting=2, also="si34 si136"
    ),
)

_COMPOUNDS = (
    _face("rocksalt", 225, _O, _HALF, species="AB", also="b1 nacl halite"),
    _simple("cscl", 221, 1, _O, _HALF, species="AB", also="b2 caesium-chloride cesium-chloride"),
    _face("zincblende", 216, _O, _QUARTER, species="AB", also="b3 sphalerite zinc-blende"),
    _hexagonal("wurtzite", 186, _HCP, _b(0), _c(0.5), _b(0.375), _c(0.875), species="AABB", also="b4"),
    _face("natl", 227, _O, _QUARTER, _HALF, _THREE_QUARTERS, species="AABB", also="b32"),
    Prototype(
        "L1_0",
        123,
        ((0.5, -0.5, 0), (0.5, 0.5, 0), (0, 0, 1)),
        (_O, _HALF),
        ((1, 1, 0), (-1, 1, 0), (0, 0, 1)),
        synonyms=("l10", "cuau"),
        species="AB",
    ),
    _simple(
        "L1_2", 221, 1, (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0), _O, species="AAAB", also="l12 cu3au"
    ),
    _face("D0_3", 225, _QUARTER, _HALF, _THREE_QUARTERS, _O, species="AAAB", also="d03 bif3"),
    _hexagonal(
        "D0_19",
        194,
        _HCP / 2,
        *_kagome(5 / 6, 0.25),
        *_kagome(1 / 6, 0.75),
        _b(0.25),
        _c(0.75),
        species="AAAAAABB",
        also="d019 ni3sn",
    ),
    _simple("cr3si", 223, 1, (0.25, 0, 0.5), _O, species="AB", reach=1.25, setting=1),
    _face("fluorite", 225, _O, _QUARTER, _THREE_QUARTERS, species="ABB", also="c1 caf2"),
    _simple("rutile", 136, 0.644, _O, (0.305, 0.305, 0), species="AB", setting=1, also="c4"),
    # the ideal β form
    _face("cristobalite", 227, _EIGHTH, _O, species="AB", setting=2, also="c9 beta-cristobalite"),
    _hexagonal("alb2", 191, 1.08, _a(0), _b(0.5), _c(0.5), species="ABB", also="c32"),
    _face("laves-c15", 227, _EIGHTH, _HALF, species="AB", reach=1.2, setting=2, also="c15 mgcu2"),
    _body("mosi2", 139, (1, 2.45), _O, (1 / 3, 1 / 3, 0), (2 / 3, 2 / 3, 0), species="ABB", also="c11b"),
)

PROTOTYPES: dict[str, Prototype] = {one.name: one for one in (*_ELEMENTS, *_COMPOUNDS)}
