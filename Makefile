# Every target works from a fresh clone: what is missing is installed first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
# pip's own setting for local wheels is honoured: uv does not read it by itself.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_LINK_MODE  ?= copy

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint typecheck docs bench bench-rivals train-tiny zoo figures clean \
        reproduce-quick reproduce-synthetic reproduce-rendered reproduce-representations \
        reproduce-cross-dataset reproduce-sequence-length reproduce-analysis

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(VENV)/.installed  ## Install auglift, the depth pass and the developers' tools into .venv.

.tools/bin/uv:
	$(PYTHON) -m pip install --quiet --target .tools uv

$(VENV)/.installed: pyproject.toml Makefile | $(filter .tools/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[prep,blazepose,remote,train]' --group dev
	@touch $@

DEMO         ?= build/demo
DEMO_OPTIONS ?= --clips 4 --frames 24
SYNTH = $(BIN)/auglift-prep synth $(DEMO_OPTIONS) --cache $(DEMO)/cache --domain
DRAW  = $(BIN)/auglift-store picture --videos $(DEMO)/cache
demo: install  ## Needs no data: rendered people in two places, the depth pass, pictures in build/demo (minutes).
	for domain in studio street; do \
	  $(SYNTH) $$domain --pose ground-truth --depth ground-truth --out $(DEMO)/$$domain-exact.zarr && \
	  $(SYNTH) $$domain --out $(DEMO)/$$domain.zarr || exit 1; \
	done
	for domain in studio street; do $(BIN)/auglift-store info $(DEMO)/$$domain.zarr || exit 1; done
	$(DRAW) $(DEMO)/studio.zarr $(DEMO)/street.zarr --out $(DEMO)/picture.png
	$(DRAW) $(DEMO)/studio-exact.zarr $(DEMO)/street-exact.zarr --out $(DEMO)/exact.png
	$(BIN)/python -m reproduce.run demo --show $(DEMO)/comparison.png

WORKERS ?= 2
test: install  ## The default test suite (under 10 minutes on 2 cores).
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: install  ## What takes minutes: fault injection, clean installs, lowest and newest versions, long runs.
	$(BIN)/python -m pytest -m slow

lint: install  ## ruff: style and common mistakes.
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

typecheck: install  ## pyright.
	@mkdir -p .typing/auglift  # the rooms under the name they are imported by, for a checker that goes by paths
	@for room in stores pipeline lifters cli; do ln -sfn ../../$$room .typing/auglift/$$room; done
	$(BIN)/pyright

docs: install  ## The documentation as a site, in build/site; a broken link is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install  ## Run every benchmark and rewrite docs/performance.md.
	$(BIN)/python -m benchmarks.run

bench-rivals:  ## Windows beside what people would use instead, into docs/performance.md; an environment in build/rivals.
	$(UV) venv --quiet --allow-existing --python $(PYTHON) build/rivals
	$(UV) pip install --quiet --python build/rivals/bin/python --editable '.[bench]'
	build/rivals/bin/python -m benchmarks.run --only rivals

TINY  ?= build/tiny
MOCAP ?= $(wildcard ../shared/data/cmu_mocap)
train-tiny: install  ## Train the three tiny networks, an hour each, into build/tiny (TINY=, MOCAP=); resumable.
	for name in detector pose depth; do \
	  $(BIN)/python -m auglift.cli.tiny train $$name --out $(TINY) --threads 2 $(MOCAP:%=--mocap %) || exit 1; \
	done
	$(BIN)/python -m auglift.cli.tiny evaluate --frames $(TINY)/test --weights $(TINY) $(MOCAP:%=--mocap %)

GRID ?= synthetic
ZOO = runs/zoo
MOCAP = ../shared/data/cmu_mocap/cmu_mocap_expmap_120fps.tar.xz
SEEN = --sensor simulated --motion rich --split train --clips 160 --people 80 --frames 54 --uadd fixed
zoo: install  ## The lifter that auglift-lift has without --lifter: 69,120 simulated frames, 12 epochs; MOCAP=FILE.
	for domain in greenscreen studio street gym; do \
	  $(BIN)/auglift-prep synth --domain $$domain $(SEEN) --out $(ZOO)/$$domain.zarr && \
	  $(BIN)/auglift-prep synth --domain $$domain $(SEEN) --mocap $(MOCAP) --seed 1 --noise standard:coco=1 --out $(ZOO)/$$domain-mocap.zarr || exit 1; \
	done
	$(BIN)/auglift-train $(foreach domain,greenscreen studio street gym,$(ZOO)/$(domain).zarr $(ZOO)/$(domain)-mocap.zarr) \
	  --lifter video_pose3d --inputs xy@scaled@centred@standard --window 27 --set width=256 --set dropout=0.1 \
	  --set factor=0.8 --epochs 12 --batch 128 --threads 1 --ema 0.999 --out $(ZOO)/run
	$(BIN)/python -m auglift.lifters.zoo.ship $(ZOO)/run blazepose-xy reproduce/zoo.json

reproduce-quick: install  ## The paper's central experiment on pictures, the least of it (docs/reproduce.md).
	$(BIN)/python -m reproduce.run quick

reproduce-rendered: install  ## The same with four lifters and three seeds; GRID=full: the whole grid, for a GPU.
	$(BIN)/python -m reproduce.run $(GRID)

QUICK ?=
MOTION = $(if $(RECORDED),--mocap $(RECORDED))
reproduce-synthetic: install  ## What depth is worth (docs/when-depth-helps.md), without pictures; QUICK=1; RECORDED=archive.
	$(BIN)/python -m reproduce.controlled $(if $(QUICK),simulated_quick,simulated) --inputs-with @centred@standard $(MOTION)

reproduce-representations: install  ## Every representation beside the others, learned features too; QUICK=1: the least of it.
	$(BIN)/python -m reproduce.run $(if $(QUICK),representations_quick,representations)

# Of the licensed archives: CROSS and LENGTHS name experiments of reproduce/, ARCHIVES the folder they lie in.
CROSS   ?= cross_dataset
LENGTHS ?= sequence_length
ON_ARCHIVES = $(ARCHIVES:%=--archives %) $(RUN_OPTIONS)
reproduce-cross-dataset: install  ## Train on each of four real data sets, test on all: ARCHIVES=dir (docs/reproduce.md).
	$(BIN)/python -m reproduce.run $(CROSS) $(ON_ARCHIVES)

reproduce-sequence-length: install  ## Windows of 1 to 243 frames on the real data sets: ARCHIVES=dir.
	$(BIN)/python -m reproduce.run $(LENGTHS) $(ON_ARCHIVES)

reproduce-analysis: reproduce-cross-dataset  ## Novelty, occlusion, detection of these trainings: ARCHIVES=dir.
	$(BIN)/python -m reproduce.analysis $(CROSS)

FIGURES ?= build/figures
figures: install  ## The paper's figures from rendered people, as PNG and SVG in build/figures (trains the demo first).
	$(BIN)/python -m reproduce.run demo --show $(FIGURES)/comparison.png
	$(BIN)/python -m reproduce.figures --out $(FIGURES)

clean:  ## Remove what was installed and built.
	rm -rf $(VENV) .tools .typing build *.egg-info
