"""The bias contract: a pure function of the variables, whose history is in its state and nowhere else."""

import copy
import pickle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.base import Bias
from ase_mlsample.testing.errors import ContractError, assert_close, require

__all__ = ["check_bias"]

FloatArray = NDArray[np.float64]


def check_bias(
    bias: Bias,
    points: ArrayLike,
    *,
    steps: int = 100,
    displacement: float = 1e-5,
    tolerance: float = 1e-6,
) -> None:
    """See that a bias keeps its contract, as it is and after it was led through points.

    Copies are put through everything: the bias itself does not change and writes no file.

    Parameters
    ----------
    bias : Bias
    points : array_like (n, d)
        At least two. Away from edges where V has a kink, such as hard bounds.
    steps : int
        Updates from one round of checks to the next.
    displacement : float
        Step of the difference quotient, in units of the variables.
    tolerance : float
        Largest difference of a gradient and its difference quotient, relative to the largest gradient or 1.

    Raises
    ------
    ContractError
        If the gradient is not V's, asking changes anything, many walkers get other values than one,
        something happens at step 0, a state or copy loses something, a state of another bias is taken, or
        bad input is let through.

    Examples
    --------
    >>> from ase_mlsample import testing
    >>> from ase_mlsample.biases import HarmonicRestraint
    >>> testing.check_bias(HarmonicRestraint([0.0, 1.0], 2.0), [[0.1, 0.2], [0.3, 1.5]])
    """
    at: FloatArray = np.asarray(points, dtype=np.float64)
    require(at.ndim == 2 and len(at) >= 2, f"give at least two points (n, d), got shape {at.shape}")
    require(at.shape[1] == bias.n_cvs, f"n_cvs is {bias.n_cvs}, but points have {at.shape[1]} variables")
    name = type(bias).__name__
    twin = copy.deepcopy(bias)
    _check_start(twin, at, name)
    for what in (name, f"{name} after {steps} updates", f"{name} after {2 * steps} updates"):
        _check_values(twin, at, what)
        _check_gradient(twin, at, displacement, tolerance, what)
        _check_bad_input(twin, at, what)
        _check_state(twin, at, steps, what)
        _lead(twin, at, steps, what)


def _check_start(bias: Bias, at: FloatArray, name: str) -> None:
    before = bias.state_dict()
    require(not bias.update(at[0], 0), f"{name}: update at step 0 says that V changed")
    _require_equal(before, bias.state_dict(), f"{name}: update at step 0")


def _check_values(bias: Bias, at: FloatArray, name: str) -> None:
    before = bias.state_dict()
    many, slopes = bias.potential(at)
    require(np.shape(many) == (len(at),), f"{name}: V of {len(at)} walkers has shape {np.shape(many)}")
    require(slopes.shape == at.shape, f"{name}: gradients have shape {slopes.shape}, not {at.shape}")
    require(bool(np.isfinite(many).all() and np.isfinite(slopes).all()), f"{name}: V is not finite")
    scale = max(1.0, float(np.abs(many).max()), float(np.abs(slopes).max()))
    for k, point in enumerate(at):
        value, slope = bias.potential(point)
        require(np.shape(value) == (), f"{name}: V of one walker has shape {np.shape(value)}")
        what = f"{name}: walker {k} alone and among others"
        assert_close(value, many[k], tolerance=1e-13 * scale, what=f"{what}, V")
        assert_close(slope, slopes[k], tolerance=1e-13 * scale, what=f"{what}, gradient")
    slopes[:] = np.nan  # the caller's
    again, slopes = bias.potential(at)
    require(np.array_equal(many, again), f"{name}: V asked for again is another")
    require(bool(np.isfinite(slopes).all()), f"{name}: results share memory with the bias")
    _require_equal(before, bias.state_dict(), f"{name}: asking for V")


def _check_gradient(bias: Bias, at: FloatArray, step: float, tolerance: float, name: str) -> None:
    _, slopes = bias.potential(at)
    limit = tolerance * max(1.0, float(np.abs(slopes).max()))
    for k in range(bias.n_cvs):
        moved = np.zeros_like(at)
        moved[:, k] = step
        # five points: as exact as rounding allows
        near = bias.potential(at + moved)[0] - bias.potential(at - moved)[0]
        far = bias.potential(at + 2 * moved)[0] - bias.potential(at - 2 * moved)[0]
        quotient = (8 * near - far) / (12 * step)
        assert_close(slopes[:, k], quotient, tolerance=limit, what=f"{name}: dV/ds of variable {k}")


def _check_bad_input(bias: Bias, at: FloatArray, name: str) -> None:
    before = bias.state_dict()
    broken = at.copy()
    broken[-1, -1] = np.nan
    wrong = {
        "NaN of one walker": broken[-1],
        "NaN among walkers": broken,
        "infinity": np.where(np.isnan(broken), np.inf, broken),
        "one variable more": np.append(at, at[:, :1], axis=1),
        "a block of walkers": at[None],
    }
    for what, s in wrong.items():
        try:
            bias.potential(s)
        except ValueError as error:
            require(bool(str(error)), f"{name}: {what} is refused without a word")
        else:
            raise ContractError(f"{name}: {what} is let through")
    _require_equal(before, bias.state_dict(), f"{name}: bad input")


def _check_state(bias: Bias, at: FloatArray, steps: int, name: str) -> None:
    state = bias.state_dict()
    ahead = copy.deepcopy(bias)
    pickled = pickle.loads(pickle.dumps(bias))  # noqa: S301 (our own bytes)
    _lead(ahead, at, steps, name)
    expected, after = ahead.potential(at), ahead.state_dict()
    ahead.load_state_dict(state)
    for how, twin in {"pickled": pickled, "set back by its state": ahead}.items():
        _require_equal(state, twin.state_dict(), f"{name}, {how}")
        _require_equal(bias.potential(at), twin.potential(at), f"{name}, {how}")
        _lead(twin, at, steps, name)
        _require_equal(after, twin.state_dict(), f"{name}, {how} and led on")
        _require_equal(expected, twin.potential(at), f"{name}, {how} and led on")
    for what, wrong in {
        "of another class": state | {"class": "AnotherBias"},
        "of other settings": state | {"settings": dict(state["settings"]) | {"another": 1}},
    }.items():
        try:
            ahead.load_state_dict(wrong)
        except ValueError:
            continue
        raise ContractError(f"{name}: takes a state {what}")
    _require_equal(after, ahead.state_dict(), f"{name}: a refused state")


def _lead(bias: Bias, at: FloatArray, steps: int, name: str) -> None:
    """Update through the points in turn; V changes when update says so, and only then."""
    before, _ = bias.potential(at)
    for step in range(1, steps + 1):
        changed = bias.update(at[step % len(at)], step)
        after, _ = bias.potential(at)
        if not changed:
            require(np.array_equal(before, after), f"{name}: V changed at step {step}, update said no")
        before = after


def _require_equal(first: Any, second: Any, what: str) -> None:
    """Compare nested plain values and arrays exactly."""
    if isinstance(first, dict):
        require(
            isinstance(second, dict) and first.keys() == second.keys(),
            f"{what}: {sorted(first)} became {sorted(second) if isinstance(second, dict) else second!r}",
        )
        for key in first:
            _require_equal(first[key], second[key], f"{what}: {key}")
    elif isinstance(first, list | tuple):
        require(len(first) == len(second), f"{what}: {len(first)} entries became {len(second)}")
        for one, other in zip(first, second, strict=True):
            _require_equal(one, other, what)
    else:
        same = np.array_equal(first, second)
        require(same, f"{what} changed something that it should not: {first!r} became {second!r}")
