# Two commands: `make demo` shows what this does, `make test` shows that it works.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo view test test-readme test-cluster faults fuzz lint figures bench clean

demo: .venv/installed
	$(BIN)/python data/paint_collection.py
	$(BIN)/python run_all.py --config configs/demo.yaml

# Serves what `make demo` built to this machine alone; the line that it prints holds the address.
view: .venv/installed
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory outputs/demo/viewer 8000

# Files of tests side by side, each as a whole, because its tests share what takes long to make.
test: .venv/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# Does what the README says, line by line, in a clean copy of what is committed: installs, and runs the demo.
test-readme: .venv/installed-dev
	ARTATLAS_FOLLOW_README=1 $(BIN)/python -m pytest tests/test_readme.py

# Every stage stopped, killed and starved at 20 moments of each kind: three quarters of an hour of one core. One stage: K=grid
faults: .venv/installed-dev
	ARTATLAS_FAULT_SEEDS=20 $(BIN)/python -m pytest tests/test_faults.py -rP $(if $(K),-k $(K))

# Ten thousand nonsensical inputs for every parser, drawn from grammars and then led by what they reach: about half an hour.
fuzz: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,fuzz]"
	ARTATLAS_FUZZ_INPUTS=10000 $(BIN)/python -m pytest tests/test_fuzz.py
	set -e; for parser in metadata pairs selection config picture; do \
		$(BIN)/python tests/fuzz_by_coverage.py $$parser --inputs 10000; done

# The stages on a Ray cluster of several machines, all on this one. Not part of `make test`: Ray alone is 80 MB.
test-cluster: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,cluster]"
	$(BIN)/python -m pytest tests/test_cluster.py

lint: .venv/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# The figures of the shipped files, from the files alone; fails where a card in docs/ tells others.
figures: .venv/installed
	$(BIN)/python benchmarks/shipped_figures.py

# Every benchmark, small: some 20 minutes on 2 cores. Their --help tells what each asks and how to run it in full.
bench: .venv/installed-bench
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/decode_speed.py --quick
	$(BIN)/python benchmarks/network_speed.py --quick
	$(BIN)/python benchmarks/end_to_end.py --works 64
	$(BIN)/python benchmarks/style_pca.py --works 5000
	$(BIN)/python benchmarks/memory_growth.py --works 1000 3000
	$(BIN)/python benchmarks/predict_hours.py
	$(BIN)/python benchmarks/grid_quality.py drawn --works 2500 --shapes rings spirals
	$(BIN)/python benchmarks/report_speed.py --works 1000 5000
	$(BIN)/python benchmarks/tile_speed.py --works 1000
	$(BIN)/python benchmarks/viewer_scale.py --works 2000

clean:
	rm -rf outputs/demo data/collection

.venv/installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

.venv/installed-bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,bench]"
	touch $@
