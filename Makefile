# Two commands: `make demo` and `make test`.  Both set up .venv on first use and reuse it afterwards.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PY := $(VENV)/bin/python

export OMP_WAIT_POLICY := PASSIVE

# Where the demo keeps its videos and its run.
DEMO_DATA ?= data
DEMO_DIR ?= work_dirs/tiny_synthetic
DEMO_CONFIG := configs/internvideo2/tiny_synthetic.py

.PHONY: demo test lint env clean

env: $(VENV)/.runtime

# Makes the videos (once), trains, tests on held-out looks and draws what came out.
demo: export INTERNVIDEO2_DATA_PATH := $(DEMO_DATA)
demo: env
	$(PY) tools/data/make_synthetic.py $(DEMO_DATA)/synthetic
	$(PY) tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR)
	$(PY) tools/test.py $(DEMO_CONFIG) $$(cat $(DEMO_DIR)/last_checkpoint) \
		--work-dir $(DEMO_DIR) --out $(DEMO_DIR)/predictions.json
	$(PY) tools/analysis/report.py $(DEMO_DIR)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "internvideo needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV) || (rm -rf $(VENV); exit 1)

# opencv-python, which mmengine asks for, wants libGL; where that is missing the headless build serves.
$(VENV)/.runtime: requirements/runtime.txt setup.py | $(VENV)/bin/python
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -r requirements/runtime.txt
	$(PY) -c 'import cv2' 2>/dev/null || \
		($(PY) -m pip uninstall --quiet -y opencv-python && $(PY) -m pip install --quiet opencv-python-headless)
	$(PY) -m pip install --quiet --no-deps --editable .
	touch $@

TEST_REQUIREMENTS := requirements/tests.txt requirements/multimodal.txt requirements/demo.txt \
	requirements/deepspeed.txt

# DeepSpeed's build looks at the torch that is installed, hence without isolation.
$(VENV)/.tests: $(VENV)/.runtime $(TEST_REQUIREMENTS)
	$(PY) -m pip install --quiet setuptools wheel -r requirements/tests.txt \
		-r requirements/multimodal.txt -r requirements/demo.txt
	$(PY) -m pip install --quiet --no-build-isolation -r requirements/deepspeed.txt
	touch $@

lint: $(VENV)/.tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	if command -v shellcheck >/dev/null; then shellcheck .ci/run tools/*.sh tools/slurm/*.sbatch; fi

# Slow tests wait for processes that they start: two files at a time, except where time is measured.
# Only files with slow tests are read again.
test: $(VENV)/.tests
	$(PY) -m pytest -n 2 -m "not slow" $(PYTEST_ARGS)
	slow=$$(grep -rl 'mark\.slow' tests projects --include='*.py'); \
	$(PY) -m pytest -n 2 --dist loadfile -m "slow and not alone" $(PYTEST_ARGS) $$slow && \
	$(PY) -m pytest -m "slow and alone" $(PYTEST_ARGS) $$slow

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
