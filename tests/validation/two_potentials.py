"""A small ensemble for the tests of properties: Stillinger–Weber silicon and two near it."""

from ase_mlsample.calculators import Committee, StillingerWeber


def silicon_committee() -> Committee:
    return Committee([StillingerWeber(), StillingerWeber(lambda_=20.0), StillingerWeber(epsilon=2.2)])
