# A fresh machine needs two commands: make demo, make test.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NATIVE := $(shell find ase_mlsample/_core -name '*.cpp' -o -name '*.hpp' 2>/dev/null)

.PHONY: demo demo-dft dft study test slow sanitize bench docs lint clean
.DELETE_ON_ERROR:

$(VENV)/.installed: pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ase-mlsample and what it needs into $(VENV) (about two minutes the first time)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@$(PIP) -e '.[test,lint,peers,parsl,dask,notebook]'
	@touch $@

$(VENV)/.documented: $(VENV)/.installed
	@$(PIP) -e '.[docs]'
	@touch $@

examples/%_testset.extxyz: examples/%_testset.yaml | $(VENV)/.installed
	$(BIN)/mlsample testset $< --output $@ --overwrite --workers 2

demo: $(VENV)/.installed examples/silicon_testset.extxyz   ## learn a silicon potential from nothing, by active learning
	$(BIN)/mlsample run examples/silicon.yaml

demo-dft: $(VENV)/.dft examples/silicon_dft_testset.extxyz  ## the same with density-functional theory (GPAW)
	$(BIN)/mlsample run examples/silicon_dft.yaml

dft: $(VENV)/.dft          ## GPAW, built with the C++ compiler alone: no MPI, libxc or BLAS headers are needed

$(VENV)/.dft: $(VENV)/.installed
	@echo "Building GPAW into $(VENV) (about a minute)"
	@printf '%s\n' 'mpi = False' "compiler = 'g++'" 'noblas = True' 'nolibxc = True' 'libraries = []' \
	    > $(VENV)/gpaw_siteconfig.py
	@env -u GPAW_BUILD_JOBS GPAW_CONFIG=$(abspath $(VENV))/gpaw_siteconfig.py $(PIP) --no-cache-dir 'gpaw>=26.7'
	@$(BIN)/python -c 'import _gpaw' # a wheel without its compiled part installs without a word
	@touch $@

examples/silicon_dft_testset.extxyz: $(VENV)/.dft

study: $(VENV)/.installed examples/silicon_testset.extxyz  ## the same with thousands of structures, about two hours
	$(BIN)/mlsample run examples/silicon_study.yaml

test: $(VENV)/.tested      ## the test suite, under ten minutes on two cores
	$(BIN)/python -m pytest -q -n auto --dist worksteal

slow: $(VENV)/.tested      ## heavy physics
	$(BIN)/python -m pytest -q -m slow

sanitize: $(VENV)/.tested  ## the compiled core under the address and undefined behaviour sanitizers
	@$(PIP) cmake nanobind
	$(BIN)/cmake -S . -B build/sanitize -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMLSAMPLE_SANITIZE=ON \
	    -DPython_EXECUTABLE=$(abspath $(BIN))/python -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir)
	$(BIN)/cmake --build build/sanitize --parallel
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=2 $(BIN)/python tests/sanitized.py build/sanitize -q tests/core

bench: $(VENV)/.tested     ## what the demo's model is worth; run `make demo` first
	$(BIN)/python benchmarks/silicon_properties.py runs/silicon/model.safetensors
	$(BIN)/python benchmarks/trust.py runs/silicon/model.safetensors examples/silicon_testset.extxyz

docs: $(VENV)/.documented  ## the handbook as a site, in docs/_build/html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

lint: $(VENV)/.tested      ## style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
