import pytest

from ase_mlsample.cli.settings_file import read_settings
from ase_mlsample.validation.held_out import HeldOutSettings

GOOD = """
reference: {factory: 'ase.calculators.emt:EMT'}
symbol: Al
seed: 3
crystals: {prototypes: [fcc], rattle_A: [1e-2, 0.1]}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "set.yaml"

    def write(text):
        path.write_text(text)
        return path

    return write


def test_reads_yaml_1_2(file):
    settings = read_settings(file(GOOD.replace("Al", "No")), HeldOutSettings)
    assert settings.symbol == "No"  # nobelium, not false
    assert settings.crystals.rattle_A == (0.01, 0.1)


def test_replacements_take_the_place_of_the_files_values(file):
    settings = read_settings(
        file(GOOD), HeldOutSettings, {"seed": 9, "crystals.frames": 2, "liquid.frames": 2}
    )
    assert (settings.seed, settings.crystals.frames, settings.liquid) == (9, 2, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "sede: 4", r"unknown key 'sede'; did you mean 'seed'\?"),
        (
            GOOD.replace("prototypes", "strane: 0.1, prototypes"),
            r"unknown key 'crystals.strane'; did you mean 'strain'\?",
        ),
        (GOOD.replace("seed: 3", "seed: x"), "seed: "),
        (GOOD.replace("seed: 3", ""), "seed: Field required"),
        (GOOD.replace("1e-2, 0.1", "0.2, 0.1"), "increasing range"),
        ("reference: {factory: a}\nsymbol: Al\nseed: 1", "needs `crystals`, `liquid` or both"),
        ("- a\n- b", "must be a mapping of settings, not list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_files_are_named_with_the_problem(file, text, message):
    path = file(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(path, HeldOutSettings)
    assert str(path) in str(caught.value)
