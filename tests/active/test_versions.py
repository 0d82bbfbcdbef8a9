import platform

import ase
import numpy as np

from ase_mlsample.active.versions import installed_versions


def test_versions_are_those_that_run():
    versions = installed_versions()
    assert versions["python"] == platform.python_version()
    assert versions["ase"] == ase.__version__
    assert versions["numpy"] == np.__version__
    assert "ase-mlsample" in versions
