# SPDX-License-Identifier: Apache-2.0
# Every target does its own set-up first, on a fresh Debian 12 machine too (root or sudo).
PYTHON := .venv/bin/python
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)

.PHONY: help setup build demo test sanitize bench accuracy lint format install clean

help:
	@echo "make demo      train a small language model through addnorm and compare it with torch"
	@echo "make test      build everything and run every test"
	@echo "make sanitize  the C++ tests under AddressSanitizer, UBSan and ThreadSanitizer"
	@echo "make bench     speed tables          make accuracy  error tables"
	@echo "make lint      all linters           make format    rewrite the layout of C++ and Python"
	@echo "make install   PREFIX=dir: headers, library, find_package(addnorm), pkg-config"
	@echo "make setup     only the set-up       make clean     remove build/ (set-up stays)"

setup:
	@tools/setup.sh

build: setup
	@tools/build.sh release $(JOBS)

demo: setup
	@$(PYTHON) -m demo $(ARGS)

test: build
	@tools/test.sh $(JOBS)

bench: build
	@tools/bench.sh

accuracy: setup
	@$(PYTHON) -m demo.accuracy $(ARGS)

sanitize: setup
	@cmake --workflow --preset asan
	@cmake --workflow --preset tsan

lint: build
	@tools/lint.sh

format:
	@tools/lint.sh --fix

install:
	@tools/setup.sh system
	@tools/build.sh install $(JOBS)
	@cmake --install build/install --prefix "$(PREFIX)"

clean:
	rm -rf build
