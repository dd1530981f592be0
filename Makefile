# Two commands do everything: `make demo` and `make test`. Each makes the environment it needs.
PYTHON ?= python3
PHOTO ?=

DEMO_ENV := .venv-demo
FULL_ENV := .venv

.PHONY: demo test lint bench clean

demo: $(DEMO_ENV)/.ready  ## find people's joints in a photo (PHOTO=path, default: the astronaut)
	$(DEMO_ENV)/bin/python tools/demo.py $(if $(PHOTO),"$(PHOTO)")

test: $(FULL_ENV)/.ready lint  ## the full environment, then every test
	OMP_NUM_THREADS=1 $(FULL_ENV)/bin/python -m pytest -n auto --dist worksteal

lint: $(FULL_ENV)/.ready  ## style and types: ruff and pyright, as before each commit
	$(FULL_ENV)/bin/pre-commit run --all-files

bench: $(FULL_ENV)/.ready  ## measure speed and size on this machine; results go to benchmarks/results
	$(FULL_ENV)/bin/python -m benchmarks

# The light core only, and the one photo of scikit-image's wheel (without scikit-image's own needs).
$(DEMO_ENV)/.ready: pyproject.toml
	sh tools/make_venv.sh $(PYTHON) $(DEMO_ENV)
	@echo "installing the light core, about 190 MB ..."
	$(DEMO_ENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	$(DEMO_ENV)/bin/python -m pip install --quiet --no-deps scikit-image
	touch $@

$(FULL_ENV)/.ready: pyproject.toml constraints.txt
	sh tools/make_venv.sh $(PYTHON) $(FULL_ENV)
	@echo "installing everything, torch included: about 2 GB ..."
	$(FULL_ENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(DEMO_ENV) $(FULL_ENV) out runs build
