# make demo        install into .venv and compare samplers on four targets (the suite `quick`)
# make test        install into .venv and run the tests (under 12 minutes on two cores)
# make test-slow   the tests that take minutes
# make test-lowest the tests with the lowest versions that pyproject.toml states, in an environment of their own
# make test-newest the same with the newest ones
# make test-models the tests of models written elsewhere (JAX, NumPyro, PyMC, Stan) and of the kit on other libraries
# make lint        formatting, style, types, direction of imports
# make bench       benchmarks against peers, into benchmarks/results
# make docs        the site, into site/, and the tests of its pages: their code runs, their links lead somewhere
# make site        the site alone; a warning is an error

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-lowest test-newest test-models lint bench docs site clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable '.[dev,testing,benchmarks,pyro]'
	touch $@

demo: .venv/installed
	$(BIN)/python examples/demo.py demo

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow --numprocesses 2 --dist worksteal

# uv is a wheel that chooses the lowest versions, which pip cannot
test-lowest test-newest: test-%: .venv/installed
	$(PIP) 'uv>=0.4'
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python build/$*
	$(BIN)/uv pip install --quiet --python build/$* --editable '.[dev,testing,benchmarks,pyro]' \
		--resolution $(if $(filter lowest,$*),lowest-direct,highest)
	build/$*/bin/python -m pytest --numprocesses 2 --dist worksteal

.venv/models: .venv/installed
	$(PIP) --editable '.[models,peers]'
	touch $@

test-models: .venv/models
	$(BIN)/python -m pytest -m 'slow or not slow' tests/targets/test_elsewhere.py tests/testing/test_functions.py

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/peers: .venv/installed
	$(PIP) --editable '.[peers]'
	touch $@

bench: .venv/peers
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/langevin_speed.py
	$(BIN)/python benchmarks/compiled.py --ways
	$(BIN)/python benchmarks/hmc_vs_nuts.py
	$(BIN)/python benchmarks/divergences.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/until.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/threads.py --busy 1
	$(BIN)/python benchmarks/smc.py
	$(BIN)/python benchmarks/scouts.py
	$(BIN)/python benchmarks/calibration.py --workers 2
	$(BIN)/python benchmarks/smc_vs_blackjax.py
	$(BIN)/python benchmarks/swendsen_wang.py
	$(BIN)/python benchmarks/particles.py
	$(BIN)/python benchmarks/spin_mixing.py
	$(BIN)/python benchmarks/smoothing.py
	$(BIN)/python benchmarks/learned_cost.py
	$(BIN)/python benchmarks/learned.py
	$(BIN)/python benchmarks/solvers.py
	$(BIN)/python benchmarks/likelihood.py
	$(BIN)/python benchmarks/generative_cost.py
	$(BIN)/python benchmarks/score_matching_curves.py
	$(BIN)/python benchmarks/score_diffusion.py
	$(BIN)/python benchmarks/generative_data.py
	$(BIN)/python benchmarks/generative_data.py --labels
	$(BIN)/python benchmarks/bridges.py
	$(BIN)/python benchmarks/local_scores.py
	$(BIN)/python benchmarks/local_images.py
	$(BIN)/python benchmarks/field_noise.py
	$(BIN)/python benchmarks/moments_prior.py
	$(BIN)/python benchmarks/suites.py quick standard bayes spins --peers

.venv/docs: .venv/installed
	$(PIP) --editable '.[docs]'
	touch $@

docs: site
	$(BIN)/python -m pytest -m 'slow or not slow' tests/test_docs.py

site: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv demo build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
