"""Pseudopotentials and other files that labels depend on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ase.data import chemical_symbols

from ase_mlsample.references.failures import SetupFailure

__all__ = ["content_hash", "element_of", "pseudopotential_files"]

# what files say of their element: UPF 2, UPF 1, PAW XML, POTCAR; others begin with the nuclear charge
_SYMBOL = re.compile(
    r"""<PP_HEADER[^>]*?\belement\s*=\s*["']\s*([A-Z][a-z]?)\s*["']|^\s*([A-Z][a-z]?)\s+Element\s*$"""
    r"""|<atom\s[^>]*?\bsymbol\s*=\s*["']\s*([A-Z][a-z]?)\s*["']|^\s*VRHFIN\s*=\s*([A-Z][a-z]?)\s*:""",
    re.MULTILINE,
)
_CHARGE = re.compile(r"\A.*\n\s*(\d+)(?:\.0*)?\s+\d[\d.]*.*\b(?:zatom|pspd|zion)", re.IGNORECASE)


def pseudopotential_files(
    code: str,
    *,
    folder: str | Path | None,
    names: Mapping[str, str] | None,
    elements: Sequence[str] | None,
) -> dict[str, Path]:
    """Files by element, which all exist.

    Parameters
    ----------
    code : for messages.
    folder : where they are.
    names : file in the folder of each element.
    elements : that must be there.

    Raises
    ------
    SetupFailure
        Naming the folder, the file or the element that is not there, or a file of another element. Codes are
        not asked: some take a file of the same name from elsewhere, or one of another element, without a
        word.
    """
    if folder is None:
        raise SetupFailure(f"{code}: give pseudo_dir, the folder of the pseudopotentials")
    place = Path(folder).expanduser().resolve()
    if not place.is_dir():
        raise SetupFailure(f"{code}: pseudo_dir {str(place)!r} is not a folder")
    if not names:
        raise SetupFailure(f"{code}: give pseudopotentials, the file of each element, as {{Si: Si.upf}}")
    files = {symbol: place / name for symbol, name in names.items()}
    for symbol, path in files.items():
        if not path.is_file():
            raise SetupFailure(f"{code}: the pseudopotential of {symbol}, {path.name!r}, is not in {place}")
        if (found := element_of(path)) not in (None, symbol):
            raise SetupFailure(
                f"{code}: the pseudopotential of {symbol}, {names[symbol]!r} in {place}, is one of {found}; "
                "mend pseudopotentials"
            )
    without = [symbol for symbol in elements or () if symbol not in files]
    if without:
        raise SetupFailure(f"{code}: pseudopotentials names no file for {', '.join(without)}")
    return files


def element_of(path: Path) -> str | None:
    """Chemical symbol that a pseudopotential file names (UPF, PAW XML, POTCAR, psp8, gth); None if none."""
    with path.open("rb") as file:
        text = file.read(100_000).decode(errors="replace")
    if found := _SYMBOL.search(text):
        return next(symbol for symbol in found.groups() if symbol)
    if (found := _CHARGE.search(text)) and 0 < int(found.group(1)) < len(chemical_symbols):
        return str(chemical_symbols[int(found.group(1))])
    return None


def content_hash(files: Iterable[Path]) -> str:
    """Twelve hexadecimal digits of names and contents of files, in any order."""
    return _content_hash(tuple(sorted({(str(path), path.stat().st_mtime_ns) for path in files})))


@lru_cache(maxsize=8)
def _content_hash(files: tuple[tuple[str, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted((Path(path).name, Path(path).read_bytes()) for path, _ in files):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]
