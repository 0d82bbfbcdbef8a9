"""Maps in notebooks; what chemiscope makes of them is looked at where it is installed."""

import json
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from ase_mlsample.gui import open_notebook
from ase_mlsample.gui.ase_viewers import view_mlsample_notebook
from ase_mlsample.gui.notebook import notebook_input
from ase_mlsample.training import Dataset
from tests.gui.frames import bare, biased, coloured

CHEMISCOPE = "structures in notebooks need chemiscope: pip install 'ase-mlsample[notebook]'"


@pytest.fixture
def run(tmp_path):
    """The folder of a run with two generations of candidates and their trust window."""
    folder = tmp_path / "silicon"
    (folder / "candidates").mkdir(parents=True)
    for generation in (1, 2):
        frames = [coloured(), coloured()]
        for k, atoms in enumerate(frames):
            atoms.calc = None
            atoms.arrays["force_sigma"] = atoms.arrays["force_sigma"] * (k + generation)
            atoms.info |= {"generation": generation, "source": f"sampler {k}", "trust": "candidate"}
        write(folder / "candidates" / f"000{generation}.extxyz", frames)
    select = {"measure": "force", "lo": 0.4, "hi": 3.2}
    (folder / "summary.json").write_text(json.dumps({"generations": [{"generation": 2, "select": select}]}))
    return folder


def values(content, name):
    return list(content["properties"][name]["values"])


def test_a_run_is_a_map_of_disagreement_by_generation(run):
    content = notebook_input(run)
    assert content["metadata"] == {"name": "silicon"}
    assert len(content["structures"]) == 4
    assert values(content, "generation") == [1, 1, 2, 2]
    assert values(content, "source") == ["sampler 0", "sampler 1"] * 2
    assert values(content, "force_sigma_max") == pytest.approx([0.8, 1.6, 1.6, 2.4])
    on_map = content["settings"]["map"]
    assert (on_map["x"]["property"], on_map["color"]["property"]) == ("force_sigma_max", "generation")
    assert content["structures"][3].info["trust_lo"] == 0.4
    assert "trust_lo" not in content["structures"][0].info


def test_atoms_are_coloured_on_one_scale_for_all_structures(run):
    content = notebook_input(run)
    color = content["settings"]["structure"][0]["color"]
    assert color["property"] == "force_sigma"
    assert (color["min"], color["max"]) == pytest.approx((0.1, 2.4))
    assert len(values(content, "force_sigma")) == len(content["environments"]) == 32


def test_it_begins_where_colours_differ_and_has_none_where_they_never_do():
    frames = [coloured(), coloured()]
    frames[0].arrays["force_sigma"][:] = 0.0
    assert notebook_input(frames)["settings"]["pinned"] == [1]
    settings = notebook_input(frames[:1])["settings"]
    assert settings["pinned"] == [0]
    assert "color" not in settings["structure"][0]


def test_a_trajectory_goes_along_its_time():
    content = notebook_input([biased(k) for k in range(3)])
    on_map = content["settings"]["map"]
    assert [on_map[key]["property"] for key in ("x", "y", "color")] == ["time_fs", "order", "force_sigma_max"]
    assert on_map["joinPoints"]
    assert values(content, "order") == pytest.approx([1, 0.9, 0.8])
    assert content["properties"]["energy"]["units"] == "eV/atom"


def test_a_data_set_with_sources():
    frames = []
    for k, source in enumerate(("a", "b")):
        atoms = bulk("Si", cubic=True)
        atoms.info |= {"REF_energy": -40.0 - k, "source": source}
        frames.append(atoms)
    content = notebook_input(Dataset(frames))
    assert values(content, "REF_energy") == pytest.approx([-5.0, -5.125])
    assert values(content, "source") == ["a", "b"]
    assert values(content, "volume") == pytest.approx([5.43**3 / 8] * 2)
    on_map = content["settings"]["map"]
    assert [on_map[key]["property"] for key in ("x", "y", "color")] == ["volume", "REF_energy", "source"]
    assert "color" not in content["settings"]["structure"][0]
    assert "environments" not in content


def test_what_some_frames_lack_is_missing_there_alone():
    content = notebook_input([bare(), coloured()])
    assert np.isnan(values(content, "force_sigma_max")[0])
    assert values(content, "force_sigma_max")[1] == pytest.approx(0.8)
    assert content["settings"]["pinned"] == [1]  # the first that is on the map
    assert "force_sigma" not in content["properties"]
    assert values(content, "atoms") == [2, 8]


def test_axes_by_name():
    frames = [biased(k) for k in range(3)]
    for atoms in frames:
        atoms.arrays["order"] = np.linspace(0, 1, 8)
        atoms.info["source"] = "a run"
    content = notebook_input(frames, x="order", y="bias", color="energy_std", atom_color="order")
    on_map = content["settings"]["map"]
    assert [on_map[key]["property"] for key in ("x", "y", "color")] == ["order", "bias", "energy_std"]
    assert content["settings"]["structure"][0]["color"]["property"] == "order"
    assert notebook_input(frames, x="source")["settings"]["pinned"] == [0]  # words may be an axis, too
    for wrong in ({"x": "nothing"}, {"atom_color": "nothing"}):
        with pytest.raises(ValueError, match="no property 'nothing' is known"):
            notebook_input(frames, **wrong)


def test_what_cannot_be_shown(tmp_path):
    with pytest.raises(ValueError, match="no structures"):
        notebook_input([])
    with pytest.raises(FileNotFoundError, match="neither a run"):
        notebook_input(tmp_path / "x")
    with pytest.raises(ValueError, match="repeated cells"):
        view_mlsample_notebook(bare(), repeat=(2, 2, 2))


def test_the_extra_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "chemiscope", None)
    with pytest.raises(ImportError, match=r"pip install 'ase-mlsample\[notebook\]'"):
        open_notebook(bare())


def test_the_file_that_chemiscope_writes(run, tmp_path):
    chemiscope = pytest.importorskip("chemiscope", reason=CHEMISCOPE)
    chemiscope.write_input(str(tmp_path / "map.json"), **notebook_input(run))
    content = json.loads((tmp_path / "map.json").read_text())
    assert content["meta"]["name"] == "silicon"
    assert [structure["size"] for structure in content["structures"]] == [8] * 4
    assert content["structures"][0]["cell"] == pytest.approx(np.ravel(coloured().cell.array).tolist())
    sigma = content["properties"]["force_sigma"]
    assert (sigma["target"], sigma["units"], len(sigma["values"])) == ("atom", "eV/Å", 32)
    assert sigma["values"][-1] == pytest.approx(2.4)
    assert content["properties"]["source"]["values"] == ["sampler 0", "sampler 1"] * 2
    assert content["environments"][9] == {"structure": 1, "center": 1, "cutoff": 3.5}


def test_the_widget(run):
    made = pytest.importorskip("chemiscope.widget", reason=CHEMISCOPE).ChemiscopeWidget
    widget = open_notebook(run)
    assert isinstance(widget, made)
    assert json.loads(widget.value)["properties"]["generation"]["values"] == [1, 1, 2, 2]
    molecule = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    assert view_mlsample_notebook(molecule).settings["map"]["x"]["property"] == "frame"
