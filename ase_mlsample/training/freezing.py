"""Names of the networks' parameters, and which of them a training leaves alone."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["freeze", "parameter_counts", "parameter_names"]

_ALTERNATE = "alternate"
_KINDS = {"weights": "weight", "biases": "bias"}


def parameter_names(networks: MemberNetworks) -> tuple[str, ...]:
    """Names such as "Si.layers.0.weight", in the order of ``networks.parameters()``."""
    return tuple(".".join(map(str, parts)) for parts in _parts(networks))


def _parts(networks: MemberNetworks) -> list[tuple[str, str, int, str]]:
    """Element, "layers", number and kind of every parameter."""
    parts = []
    for name, _ in networks.named_parameters():
        _, element, kind, layer = name.split(".")  # elements.0.weights.1
        parts.append((networks.symbols[int(element)], "layers", int(layer), _KINDS[kind]))
    return parts


def freeze(networks: MemberNetworks, patterns: Sequence[str]) -> None:
    """Take the parameters that match any of the patterns out of training (``requires_grad`` off).

    Raises
    ------
    ValueError
        If a pattern matches nothing, or nothing is left to train.
    """
    depth = {symbol: len(widths) + 1 for symbol, widths in networks.hidden.items()}
    parts = _parts(networks)
    matches = {pattern: [_matches(part, pattern, depth[part[0]]) for part in parts] for pattern in patterns}
    for pattern, found in matches.items():
        if not any(found) and pattern != _ALTERNATE:
            raise ValueError(
                f"freeze: nothing is called {pattern!r}; parameters are "
                f"{', '.join(parameter_names(networks))}; a part of a name will do ('layers.0', 'layers.-1' "
                "for the last, '*.bias'), or 'alternate'"
            )
    for k, parameter in enumerate(networks.parameters()):
        parameter.requires_grad_(not any(found[k] for found in matches.values()))
    if not any(parameter.requires_grad for parameter in networks.parameters()):
        raise ValueError(f"freeze {list(patterns)} leaves no parameter to train; name fewer layers")


def _matches(part: tuple[str, str, int, str], pattern: str, depth: int) -> bool:
    symbol, layers, number, kind = part
    if pattern == _ALTERNATE:
        return number % 2 == 0 and number < depth - 1
    for layer in (number, number - depth):
        words = (symbol, layers, str(layer), kind)
        ends = range(1, len(words) + 1)
        if any(fnmatchcase(".".join(words[a:b]), pattern) for a in (0, 1) for b in ends if b > a):
            return True
    return False


def parameter_counts(networks: MemberNetworks) -> tuple[int, int]:
    """How many numbers of each member are trained, and how many there are."""
    sizes = [(p.numel() // networks.n_members, p.requires_grad) for p in networks.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
