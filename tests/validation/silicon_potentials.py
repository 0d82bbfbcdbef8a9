"""Potentials for the tests: a small ensemble around Stillinger–Weber silicon, and a soft one."""

from ase_mlsample.calculators import Committee, StillingerWeber


def silicon_committee() -> Committee:
    return Committee([StillingerWeber(), StillingerWeber(lambda_=20.0), StillingerWeber(epsilon=2.2)])


def soft_silicon() -> StillingerWeber:
    """Without much to keep bonds at their angles: β-tin and diamond are not both stable."""
    return StillingerWeber(lambda_=1.0)
