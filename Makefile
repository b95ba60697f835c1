# Two commands: `make demo` (core install, a scene, its detections) and `make test` (everything, then all tests).
# Both can be run again at any time; nothing is fetched when nothing has changed.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
UV := $(VENV)/bin/uv

.PHONY: demo test lint clean
.DEFAULT_GOAL := demo

# The environment of this folder alone. uv installs exactly what uv.lock says; where uv has no build, pip takes the newest that fit.
$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: Python 3.10 or newer is needed; try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "error: venv failed; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(RUN) -m pip install --quiet --disable-pip-version-check uv || echo "note: no uv for this machine; pip will do"

$(VENV)/.core: pyproject.toml uv.lock | $(RUN)
	@if [ -x $(UV) ]; then $(UV) sync --quiet --frozen --inexact --no-dev --python $(RUN); else $(RUN) -m pip install --quiet --editable .; fi
	@touch $@

$(VENV)/.full: pyproject.toml uv.lock | $(RUN)
	@if [ -x $(UV) ]; then $(UV) sync --quiet --frozen --inexact --extra torch --python $(RUN); \
	else $(RUN) -m pip install --quiet --upgrade pip && $(RUN) -m pip install --quiet --editable ".[torch]" --group dev; fi
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	@$(VENV)/bin/detector demo

test: $(VENV)/.full
	@.ci/system-packages
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(RUN) -m pytest

lint: $(VENV)/.full
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
