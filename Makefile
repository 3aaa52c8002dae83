# Two commands do everything: `make demo` and `make test`. Needed beforehand: a Python with venv, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Versions that were seen to work together; `make demo CONSTRAINTS=` takes the newest ones that pyproject.toml allows.
CONSTRAINTS ?= -c .ci/constraints.txt
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS)
# Tests that need more than Python: .ci/run installs these parts.
MARKED := photos or device or legacy or display or browser or broker or stream
# Files of tests run side by side, those of one file in one process; with TensorFlow each takes up to 3 GB of memory.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not ($(MARKED))'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-edge test-marked lint studies bundle clean

help:
	@echo 'make demo         train, compress and run a flower model live, on rendered flowers'
	@echo 'make test         the tests that need nothing but Python'
	@echo 'make test-edge    those of the device alone, in less than a minute; TensorFlow is neither installed nor imported'
	@echo 'make test-marked  the tests that need photos, a display or device environments (see .ci/run)'
	@echo 'make lint         ruff, mypy and the import rules'
	@echo 'make studies      the studies of export/STUDIES.md, on the class folders PHOTOS, trained models kept in WORK'
	@echo 'make bundle       a folder of wheels for a device without a network: PYTHON_VERSION=3.11 ARCH=aarch64 (or x86_64)'
	@echo 'make clean        remove $(VENV) and everything that was built'
	@echo
	@echo 'PYTHON=python3.12 chooses another Python (3.10 to 3.13), before $(VENV) is made.'

demo: $(VENV)/.demo
	@$(BIN)/flora demo

test: $(VENV)/.dev
	@$(PYTEST)

test-edge: $(VENV)/.edge
	@$(PYTEST) -p tests.no_tensorflow tests/edge tests/drills

test-marked: $(VENV)/.dev
	@$(BIN)/python -m pytest -m '$(MARKED)'

lint: $(VENV)/.dev
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports

studies: $(VENV)/.dev
	$(if $(and $(PHOTOS),$(WORK)),,$(error say where: make studies PHOTOS=folder-of-class-folders WORK=folder-for-trained-models))
	@$(BIN)/python -m tests.studies.unknowns '$(PHOTOS)' '$(WORK)' $(if $(WEIGHTS),--weights '$(WEIGHTS)')
	@$(BIN)/python -m tests.studies.calibration '$(PHOTOS)' '$(WORK)' $(if $(WEIGHTS),--weights '$(WEIGHTS)')

# EXTRA is headless, window or legacy; OUT is the folder, one in dist unless given.
EXTRA ?= headless
BUNDLE = $(BIN)/python -m tests.making.bundle --python '$(PYTHON_VERSION)' --arch '$(ARCH)' --extra '$(EXTRA)' \
	$(if $(OUT),--out '$(OUT)')

bundle: $(VENV)/.bundle
	$(eval message := $(shell $(BUNDLE) --check 2>&1))$(if $(message),$(error $(message)))
	@$(BUNDLE) $(CONSTRAINTS)

clean:
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find edge training export tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One line that says what is wrong with $(PYTHON), or nothing.
problem = $(shell version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
	|| { echo "cannot run '$(PYTHON)'; expected Python 3.10 to 3.13; install it with: apt install python3 python3-venv"; exit; }; \
	case $$version in (3.10|3.11|3.12|3.13) ;; \
	(*) echo "$(PYTHON) is Python $$version; expected 3.10 to 3.13; name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit;; esac; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	|| echo "$(PYTHON) cannot make environments: its venv package is missing; install it with: apt install python$$version-venv")

# $(error) and not a failing command, so that a person sees one line.
$(VENV)/.made:
	$(eval message := $(problem))$(if $(message),$(error $(message)))
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.bundle: $(VENV)/.made
	@$(INSTALL) packaging
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml .ci/constraints.txt
	@echo 'Installing TensorFlow, LiteRT and OpenCV into $(VENV): about 750 MB to download, 2.6 GB on disk, 1 to 5 minutes'
	@$(INSTALL) -e '.[headless,train,export]'
	@touch $@

$(VENV)/.edge: $(VENV)/.made pyproject.toml .ci/constraints.txt
	@echo 'Installing LiteRT, OpenCV, pytest and the rest of the tools into $(VENV): about 200 MB, a minute'
	@$(INSTALL) -e '.[headless,dev]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo 'Installing pytest, ruff, mypy and import-linter into $(VENV): about 40 MB, less than a minute'
	@$(INSTALL) -e '.[headless,train,export,dev]'
	@touch $@
