# Two commands on a fresh machine: make demo, make test. Everything goes into .venv; nothing is installed elsewhere.

export PATH := $(if $(PATH),$(PATH),/usr/local/bin:/usr/bin:/bin)
PYTHON := $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
STAMP := $(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)
FLOOR_STAMP := $(shell cat Testing/floor.txt | cksum | cut -d' ' -f1)
FLOOR_ROOMS := atlas case compute curves dicom diffusion files images lesions metabolites perfusion registration rt statistics
FLOOR_TESTS := $(sort $(foreach room,$(FLOOR_ROOMS),$(wildcard Testing/unit/$(room) Testing/unit/test_$(room)*.py)))

.PHONY: help demo test test-floor test-slicer lint format bench bench-cuda docs anatomy icons train-posterior train-lyoo2025 train-lyoo2025-cuda train-recurrence train-recurrence-network train-recurrence-network-cuda train-patterns bench-recurrence-network bench-yoon2024 screenshots panel-screenshots clean

help:
	@echo "make demo        install and run a simulated patient through everything"
	@echo "make test        install with test tools and run the test suite"
	@echo "make test-floor  run the unit tests with the versions of Slicer 5.10"
	@echo "make test-slicer run the modules' own tests in a Slicer on the PATH (or SLICER_EXECUTABLE), where there is one"
	@echo "make lint        ruff and mypy;  make docs  command reference and link check"
	@echo "make bench       benchmarks;  make bench-cuda  the engines of perfusion on a CUDA device beside the processor"
	@echo "make anatomy     rebuild resources/anatomy.npz;  make icons  redraw the icons"
	@echo "make train-posterior, train-lyoo2025, train-recurrence, train-recurrence-network, train-patterns  the shipped weights anew, under trained/"
	@echo "make train-lyoo2025-cuda, train-recurrence-network-cuda  larger ones on a GPU;  make bench-recurrence-network  its bars, five folds"
	@echo "make bench-yoon2024  what ve adds to the prediction of local recurrence (Yoon 2024), simulated patients"
	@echo "make screenshots redraw the pictures of Resources/Screenshots from the demo and the test data;  make panel-screenshots  the panels"

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 with venv is needed and was not found (Debian: apt-get install python3 python3-venv)"; exit 2; }
	$(PYTHON) -m venv .venv

# The stamps' names carry a hash of constraints.txt and pyproject.toml: a second make does nothing, a changed pin installs again.
.venv/.base-$(STAMP): | .venv/bin/python
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation -e ".[report,fast,survival]"
	@touch $@

.venv/.test-$(STAMP): .venv/.base-$(STAMP)
	$(PIP) torch
	$(PIP) --no-build-isolation -e ".[test,dev]"
	$(PIP) versioneer cython
	@$(PIP) --no-build-isolation --no-cache-dir pyradiomics \
		|| echo "pyradiomics could not be built here, so radiomics are off; gliosuite doctor says what it needs"
	@touch $@

demo: .venv/.base-$(STAMP)
	@$(BIN)/gliosuite demo --out demo > /dev/null
	@echo "The report of the simulated patient lies at $(CURDIR)/demo/report.html"

test: .venv/.test-$(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST)

.venv-floor/.floor-$(FLOOR_STAMP):
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 with venv is needed and was not found"; exit 2; }
	$(PYTHON) -m venv .venv-floor
	.venv-floor/bin/python -m pip --disable-pip-version-check install -q -r Testing/floor.txt
	@touch $@

test-floor: .venv-floor/.floor-$(FLOOR_STAMP)
	.venv-floor/bin/python -m pytest -n 2 --dist loadfile -p no:cacheprovider $(FLOOR_TESTS)

# The standard library is enough: what is tested is the application's own Python.
test-slicer:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 with venv is needed and was not found"; exit 2; }
	@$(PYTHON) Testing/desktop/run.py $(SLICERTEST)

lint: .venv/.test-$(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy

format: .venv/.test-$(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.test-$(STAMP)
	@for script in Testing/bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-cuda: .venv/.test-$(STAMP)
	$(BIN)/python Testing/bench/bench_devices.py --device cuda

# The shipped weights, made anew under trained/; a run that was stopped goes on where it was.
train-posterior: .venv/.test-$(STAMP)
	$(BIN)/gliosuite synthesize train --out trained/posterior

train-recurrence: .venv/.test-$(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/gliosuite recurrence train --out trained/recurrence

train-recurrence-network: .venv/.test-$(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/gliosuite recurrence train --kind network --folds 3 --epochs 12 --out trained/recurrence-network

# As many features, as low a rate and as many epochs as the paper's, for a GPU.
train-recurrence-network-cuda: .venv/.test-$(STAMP)
	$(BIN)/gliosuite recurrence train --kind network --device cuda --learning-rate 5e-5 --epochs 123 --patience 40 \
		--out trained/recurrence-network-cuda

# Trained once, under trained/bench: a run that was stopped goes on where it was.
bench-recurrence-network: .venv/.test-$(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python Testing/bench/bench_recurrence.py --network --cache trained/bench

# A patient takes seconds, 620 of them an hour and a half on one core; they and the networks are kept under trained/yoon2024.
bench-yoon2024: .venv/.test-$(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python Testing/bench/bench_yoon2024.py --cache trained/yoon2024

train-patterns: .venv/.test-$(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/gliosuite pattern simulate --patients $(or $(PATIENTS),190) --out trained/patterns
	for how in local distant; do $(BIN)/gliosuite pattern train trained/patterns/table.csv --outcome recurrence_$$how --patients all --out trained/patterns/$$how > /dev/null || exit 1; done
	$(BIN)/gliosuite survival fit trained/patterns/table.csv --time pfs_days --event pfs_event --lasso --out trained/patterns/risk --covariates \
		$$($(BIN)/python -c 'import json; print(",".join(sorted({n for h in ("local", "distant") for n in json.load(open(f"trained/patterns/{h}/pattern.json"))["inputs"]})))') > /dev/null

train-lyoo2025: .venv/.test-$(STAMP)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/gliosuite synthesize train --model lyoo2025 --out trained/lyoo2025

# As many patients as the paper's (165 to train on of 189) and as many steps as its epochs make, for a GPU.
train-lyoo2025-cuda: .venv/.test-$(STAMP)
	$(BIN)/gliosuite synthesize train --model lyoo2025 --device cuda --patients 189 --slices 16 --tcn-steps 17000 --tcn-patches 16 \
		--unet-steps 40000 --unet-slices 8 --out trained/lyoo2025-cuda

docs: .venv/.test-$(STAMP)
	$(BIN)/python Docs/make_docs.py

anatomy: .venv/.test-$(STAMP)
	$(BIN)/python Resources/make_anatomy.py

icons: .venv/.test-$(STAMP)
	$(BIN)/python Resources/icons/make_icons.py

screenshots: .venv/.test-$(STAMP)
	$(BIN)/python Resources/make_screenshots.py
	$(BIN)/python Resources/make_cohort_sheet.py

panel-screenshots: .venv/.test-$(STAMP)
	$(BIN)/python Resources/make_panel_screenshots.py

clean:
	rm -rf .venv .venv-floor demo build
