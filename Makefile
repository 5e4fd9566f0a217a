# SPDX-License-Identifier: Apache-2.0
# make            build/narrow and build/libnarrow.so
# make demo       install what is missing, build, quantize and evaluate the network in demo/
# make test       the whole suite
# make demo-real  the same as demo for real networks, if the test bed is there
# make fuzz       ten minutes for every reader of foreign bytes
BUILD := build
NARROW := $(BUILD)/narrow
NARROW_TESTBED ?= ../shared/testbed
export NARROW_TESTBED
JOBS := $(shell nproc 2>/dev/null || echo 2)

.PHONY: all build demo demo-real test fuzz clean install

all: build

build:
	@sh tools/install.sh build
	@mkdir -p $(BUILD)
	@cmake -S . -B $(BUILD) -DNARROW_TESTS=OFF >$(BUILD)/configure.log || { cat $(BUILD)/configure.log; exit 1; }
	@cmake --build $(BUILD) -j $(JOBS) --target narrow libnarrow

demo: build
	@sh demo/demo.sh $(NARROW) $(BUILD)

demo-real: build
	@sh tools/demo_real.sh $(NARROW) $(BUILD) "$(NARROW_TESTBED)"

test:
	@sh tools/install.sh test
	@mkdir -p $(BUILD)
	@sh tools/venv.sh $(BUILD)/venv
	@sh tools/test.sh "$(CURDIR)" "$(CURDIR)/$(BUILD)"

fuzz:
	@sh tools/install.sh test
	@sh tools/fuzz.sh "$(CURDIR)" "$(CURDIR)/$(BUILD)/fuzz"

install: build
	cmake --install $(BUILD)

clean:
	rm -rf $(BUILD)
