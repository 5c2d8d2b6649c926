# `make example` and `make test` set everything up by themselves; `source setup.sh` gives a shell with the same.

SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.ONESHELL:

TOP := $(CURDIR)
SETUP := . $(TOP)/setup.sh
DEV := export NTUPLEML_DEV=1; $(SETUP)

.PHONY: help setup example example-multiclass example-higgs example-htautau example-tth example-calratio example-anomaly example-etmiss test test-fast coverage test-lower-bounds lint format docs schemas dist bench clean

help:
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: ## install everything that the commands need
	@$(SETUP)

example: ## the main job on the toy data: files, folds, training, confusion matrices, scores, report
	@$(SETUP)
	dataset/write_example_dataset.py example --overwrite
	$(call stages,toy,example/example_data.root,ntuple,report)
	@echo
	echo "report:      $(TOP)/example/foldall_report.html, its figures in foldall_report"
	echo "scored file: $(TOP)/example/example_data.root (tree ntuple, branches ml_score_*)"

example-multiclass: ## the same on the four classes of ROOT's tmva_multiclass_example.root
	@$(SETUP)
	python3 tools/copy_root_data.py example/data tmva_multiclass_example.root
	$(call stages,multiclass,example/data/tmva_multiclass_example.root,TreeS,report)
	@echo
	echo "report:      $(TOP)/example/multiclass/foldall_report.html, its figures in foldall_report"
	echo "scored file: $(TOP)/example/data/tmva_multiclass_example.root (tree TreeS, branches ml_score_*)"

example-higgs: ## the same on ROOT's Higgs_data.root, with boosted trees beside the network
	@$(SETUP)
	python3 tools/copy_root_data.py example/data Higgs_data.root
	$(call stages,higgs,example/data/Higgs_data.root,sig_tree)
	application/keras_application.py configs/higgs/{dataset,training,application}.yaml \
	    example/data/Higgs_data.root bkg_tree --overwrite
	training/TMVA_training.py configs/higgs/training.yaml all --method BDT --overwrite
	training/bdt_training.py configs/higgs/training.yaml all --method xgboost --overwrite
	testing/compare_methods.py configs/higgs/training.yaml configs/higgs/testing.yaml all --overwrite
	$(call report,higgs)
	@echo
	python3 tools/mean_auc.py example/data/Higgs_data.root sig_tree bkg_tree ml_score_signal
	echo "report:      $(TOP)/example/higgs/foldall_report.html, its figures in foldall_report"
	echo "scored file: $(TOP)/example/data/Higgs_data.root (trees sig_tree and bkg_tree, branches ml_score_*)"

example-htautau: ## the same on simulated collisions: make example-htautau DATA=folder of ggh.root, qqh.root, ...
	@if [ -z "$(DATA)" ]; then echo "make example-htautau DATA=folder: name the folder of ggh.root, ..." >&2; exit 2; fi
	$(SETUP)
	mkdir -p example/data/htautau
	for process in ggh qqh ztt tt w; do cp --no-preserve=mode "$(DATA)/$$process.root" example/data/htautau/; done
	$(call stages,htautau,example/data/htautau/ggh.root,ntuple)
	for process in qqh ztt tt w; do
	    application/keras_application.py configs/htautau/{dataset,training,application}.yaml \
	        example/data/htautau/$$process.root ntuple --overwrite
	done
	$(call report,htautau)
	@echo
	echo "report:       $(TOP)/example/htautau/foldall_report.html, its figures in foldall_report"
	echo "scored files: $(TOP)/example/data/htautau/*.root (tree ntuple, branches ml_score_*)"

example-tth: ## jets, leptons and missing energy as objects, of a toy or of simulations: make example-tth SAMPLES="a.npz ..."
	@$(SETUP)
	tools/tth_events.py example/data/tth $(SAMPLES)
	$(call stages,tth,example/data/tth/ttH.root,nominal_Loose)
	application/keras_application.py configs/tth/{dataset,training,application}.yaml \
	    example/data/tth/tt.root nominal_Loose --overwrite
	training/bdt_training.py configs/tth/training.yaml all --overwrite
	testing/compare_methods.py configs/tth/training.yaml configs/tth/testing.yaml all --overwrite
	$(call report,tth)
	@echo
	echo "report:  $(TOP)/example/tth/foldall_report.html, its figures in foldall_report"
	echo "friends: $(TOP)/example/tth/friends (tree nominal_Loose, branches ml_score_*)"

example-calratio: ## jets with constituents and an adversary, made up or yours: make example-calratio DATA=folder of sig.root, qcd.root, bib.root
	@$(SETUP)
	mkdir -p example/data/calratio
	for file in $(if $(DATA),$$(ls "$(DATA)"/{,root_synth/}{sig,sig_125,qcd,bib,control_mc,control_data}.root 2>/dev/null)); do
	    cp --no-preserve=mode "$$file" example/data/calratio/
	done
	tools/calratio_events.py example/data/calratio
	dataset/create_training_dataset.py configs/calratio/dataset.yaml --overwrite
	training/keras_training.py configs/calratio/training.yaml all --overwrite
	testing/keras_confusion_matrix.py configs/calratio/training.yaml configs/calratio/testing.yaml all --overwrite
	for file in sig sig_125 qcd bib; do
	    application/keras_application.py configs/calratio/{dataset,training,application}.yaml \
	        example/data/calratio/$$file.root trees_DV_ --overwrite
	done
	$(call report,calratio)
	@echo
	echo "report:  $(TOP)/example/calratio/foldall_report.html, its figures in foldall_report"
	echo "friends: $(TOP)/example/calratio/friends (tree trees_DV_, branches jet_nn_*, a list per event)"

example-anomaly: ## an anomaly trigger of two levels on made-up events, or yours: make example-anomaly DATA=folder of EB.root, …
	@$(SETUP)
	mkdir -p example/data/anomaly
	for file in $(if $(DATA),$$(ls "$(DATA)"/{EB,HHbbtautau,HtoAAto4b,dark_showers}.root 2>/dev/null)); do
	    cp --no-preserve=mode "$$file" example/data/anomaly/
	done
	tools/anomaly_events.py example/data/anomaly
	dataset/create_training_dataset.py configs/anomaly/l1/dataset.yaml --overwrite
	training/keras_training.py configs/anomaly/l1/training.yaml 0 --overwrite & first=$$!
	training/keras_training.py configs/anomaly/l1/training.yaml 1 --overwrite
	wait $$first
	application/keras_application_friend.py configs/anomaly/l1/{dataset,training,application}.yaml \
	    'example/data/anomaly/*.root' trigger --keep-names --overwrite
	dataset/create_training_dataset.py configs/anomaly/dataset.yaml --overwrite
	training/keras_training.py configs/anomaly/training.yaml all --workers 2 --overwrite
	testing/trigger_rates.py configs/anomaly/training.yaml configs/anomaly/testing.yaml all --overwrite
	$(call report,anomaly)
	application/keras_application.py configs/anomaly/{dataset,training,application}.yaml \
	    'example/data/anomaly/*.root' trigger --overwrite
	@echo
	echo "report:       $(TOP)/example/anomaly/foldall_report.html, its figures in foldall_report"
	echo "scored files: $(TOP)/example/data/anomaly/*.root (tree trigger, branches l1_* and hlt_*)"

example-etmiss: ## missing energy from images of the calorimeter, of a toy or of simulations: make example-etmiss SAMPLES="a.npz ..."
	@$(SETUP)
	tools/etmiss_images.py example/data/etmiss $(SAMPLES)
	dataset/create_training_dataset.py configs/etmiss/dataset.yaml --overwrite
	training/keras_training.py configs/etmiss/training.yaml 0 --overwrite & first=$$!
	training/keras_training.py configs/etmiss/training.yaml 1 --overwrite
	wait $$first
	application/keras_application_friend.py configs/etmiss/{dataset,training,application}.yaml \
	    'example/data/etmiss/*.h5' / --keep-names --overwrite
	$(call report,etmiss)
	@echo
	echo "report:  $(TOP)/example/etmiss/foldall_report.html, its figures in foldall_report"
	echo "friends: $(TOP)/example/etmiss/friends/etmiss/*.h5 (nn_ex and nn_ey, in GeV)"

# Everything about the trainings of a folder's configs on one page.
define report
testing/report.py configs/$(1)/training.yaml configs/$(1)/testing.yaml --overwrite
endef

# The four stages with the configs of a folder, the scores going into a tree of a file; with a fourth argument the report,
# too, while they are tested and applied.
define stages
dataset/create_training_dataset.py configs/$(1)/dataset.yaml --overwrite
	training/keras_training.py configs/$(1)/training.yaml all --overwrite
	{
	    testing/keras_confusion_matrix.py configs/$(1)/training.yaml configs/$(1)/testing.yaml all --overwrite
	    application/keras_application.py configs/$(1)/{dataset,training,application}.yaml $(2) $(3) --overwrite
	} & others=$$!
	$(if $(4),$(call report,$(1)))
	wait $$others
endef

test: ## all tests
	@$(DEV)
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: ## the tests that take less than ten seconds each
	@$(DEV)
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

coverage: ## all tests, and which branches of the package they reach in their own processes, without the scripts that they start: build/coverage/index.html
	@$(DEV)
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov=ntupleml --cov-branch \
	    --cov-report=html:build/coverage --cov-report=term:skip-covered

test-lower-bounds: ## all tests with the oldest versions that pyproject.toml admits
	@python3 -m venv .venv-lower-bounds
	.venv-lower-bounds/bin/pip install --quiet uv
	.venv-lower-bounds/bin/uv pip install --python .venv-lower-bounds/bin/python --resolution lowest-direct \
	    --prerelease if-necessary --editable '.[batch,keras,root,trees,dev]'
	.venv-lower-bounds/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: ## formatting, linter, order of imports, spelling and types
	@$(DEV)
	ruff format --check .
	ruff check .
	lint-imports
	codespell
	mypy

format: ## let ruff format and fix what it can
	@$(DEV)
	ruff format .
	ruff check --fix .

docs: ## the documentation as a site: build/docs/html/index.html
	@$(DEV)
	python tools/docs_site.py build/docs

schemas: ## the JSON schemas of the configs, after a change of their keys
	@$(SETUP)
	python tools/config_schemas.py python/ntupleml/config/schemas

dist: ## sdist and wheel in dist/, checked, and the wheel tried in an environment of its own
	@$(DEV)
	rm -rf build/tried
	python -m build --outdir dist .
	twine check --strict dist/*
	python -m venv build/tried
	build/tried/bin/pip install --quiet "$$(ls -t dist/*.whl | head -n 1)"
	cd "$$(mktemp -d)"
	PYTHONPATH= $(TOP)/build/tried/bin/ntupleml doctor
	PYTHONPATH= $(TOP)/build/tried/bin/ntupleml example

bench: ## the measured ratios of docs/speed.md, each against its named peer
	@$(DEV)
	for benchmark in benchmarks/*.py; do echo; echo "== $$benchmark"; python "$$benchmark"; done

clean: ## remove what the examples wrote
	rm -rf example
