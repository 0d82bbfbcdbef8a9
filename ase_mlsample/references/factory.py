"""Functions that make reference calculators, with what a labelling loop must know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Protocol

from ase.calculators.calculator import Calculator

from ase_mlsample.references.settings import Accuracy

__all__ = ["ReferenceFactory", "reference_factory"]

P = ParamSpec("P")


class _Version(Protocol):
    def __call__(self, **kwargs: Any) -> str: ...


class ReferenceFactory(Generic[P]):
    """A function that makes a reference calculator, and its properties; called like the function.

    Attributes
    ----------
    gentler : keyword arguments that take the place of the given ones at the first, second … repetition of a
        label that did not converge. They change how self-consistency is reached, never what is computed.
    ready : accuracy of its ready settings by element.
    install : command that installs the code.
    """

    __name__: str
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, Calculator],
        *,
        version: _Version,
        install: str,
        gentler: tuple[dict[str, Any], ...],
        ready: Mapping[str, Accuracy],
    ) -> None:
        update_wrapper(self, function)
        self._function = function
        self._version = version
        self.install = install
        self.gentler = gentler
        self.ready = ready

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Calculator:
        """Make the calculator."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<reference factory {self.__module__}:{self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by name, as functions are

    def version(self, **kwargs: Any) -> str:
        """Version of the code and hash of its pseudopotentials' content, for these keyword arguments.

        Raises
        ------
        SetupFailure
            The code is not installed, or a pseudopotential is missing.
        """
        return self._version(**kwargs)


def reference_factory(
    *,
    version: _Version,
    install: str,
    gentler: tuple[dict[str, Any], ...] = (),
    ready: Mapping[str, Accuracy] | None = None,
) -> Callable[[Callable[P, Calculator]], ReferenceFactory[P]]:
    """Decorate the function that makes a calculator; see `ReferenceFactory` for the arguments."""

    def decorate(function: Callable[P, Calculator]) -> ReferenceFactory[P]:
        return ReferenceFactory(
            function, version=version, install=install, gentler=gentler, ready=ready or {}
        )

    return decorate
