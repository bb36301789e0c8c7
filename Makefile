# SPDX-License-Identifier: Apache-2.0
# Thin: every target calls a script or a CMake preset. `make help` lists them.
.PHONY: all run test bench bench-control fmt tidy asan tsan fuzz clean help
RUN_FLAGS ?=

all:            ## release build: build/release/bin/{sluice,sluice-proxy,sluice-control,sluice-mock}
	@scripts/install-deps.sh build
	@cmake --preset release >/dev/null
	@cmake --build --preset release

run: all        ## everything on this machine: private Redis, control plane, proxy (Ctrl-C stops it)
	@scripts/install-deps.sh run
	@exec build/release/bin/sluice up $(RUN_FLAGS)

test: all       ## every test through ctest
	@scripts/install-deps.sh test
	@cmake --preset release >/dev/null
	@cmake --build --preset release
	@scripts/ctest.sh release

bench: all      ## benchmarks against direct and nginx, and bench-control (docs/benchmarks.md)
	@scripts/install-deps.sh bench
	@/usr/bin/python3 tests/bench/run.py $(BENCH_FLAGS)
	@$(if $(BENCH_FLAGS),true,$(MAKE) --no-print-directory bench-control)

bench-control: all ## benchmarks of changes, scale and limits over three proxies (docs/benchmarks.md)
	@scripts/install-deps.sh bench
	@/usr/bin/python3 tests/bench/propagation.py --bin build/release/bin --scale
	@/usr/bin/python3 tests/bench/limits.py --bin build/release/bin

fmt:            ## format the sources
	@scripts/install-deps.sh lint
	@scripts/format.sh

tidy: all       ## clang-tidy
	@scripts/install-deps.sh lint
	@scripts/tidy.sh build/release

asan tsan fuzz: ## build and test under sanitizers, or the fuzz targets
	@scripts/install-deps.sh test lint
	@cmake --preset $@ >/dev/null
	@cmake --build --preset $@
	@scripts/ctest.sh $@

clean:          ## remove the build
	@rm -rf build

help:
	@sed -n 's/^\([a-z -]*\):[^#]*## /\1\t/p' Makefile
