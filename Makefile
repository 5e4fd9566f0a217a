# SPDX-License-Identifier: Apache-2.0
# make            build/narrow and build/libnarrow.so
# make demo       install what is missing, build, quantize and evaluate the network in demo/
# make test       the whole suite
# make demo-real  the same as demo for real networks, if the test bed is there
# make bench-speed  times Narrow beside ONNX Runtime, OpenVINO and ncnn: docs/results/speed.md; BENCH= passes flags, and
#                 NARROW_RANDOM=folder adds networks with random weights (resnet18, resnet50, mobilenet_v2, vgg16)
# make bench-accuracy  what every method keeps of the test-bed networks' accuracy: docs/results/accuracy.md, activations.md; BENCH= flags
# make bench-planner  the planner's allocations beside each other: docs/results/planner.md; BENCH= flags,
#                 NARROW_RANDOM= as above. Hours
# make test-long  an array job on a real Slurm, and networks on a big-endian machine under emulation. Minutes
# make bench-sums  what 16-bit sums buy and cost, and how often fixed widths would overflow them: docs/results/sums.md,
#                 overflow.md; BENCH= flags of both, NARROW_RANDOM= as above
# make bench-kernels  what the forms of sums reach of the core's limit, instructions of the Arm kernels (cross compiler),
#                 what `narrow tune` gains: docs/results/kernels.md; builds with tests; BENCH= flags, NARROW_RANDOM= as above
# make bench-widths  what narrow weights and stored activations cost and save, and how long quantizing takes:
#                 docs/results/widths.md, storage.md, quantize_time.md; BENCH= flags that all three know, NARROW_RANDOM= as above
# make fuzz       ten minutes for every reader of foreign bytes
BUILD := build
NARROW := $(BUILD)/narrow
NARROW_TESTBED ?= ../shared/testbed
export NARROW_TESTBED
JOBS := $(shell nproc 2>/dev/null || echo 2)

.PHONY: all build demo demo-real test test-long fuzz bench-speed bench-sums bench-kernels bench-widths bench-accuracy bench-planner clean install

all: build

build:
	@sh tools/install.sh build
	@mkdir -p $(BUILD)
	@cmake -S . -B $(BUILD) -DNARROW_TESTS=OFF >$(BUILD)/configure.log || { cat $(BUILD)/configure.log; exit 1; }
	@echo "building $(NARROW)"
	@cmake --build $(BUILD) -j $(JOBS) --target narrow libnarrow >$(BUILD)/make.log 2>&1 || { cat $(BUILD)/make.log; exit 1; }

demo: build
	@sh demo/demo.sh $(NARROW) $(BUILD)

demo-real: build
	@sh tools/demo_real.sh $(NARROW) $(BUILD) "$(NARROW_TESTBED)"

test:
	@sh tools/install.sh test
	@mkdir -p $(BUILD)
	@sh tools/venv.sh $(BUILD)/venv
	@sh tools/test.sh "$(CURDIR)" "$(CURDIR)/$(BUILD)"

test-long:
	@sh tools/install.sh long
	@mkdir -p $(BUILD)
	@sh tests/long/run.sh "$(CURDIR)" "$(CURDIR)/$(BUILD)"

bench-accuracy: build
	@python3 tools/bench_accuracy.py --narrow $(NARROW) $(BENCH)
	@python3 tools/bench_activations.py --narrow $(NARROW) $(BENCH)

bench-planner: build
	@python3 tools/bench_planner.py --narrow $(NARROW) --random "$(NARROW_RANDOM)" $(BENCH)

bench-sums: build
	@python3 bench/sums.py --narrow $(NARROW) --random "$(NARROW_RANDOM)" $(BENCH)
	@python3 bench/overflow.py --narrow $(NARROW) $(BENCH)

bench-kernels:
	@sh tools/install.sh test
	@mkdir -p $(BUILD)
	@cmake -S . -B $(BUILD)/bench-kernels -DNARROW_TESTS=ON >/dev/null
	@cmake --build $(BUILD)/bench-kernels -j $(JOBS) --target narrow kernelcheck >/dev/null
	@python3 bench/kernels.py --build $(BUILD)/bench-kernels --random "$(NARROW_RANDOM)" $(BENCH)

bench-widths: build
	@python3 bench/storage.py --narrow $(NARROW) $(BENCH)
	@python3 bench/widths.py --narrow $(NARROW) --random "$(NARROW_RANDOM)" $(BENCH)
	@python3 bench/quantize_time.py --narrow $(NARROW) $(BENCH)

fuzz:
	@sh tools/install.sh test
	@sh tools/fuzz.sh "$(CURDIR)" "$(CURDIR)/$(BUILD)/fuzz"

bench-speed: build
	@sh tools/install.sh bench
	@sh tools/venv.sh $(BUILD)/venv-speed numpy pillow onnx --optional onnxruntime openvino nncf ncnn --bare pnnx
	@[ ! -f $(BUILD)/venv-speed/complete ] || $(BUILD)/venv-speed/bin/python bench/speed.py --build $(BUILD) $(BENCH)

install: build
	cmake --install $(BUILD)

clean:
	rm -rf $(BUILD)
