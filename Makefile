# make demo    translate the bundled scan and show everything that changed
# make setup   the environment of developers, with everything that the tests use
# make test    run the tests: on the core of Slicer 5.12 what touches the scene, on that of 5.13 everything
# make test-stable  scene, pictures and widget tests on the core of Slicer 5.12
# make view    the demo's result in a web page on this machine; RESULT=FOLDER for another one
# make test-view  that page, driven by clicks in a headless browser
# make check   lint, format, types
# make bench   the tables and pictures of docs/speed.md anew, side by side with peers
# make coverage  the tests, with the share of library lines that they run
# make docs    the documentation as a site in ./site, strictly
# make example train, publish and use a tiny model on procedural heads: ten minutes on a CPU
# make endurance  the long form of the tests that put faults in: 20,000 files, 200 translations, 100 cancels
# make oldest  the tests of the library with the oldest versions that pyproject.toml allows
# make lock    requirements.lock anew: every package with its sha256;  make locked  installs exactly those
# make sbom    the software bill of materials (CycloneDX) in build/sbom.json;  make audit  known weaknesses of them
# make clean   remove the environment and what the targets made

VENV := .venv
BIN := $(VENV)/bin
# The core of the stable Slicer, in an environment of its own; everything else runs on that of the preview.
STABLE := build/slicer-5.12
# The web page: trame-slicer is built for a third core.
VIEW := build/view
PYTHON ?= python3
DEBIAN := python3-venv libegl1 libegl-mesa0 libgl1-mesa-dri libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 fonts-dejavu-core
export VTK_DEFAULT_OPENGL_WINDOW ?= vtkEGLRenderWindow
export QT_QPA_PLATFORM ?= offscreen

.PHONY: demo test test-stable view test-view check bench coverage docs example endurance oldest lock locked sbom audit setup debian clean
# What developers and CI install.
EXTRAS := scene,demo,speed,train,torchio,bench,batch,cluster,onnx,dicom,transforms,docs,test
comma := ,
# Tools that look at the environment, kept out of it.
TOOLS := build/tools

# Made anew when the code or a model is newer than the last demo.
demo: debian demo/report.html
	@echo "Open demo/report.html in a browser, demo/scene.mrb in 3D Slicer."

demo/report.html: $(VENV)/.demo $(shell find SITTranslateLib Resources/Models -type f -not -name '*.pyc' 2>/dev/null)
	$(BIN)/sittranslate demo --out demo

test: setup $(STABLE)/.ready
	$(STABLE)/bin/python -m pytest Testing/Scene Testing/Pictures
	$(BIN)/python -m pytest

test-stable: debian $(STABLE)/.ready
	$(STABLE)/bin/python -m pytest Testing/Scene Testing/Pictures Testing/Widget

view: debian $(VIEW)/.ready
	test -e "$(or $(RESULT),demo)" || $(VIEW)/bin/sittranslate demo --out demo
	$(VIEW)/bin/sittranslate view "$(or $(RESULT),demo)"

test-view: debian $(VIEW)/.ready
	$(VIEW)/bin/python -m pytest Testing/View

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python $(PIP) --quiet --constraint constraints.txt --editable '.[peers]'
	$(BIN)/sittranslate bench --threads 1 --large --docs docs/speed.md

coverage: setup
	$(BIN)/python -m pytest --cov=SITTranslateLib --cov-report=term:skip-covered --cov-report=html:build/coverage

docs: setup
	$(BIN)/mkdocs build --strict --quiet

example: setup
	$(BIN)/sittranslate train example-ten-minutes --labels . --out runs/example --precision 32-true
	$(BIN)/sittranslate publish runs/example --card example-ten-minutes --data "Two procedural heads, for teaching." --out runs/example-model
	$(BIN)/sittranslate package check runs/example-model

endurance: setup
	SITTRANSLATE_ENDURANCE=1 $(BIN)/python -m pytest -s --timeout 7200 Testing/Reliability

oldest: debian $(TOOLS)/.ready
	$(TOOLS)/bin/uv venv --quiet --clear --python $(PYTHON) build/oldest
	$(TOOLS)/bin/uv pip install --quiet --python build/oldest/bin/python --resolution lowest-direct --editable '.[speed,train,batch,onnx,test]'
	build/oldest/bin/python -m pytest $(addprefix Testing/Unit/,files packages fields systems translate host) Testing/Reliability/test_numbers.py

lock: $(TOOLS)/.ready
	echo "# Every package with its sha256, for Python 3.11 on Linux; written by 'make lock', a test holds it against constraints.txt." > build/requirements.lock
	$(TOOLS)/bin/uv pip compile pyproject.toml $(foreach extra,$(subst $(comma), ,$(EXTRAS)),--extra $(extra)) --constraint constraints.txt \
	  --python-version 3.11.5 --generate-hashes --no-annotate --no-header --quiet >> build/requirements.lock
	mv build/requirements.lock requirements.lock

locked: debian
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(VENV)/.demo $(VENV)/.ready

sbom: setup $(TOOLS)/.ready
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file build/sbom.json

audit: setup $(TOOLS)/.ready
	rm -f build/audit.json
	-$(TOOLS)/bin/pip-audit --format json --output build/audit.json --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	$(BIN)/python Testing/Packaging/audit_summary.py build/audit.json

$(TOOLS)/.ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9' 'pip-audit>=2.9' 'cyclonedx-bom>=7'
	touch $@

setup: debian $(VENV)/.ready

# The exact versions that were tested; the ranges of pyproject.toml hold for everyone else. Not quiet: it takes minutes.
PIP := -m pip install --disable-pip-version-check
# On Linux the usual torch may bring 2 GB and more of CUDA. TORCH_INDEX=ADDRESS names a package index that has the build for the
# CPU, as PyTorch's own does; it is asked for torch alone.
TORCH_INDEX ?=
TORCH := --no-deps $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch

# What the demo uses, and no more.
$(VENV)/.demo: pyproject.toml constraints.txt | debian
	@echo "Installing what the demo needs in $(VENV), once: 2.7 GB on the disk."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --constraint constraints.txt $(TORCH)
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[scene,demo,speed]'
	touch $@

$(VENV)/.ready: $(VENV)/.demo
	@echo "Installing what developers need in $(VENV)."
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

# pip takes one version of a package an environment, so the other Slicer gets its own.
$(STABLE)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(STABLE)
	grep -v -E '^(slicer-core|vtk)==' constraints.txt > $(STABLE)/constraints.txt
	$(STABLE)/bin/python $(PIP) --constraint $(STABLE)/constraints.txt $(TORCH)
	$(STABLE)/bin/python $(PIP) --constraint $(STABLE)/constraints.txt \
	  'slicer-core==5.12.*' --editable '.[scene,demo,speed,test]'
	touch $@

$(VIEW)/.ready: pyproject.toml constraints.txt constraints-view.txt
	$(PYTHON) -m venv $(VIEW)
	grep -v -E '^(slicer-core|vtk)==' constraints.txt > $(VIEW)/constraints.txt
	$(VIEW)/bin/python $(PIP) --constraint $(VIEW)/constraints.txt $(TORCH)
	$(VIEW)/bin/python $(PIP) --constraint $(VIEW)/constraints.txt \
	  --constraint constraints-view.txt --editable '.[view,demo,speed]' jinja2 playwright pytest pytest-timeout
	touch $@

# Off-screen OpenGL for the pictures: installed if root, otherwise named.
debian:
	@ldconfig -p 2>/dev/null | grep -q libEGL_mesa && ldconfig -p | grep -q libxkbcommon.so && $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; \
	  else echo "If pictures fail: install the Debian packages $(DEBIAN)"; fi; }

clean:
	rm -rf $(VENV) demo runs build *.egg-info
