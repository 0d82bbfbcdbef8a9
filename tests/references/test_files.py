import pytest

from ase_mlsample.references.espresso_code import SHIPPED
from ase_mlsample.references.failures import SetupFailure
from ase_mlsample.references.files import content_hash, element_of, pseudopotential_files

# beginnings of files as the formats' own writers make them
KNOWN = {
    "UPF 2": '<PP_INFO>\n Author: x\n</PP_INFO>\n<PP_HEADER\n generated="y"\n element="{}"',
    "UPF 2, padded": '<UPF version="2.0.1">\n<PP_HEADER generated="y" element="{} " pseudo_type="NC"/>',
    "UPF 1": "<PP_HEADER>\n   0                   Version Number\n  {}                   Element\n   NC\n",
    "PAW XML": '<?xml version="1.0"?>\n<paw_setup version="0.5">\n<atom symbol="{}" Z="14.00"/>\n',
    "POTCAR": "  PAW_PBE {0} 05Jan2001\n   4.0\n parameters from PSCTR are:\n   VRHFIN ={0}: s2p2\n",
}


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("symbol", ["Si", "U"])
def test_the_element_that_a_file_names(tmp_path, kind, symbol):
    (tmp_path / "x").write_text(KNOWN[kind].format(symbol))
    assert element_of(tmp_path / "x") == symbol


def test_the_element_of_files_that_begin_with_the_nuclear_charge(tmp_path):
    (tmp_path / "x").write_text("Si ONCVPSP r_core= 1.6\n 14.0000  4.0000  170510    zatom,zion,pspd\n")
    assert element_of(tmp_path / "x") == "Si"
    assert {path.stem: element_of(path) for path in SHIPPED.glob("*.gth")} == {
        "Si": "Si",
        "Al": "Al",
        "Sn": "Sn",
    }


def test_other_files_name_none(tmp_path):
    for text in (
        "",
        "silicon",
        "Si\n14.5 4 zatom,zion\n",
        "x\n0 0 zatom, zion\n",
        "element of surprise\n14 4\n",
    ):
        (tmp_path / "x").write_text(text)
        assert element_of(tmp_path / "x") is None


def test_a_file_of_another_element_is_refused(tmp_path):
    (tmp_path / "A.upf").write_text(KNOWN["UPF 2"].format("Al"))
    settings = {"folder": tmp_path, "elements": None}
    assert pseudopotential_files("x", names={"Al": "A.upf"}, **settings) == {"Al": tmp_path / "A.upf"}
    with pytest.raises(SetupFailure, match=r"x: the pseudopotential of Si, 'A.upf' in .*, is one of Al"):
        pseudopotential_files("x", names={"Si": "A.upf"}, **settings)


def test_the_hash_follows_names_and_contents(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    assert content_hash([one, two]) == content_hash([two, one, one]) != content_hash([one])
