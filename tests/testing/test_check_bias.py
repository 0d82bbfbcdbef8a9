"""The bias check finds what is wrong."""

import numpy as np
import pytest

from ase_mlsample.biases import HarmonicRestraint, MetadynamicsBias
from ase_mlsample.testing import ContractError, check_bias

POINTS = np.random.default_rng(0).uniform(-1, 1, (4, 1))


class Wrong(HarmonicRestraint):
    def __init__(self, center=0.0, kappa=1.0, *, domains=None):
        super().__init__(center, kappa, domains=domains)


class WrongGradient(Wrong):
    def potential(self, s):
        value, gradient = super().potential(s)
        return value, 1.001 * gradient


class WrongTogether(Wrong):
    def potential(self, s):
        value, gradient = super().potential(s)
        return value + (0.1 if np.ndim(s) == 2 else 0.0), gradient


class AsksChange(Wrong):
    asked = 0

    def potential(self, s):
        self.asked += 1
        return super().potential(s)

    def _state(self):
        return {"asked": self.asked}


class ChangesSilently(Wrong):
    def update(self, s, step):
        if step > 0:
            self.kappa = self.kappa * 1.01
        return False


class ActsAtStep0(Wrong):
    def update(self, s, step):
        return step == 0


class LetsNaNThrough(Wrong):
    def _points(self, s):
        return np.asarray(s, dtype=float)


class Forgets(MetadynamicsBias):
    def _load_state(self, state):
        self.n_hills = state["n_hills"]


class TakesAnything(Wrong):
    def load_state_dict(self, state):
        pass


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (WrongGradient(), "dV/ds of variable 0"),
        (WrongTogether(), "alone and among others"),
        (AsksChange(), "asking for V"),
        (ChangesSilently(), "update said no"),
        (ActsAtStep0(), "step 0"),
        (LetsNaNThrough(), "NaN of one walker is let through|not finite"),
        (TakesAnything(), "of another class"),
        (Forgets(kT=1.0, sigma=0.2, height=1.0, bias_factor=5, pace=2), "set back by its state: state: grid"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_finds(bias, message):
    with pytest.raises(ContractError, match=message):
        check_bias(bias, POINTS, steps=10)


def test_points():
    with pytest.raises(ContractError, match="at least two points"):
        check_bias(Wrong(), [[0.0]])
    with pytest.raises(ContractError, match="n_cvs is 1"):
        check_bias(Wrong(), [[0.0, 1.0]] * 2)
