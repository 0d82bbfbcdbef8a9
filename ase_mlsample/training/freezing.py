"""Names of the networks' parameters, and which of them a training leaves alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ase_mlsample.training.evaluation import Networks
from ase_mlsample.training.expanded import ExpandedNetworks

__all__ = ["freeze", "parameter_counts", "parameter_names"]

_ALTERNATE = "alternate"
_KINDS = {"weights": "weight", "biases": "bias", "timesteps": "timestep"}


@dataclass(frozen=True, slots=True)
class _Part:
    """A parameter: its network ("Si", or "embedding.Si.O"), layer and kind, and the network's layers."""

    network: tuple[str, ...]
    layer: int
    kind: str
    depth: int

    def words(self, layer: int) -> tuple[str, ...]:
        return (*self.network, "layers", str(layer), self.kind)

    def matches(self, pattern: str) -> bool:
        if pattern == _ALTERNATE:
            # a Deep Potential's embedding is to its fitting network what the AEV is to an ANI network
            is_descriptor = self.network[0] == "embedding"
            return is_descriptor or (self.layer % 2 == 0 and self.layer < self.depth - 1)
        for layer in (self.layer, self.layer - self.depth):
            words = self.words(layer)
            # a part of the name will do, if it begins within that of the network or with the layer
            starts = range(len(self.network) + 1)
            ends = range(1, len(words) + 1)
            if any(fnmatchcase(".".join(words[a:b]), pattern) for a in starts for b in ends if b > a):
                return True
        return False


def parameter_names(networks: Networks) -> tuple[str, ...]:
    """Names such as "Si.layers.0.weight", in the order of ``networks.parameters()``.

    Those of Deep Potentials are such as "embedding.Si.O.layers.0.bias" and "fitting.Si.layers.1.timestep".
    """
    return tuple(".".join(part.words(part.layer)) for part in _parts(networks))


def _parts(networks: Networks) -> list[_Part]:
    if isinstance(networks, ExpandedNetworks):
        return _parts_of_deep_potentials(networks)
    parts = []
    for name, _ in networks.named_parameters():
        _, element, kind, layer = name.split(".")  # elements.0.weights.1
        symbol = networks.symbols[int(element)]
        parts.append(_Part((symbol,), int(layer), _KINDS[kind], len(networks.hidden[symbol]) + 1))
    return parts


def _parts_of_deep_potentials(networks: ExpandedNetworks) -> list[_Part]:
    p = networks.networks.definition
    known = {
        "embeddings": ("embedding", p.embedding_keys, len(p.embedding)),
        "fittings": ("fitting", tuple((symbol,) for symbol in p.symbols), len(p.fitting) + 1),
    }
    parts = []
    for name, _ in networks.named_parameters():
        _, group, number, kind, layer = name.split(".")  # networks.fittings.0.weights.1
        prefix, keys, depth = known[group]
        parts.append(_Part((prefix, *keys[int(number)]), int(layer), _KINDS[kind], depth))
    return parts


def freeze(networks: Networks, patterns: Sequence[str]) -> None:
    """Take the parameters that match any of the patterns out of training (``requires_grad`` off).

    Raises
    ------
    ValueError
        If a pattern matches nothing, or nothing is left to train.
    """
    parts = _parts(networks)
    matches = {pattern: [part.matches(pattern) for part in parts] for pattern in patterns}
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


def parameter_counts(networks: Networks) -> tuple[int, int]:
    """How many numbers of each member are trained, and how many there are."""
    sizes = [(p.numel() // networks.n_members, p.requires_grad) for p in networks.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
