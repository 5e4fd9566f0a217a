# The same on one machine: make -j4 -f plan.mk state.json NETWORK=net.onnx PHOTOS=photos/ OPTIONS="--preprocess net.json"
# A part that was interrupted goes on where it was.
NARROW ?= narrow
parts := $(foreach i,1 2 3 4,part-$(i).json)

state.json: $(parts)
	$(NARROW) plan --merge $@ $^

part-%.json:
	$(NARROW) plan $(NETWORK) --calib $(PHOTOS) $(OPTIONS) --shard $*/4 --state $@.tmp --threads 1
	mv $@.tmp $@
