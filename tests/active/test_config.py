from copy import deepcopy

import pytest

from ase_mlsample.active.config import ReferenceSettings, RunConfig
from ase_mlsample.active.config_file import differences, dump_config, read_config

TEXT = """
name: {name}
directory: runs/x
seed: 7
elements: [Si]
reference: {{factory: 'ase_mlsample.calculators:StillingerWeber', max_force: 2e1}}
model: {{members: 3}}
training: {{learning_rate: 1e-3}}
initial:
  - sampler: RandomDisorder
    n: 5
    composition: Si
    density: [2.0, 2.6]
    transforms: [{{transform: Rattle, amplitude: 0.1}}]
explore:
  start:
    - {{sampler: RandomDisorder, composition: Si, density: [2.0, 2.6]}}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(TEXT.format(name="No"))
    return path


def complaint(path, *overrides):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the text is looked at by each test)
        read_config(path, overrides=overrides)
    return str(error.value)


def test_yaml_1_2(path):
    config = read_config(path)
    assert config.name == "No"
    assert config.training.learning_rate == 1e-3
    assert config.reference.max_force == 20.0
    assert config.model.type == "ani"
    assert config.initial[0].arguments == {"composition": "Si", "density": [2.0, 2.6]}


def test_resolved_file_is_the_same_configuration(path, tmp_path):
    config = read_config(path)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_config(config))
    assert read_config(resolved) == config


@pytest.mark.parametrize(
    "model", ["{}", "{aev: {preset: element}}", "{aev: {radial_cutoff: 5.0, angular_cutoff: 3.5}}"]
)
@pytest.mark.parametrize("mode", ["python", "json"])
def test_dumped_values_are_the_same_configuration(path, model, mode):
    config = read_config(path, overrides=[f"model={model}"])
    assert RunConfig.model_validate(config.model_dump(mode=mode)) == config


def test_overrides(path):
    config = read_config(
        path, overrides=["stop.max_generations=9", "initial.0.n=2", "executors={workers: 2}"]
    )
    assert (config.stop.max_generations, config.initial[0].n, config.executors.workers) == (9, 2, 2)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("selecton=1", ["unknown key 'selecton'", "did you mean 'selection'"]),
        ("selection.bach=1", ["'selection.bach'", "did you mean 'batch'"]),
        ("reference.max_forces=1", ["'reference.max_forces'", "did you mean 'max_force'"]),
        ("model.member=1", ["model", "did you mean 'members'"]),
        ("model.aev.radial_cut=4.0", ["model.aev", "did you mean 'radial_cutoff'"]),
        ("training.epoch=1", ["training", "did you mean 'epochs'"]),
        ("elements=[Sj]", ["elements", "'Sj' is not the symbol"]),
        ("elements=[Si, Si]", ["repeated"]),
        ("elements=[C]", ["reference", "StillingerWeber cannot compute C"]),
        ("reference={factory: 'ase.calculators.emt:EMT'}", ["reference", "EMT cannot compute Si"]),
        ("seed=-1", ["seed"]),
        ("stop.max_generations=2.5", ["stop.max_generations"]),
        ("selection={lo: 1.0, hi: 0.5}", ["lo = 1.0 must be below hi = 0.5"]),
        ("model.type=mace", ["model", "'mace'"]),
        ("initial.0.sampler=RandomDisorders", ["initial.0", "did you mean 'RandomDisorder'"]),
        ("initial.0.densiti=[2, 3]", ["initial.0", "densiti"]),
        ("initial.0.density=[9.0, 9.9]", ["initial.0", "density"]),
        ("initial.0.composition=Ge", ["initial.0", "Ge", "elements"]),
        ("explore.dynamics={timestep: 1.0}", ["explore.dynamics", "timestep"]),
        ("explore.dynamics={keep_every: 2}", ["explore.dynamics", "keep_every", "selection.audit"]),
        ("selection.audit=-1", ["selection.audit"]),
        ("selection.measure=relativ", ["selection.measure", "'relative'"]),
        ("selection.measure=relative", ["selection", "give level"]),
        ("selection.level=1.0", ["selection", "leave level out"]),
        ("explore.dynamics=[]", ["explore.dynamics", "at least 1"]),
        ("explore.dynamics={explorer: RampedMDs}", ["explore.dynamics", "did you mean 'RampedMD'"]),
        ("explore.dynamics={explorer: Guards}", ["explore.dynamics", "Guards"]),
        ("explore.dynamics={weight: 0}", ["explore.dynamics.weight", "greater than 0"]),
        ("explore.dynamics=[{}, {timestep: 1.0}]", ["explore.dynamics.1", "timestep"]),
        ("explore.dynamics={guards: {max_step: 1}}", ["explore.dynamics", "explore.limits"]),
        ("explore.dynamics={uncertainty_bias: {width: 1}}", ["explore.dynamics.uncertainty_bias.height_eV"]),
        (
            "explore.dynamics=[{uncertainty_bias: {height_eV: 1, widht: 1}}]",
            ["explore.dynamics.0.uncertainty_bias.widht", "did you mean 'width'"],
        ),
        (
            "explore.dynamics={uncertainty_bias: {height_eV: 1, width: -1}}",
            ["explore.dynamics.uncertainty_bias.width"],
        ),
        ("explore.limits={max_stp: 0.3}", ["explore.limits", "max_stp"]),
        ("explore.limits={max_step: -0.3}", ["explore.limits", "max_step"]),
        ("explore.start.0.limits={max_step: -0.3}", ["explore.start.0.limits", "max_step"]),
        ("initial.0.limits={max_step: 0.3}", ["initial.0", "limits"]),
        ("initial.0.filters=[{filter: Densiti}]", ["initial.0", "did you mean 'Density'"]),
        ("initial.0.filters=[{window: [1, 2]}]", ["initial.0.filters.0", "transform"]),
        (
            "initial.0.transforms=[{filter: Density, window: [8, 9]}]",
            ["initial.0", "density below the window"],
        ),
        ("explore.dynamics={gate: 1.0}", ["explore.dynamics", "selection.lo"]),
        ("reference.factory=nothing", ["'module:factory'"]),
        ("reference.factory=no_such_module:f", ["no_such_module", "cannot be imported"]),
        ("reference.factory=ase.calculators.emt:EMTT", ["has no 'EMTT'"]),
        ("reference.factory=active_toy:not_callable", ["int"]),
        ("reference.factory=__main__:f", ["__main__"]),
        ("reference.kwargs={lamda: 3}", ["reference", "lamda"]),
        ("testset=absent.extxyz", ["testset", "absent.extxyz", "mlsample testset"]),
        ("initial.3.n=1", ["no item of a list of 1"]),
        ("name.x=1", ["plain value"]),
        ("nonsense", ["section.key=value"]),
        ("name=[1", ["not valid YAML"]),
    ],
)
def test_bad_input_is_named(path, override, parts):
    text = complaint(path, override)
    assert [part for part in parts if part not in text] == [], text


@pytest.mark.parametrize(
    "dynamics",
    [
        "{}",
        "{timestep_fs: 2.0, uncertainty_bias: {height_eV: 2.0, width: 0.1}}",
        "[{weight: 3}, {explorer: 'ase_mlsample.dynamics:RampedMD', temperature_K: [300, 400]}]",
    ],
)
def test_one_explorer_or_several(path, tmp_path, dynamics):
    config = read_config(path, overrides=[f"explore.dynamics={dynamics}", "explore.limits={max_step: 0.4}"])
    assert {explorer.explorer.rpartition(":")[2] for explorer in config.explore.explorers} == {"RampedMD"}
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_config(config))
    assert read_config(resolved) == config


def test_every_problem_is_listed(path):
    text = complaint(path, "elements=[Sj]", "seed=-1", "selection.bach=2")
    assert all(part in text for part in ("elements", "seed", "selection.bach"))


def test_broken_files(tmp_path):
    path = tmp_path / "x.yaml"
    with pytest.raises(FileNotFoundError):
        read_config(path)
    path.write_text("a: [1\n")
    assert "not valid YAML" in complaint(path)
    path.write_text("just text")
    assert "mapping" in complaint(path)


def test_nothing_is_written_by_checking(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read_config(path)
    assert list(tmp_path.iterdir()) == [path]


def test_factories_must_have_a_name():
    assert ReferenceSettings(factory=read_config).factory == "ase_mlsample.active.config_file:read_config"
    with pytest.raises(ValueError, match="lambda"):
        ReferenceSettings(factory=lambda: None)

    def inside():
        return None

    with pytest.raises(ValueError, match="inside a function"):
        ReferenceSettings(factory=inside)
    inside.__module__, inside.__qualname__ = "__main__", "inside"
    with pytest.raises(ValueError, match="__main__"):
        ReferenceSettings(factory=inside)


def test_differences_name_paths():
    old = {"a": {"b": 1, "c": [1, {"d": 2}]}, "e": 5}
    new = deepcopy(old)
    new["a"]["c"][1]["d"] = 3
    new["f"] = True
    assert differences(old, new) == ["a.c.1.d: 2 before, 3 now", "f: None before, True now"]
    assert differences(old, old) == []
