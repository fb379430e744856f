# The two commands of the README are `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check install -c constraints.txt
PYTEST := $(PY) -m pytest -p no:cacheprovider
# tests that share an expensive fixture stay on one worker
SPREAD = -n $(WORKERS) --dist loadgroup
WORKERS ?= 2
# kernels in parallel worker processes must not each take every core
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check lint types unit slow doctests packaging clean

demo: $(VENV)/.demo
	OMP_NUM_THREADS=2 $(VENV)/bin/neuro demo --out demo_report

test: lint types unit slow doctests packaging

# The fast part: under three minutes once installed.
check: lint types unit

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-cache

types: $(VENV)/.dev
	$(VENV)/bin/mypy

unit: $(VENV)/.dev
	$(PYTEST) $(SPREAD) -m "not slow and not network and not packaging" tests

slow: $(VENV)/.dev
	$(PYTEST) $(SPREAD) -m "(slow or network) and not packaging" tests

doctests: $(VENV)/.dev
	$(PYTEST) $(SPREAD) --doctest-modules neuro

packaging: $(VENV)/.dev
	$(PYTEST) -m packaging tests

# torch comes first and is held by constraints.txt: its other builds take gigabytes
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PIP) "pip>=25.1"
	$(PIP) torch
	$(PIP) -e ".[nwb]"
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e ".[nwb,xdf,bci]" --group test --group lint --group build
	$(PIP) --no-deps --group foreign
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
