import sys
import types

import pytest

from ase_mlsample import __version__, cli


def verb(monkeypatch, error=None, status=0):
    """A verb `status` that raises `error` or returns `status`."""
    module = types.ModuleType("ase_mlsample.cli.status")
    module.__doc__ = "Say how it stands."
    module.EXAMPLE = "mlsample status runs/silicon"
    module.add_arguments = lambda parser: parser.add_argument("path")

    def run(args):
        if error is not None:
            raise error
        return status

    module.run = run
    monkeypatch.setitem(sys.modules, "ase_mlsample.cli.status", module)


def test_overview_lists_every_verb_and_imports_none(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name}" in out for name in cli.VERBS)


def test_no_verb_is_bad_input(capsys):
    assert cli.main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mlsample {__version__}\n"


def test_unknown_verb_names_the_nearest(capsys):
    assert cli.main(["smaple"]) == 2
    assert "did you mean `sample`?" in capsys.readouterr().err


def test_help_shows_docstring_and_example(monkeypatch, capsys):
    verb(monkeypatch)
    assert cli.main(["status", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Say how it stands." in out
    assert "mlsample status runs/silicon" in out


def test_wrong_arguments_are_bad_input(monkeypatch, capsys):
    verb(monkeypatch)
    assert cli.main(["status", "a", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_the_verbs_own_status_is_returned(monkeypatch, status):
    verb(monkeypatch, status=status)
    assert cli.main(["status", "a"]) == status


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("density 99\n is too high"), 2, "mlsample: density 99 is too high\n"),
        (KeyError("unknown sampler 'x'"), 2, "mlsample: unknown sampler 'x'\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.yaml"),
            2,
            "mlsample: x.yaml: No such file or directory\n",
        ),
        (FileNotFoundError("no run in x"), 2, "mlsample: no run in x\n"),
        (RuntimeError("the reference failed"), 1, "mlsample: the reference failed\n"),
        (AttributeError("no foo"), 1, "mlsample: AttributeError: no foo (--debug shows where)\n"),
        (RuntimeError(), 1, "mlsample: RuntimeError: (--debug shows where)\n"),
        (KeyboardInterrupt(), 130, "mlsample: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_a_status(monkeypatch, capsys, error, status, line):
    verb(monkeypatch, error)
    assert cli.main(["status", "a"]) == status
    assert capsys.readouterr().err == line


def test_settings_that_do_not_validate_are_one_line(monkeypatch, capsys):
    from ase_mlsample.validation.liquid import LiquidSettings

    with pytest.raises(ValueError, match="density") as caught:
        LiquidSettings(temperature_K=(1, 2), density=(3, -2))
    verb(monkeypatch, caught.value)
    assert cli.main(["status", "a"]) == 2
    assert capsys.readouterr().err == "mlsample: density.1: Input should be greater than 0\n"


def test_debug_shows_the_traceback(monkeypatch, capsys):
    verb(monkeypatch, ValueError("here"))
    assert cli.main(["status", "a", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
