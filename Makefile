# make demo    translate the bundled scan and show everything that changed
# make test    run the tests
# make test-stable  scene, pictures and widget tests on the core of Slicer 5.12, in an environment of its own
# make check   lint, format, types
# make bench   the speed table, side by side with peers
# make coverage  the tests, with the share of library lines that they run
# make docs    the documentation as a site in ./site, strictly
# make example train, publish and use a tiny model on procedural heads: ten minutes on a CPU
# make clean   remove the environment and what the targets made

VENV := .venv
BIN := $(VENV)/bin
# The core of the stable Slicer; make test runs on that of the preview.
STABLE := build/slicer-5.12
PYTHON ?= python3
DEBIAN := python3-venv libegl1 libegl-mesa0 libgl1-mesa-dri libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 fonts-dejavu-core
export VTK_DEFAULT_OPENGL_WINDOW ?= vtkEGLRenderWindow
export QT_QPA_PLATFORM ?= offscreen

.PHONY: demo test test-stable check bench coverage docs example setup debian clean

demo: setup
	$(BIN)/sittranslate demo --out demo

test: setup
	$(BIN)/python -m pytest

test-stable: debian $(STABLE)/.ready
	$(STABLE)/bin/python -m pytest Testing/Scene Testing/Pictures Testing/Widget

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/sittranslate bench

coverage: setup
	$(BIN)/python -m pytest --cov=SITTranslateLib --cov-report=term:skip-covered --cov-report=html:build/coverage

docs: setup
	$(BIN)/mkdocs build --strict --quiet

example: setup
	$(BIN)/sittranslate train example-ten-minutes --labels . --out runs/example --precision 32-true
	$(BIN)/sittranslate publish runs/example --card example-ten-minutes --data "Two procedural heads, for teaching." --out runs/example-model
	$(BIN)/sittranslate package check runs/example-model

setup: debian $(VENV)/.ready

# The exact versions that were tested; the ranges of pyproject.toml hold for everyone else.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[scene,demo,speed,train,bench,batch,onnx,docs,test]'
	touch $@

# pip takes one version of a package an environment, so the other Slicer gets its own.
$(STABLE)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(STABLE)
	grep -v -E '^(slicer-core|vtk)==' constraints.txt > $(STABLE)/constraints.txt
	$(STABLE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(STABLE)/constraints.txt \
	  'slicer-core==5.12.*' --editable '.[scene,demo,speed,test]'
	touch $@

# Off-screen OpenGL for the pictures: installed if root, otherwise named.
debian:
	@ldconfig -p 2>/dev/null | grep -q libEGL_mesa && ldconfig -p | grep -q libxkbcommon.so && $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; \
	  else echo "If pictures fail: install the Debian packages $(DEBIAN)"; fi; }

clean:
	rm -rf $(VENV) demo runs build *.egg-info
