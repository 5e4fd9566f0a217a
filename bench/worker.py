# SPDX-License-Identifier: Apache-2.0
"""A process that loads arms of one network and times them on demand: started by timing.py, spoken to over pipes.

First line in: a JSON object (network, arms, threads, cores, library, narrow, environment is inherited). Then commands,
one JSON object per line, each answered by one line: {"do": "prepare"}, {"do": "load"}, {"do": "check", "n": samples},
{"do": "time", "rounds": N}.
"""
import json
import os
import random
import resource
import sys
import time

import numpy as np

import arms
from networks import Network

TURN = 1e-3        # seconds of one timed turn at least, in whole runs
WARM_BELOW = 1e-2  # runs shorter than this get an untimed one before each turn, so that all find their caches warm
WARM_UP = 3


class Worker:
    def __init__(self, job):
        self.job = job
        self.network = Network(**job["network"])
        self.loaded, self.repeats, self.warm = {}, {}, {}
        self.random = random.Random(1)

    def each(self, action):
        """action(arm) for every arm: {arm: sentence} of those that failed."""
        failed = {}
        for arm in self.job["arms"]:
            try:
                action(arm)
            except Exception as error:
                kind = "" if isinstance(error, RuntimeError) else type(error).__name__ + ": "
                failed[arm] = (kind + str(error).strip()).split("\n")[0][:300]
        return failed

    def prepare(self):
        return {"failed": self.each(lambda arm: arms.prepare(arm, self.network, self.job["narrow"]))}

    def load(self):
        self.test = np.load(self.network.path("test.npy"))
        failed = self.each(self.load_arm)
        return {"failed": failed, "details": {name: arm.detail for name, arm in self.loaded.items()}}

    def load_arm(self, name):
        arm = arms.load(name, self.network, self.job["threads"], self.job["library"], self.job["narrow"])
        arm.bind(self.test[:1])
        for _ in range(WARM_UP):
            start = time.perf_counter()
            arm.run()
            seconds = time.perf_counter() - start
        self.loaded[name] = arm
        self.repeats[name] = max(1, min(1000, round(TURN / seconds)))
        self.warm[name] = seconds < WARM_BELOW

    def check(self, n):
        """Outputs of every arm on n samples against the first float arm: finite, and how alike."""
        names = list(self.loaded)
        reference = next((name for name in names if name.endswith("float")), names[0])
        results = {name: [] for name in names}
        for row in self.test[:n]:
            for name in names:
                self.loaded[name].bind(row[None])
                self.loaded[name].run()
                results[name].append(np.asarray(self.loaded[name].output(), np.float32).reshape(-1))
        for name in names:
            self.loaded[name].bind(self.test[:1])
        truth = np.stack(results[reference])
        shape = (len(truth), self.outputs_axis(truth), -1)
        return {"reference": reference, "samples": len(truth),
                "agreement": {name: self.compare(np.stack(rows), truth, shape) for name, rows in results.items()}}

    def outputs_axis(self, truth):
        """Number of classes: the whole output, or that of a map's first axis."""
        if self.network.task != "map":
            return truth.shape[1]
        return self.loaded[next(iter(self.loaded))].output().shape[1]

    def compare(self, values, truth, shape):
        """Percent of equal argmax, for values the signal-to-noise ratio in dB; None: not finite or of another size."""
        if values.shape != truth.shape or not np.isfinite(values).all():
            return None
        if self.network.task == "values":
            noise = float(np.mean((values - truth) ** 2))
            return 10 * np.log10(max(float(np.mean(truth ** 2)), 1e-30) / max(noise, 1e-30))
        return 100 * float(np.mean(values.reshape(shape).argmax(1) == truth.reshape(shape).argmax(1)))

    def time(self, rounds):
        """{arm: [seconds per run] * rounds}, the arms taking turns in an order shuffled anew in every round."""
        names = list(self.loaded)
        times = {name: [] for name in names}
        for _ in range(rounds):
            self.random.shuffle(names)
            for name in names:
                times[name].append(self.turn(name))
        return {"times": times}

    def turn(self, name):
        run, repeats = self.loaded[name].run, self.repeats[name]
        if self.warm[name]:
            run()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        return (time.perf_counter() - start) / repeats


def main():
    answers = os.fdopen(os.dup(1), "w")  # whatever tools print goes to stderr
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, job["cores"])  # before any tool starts a thread
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    worker = Worker(job)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(worker, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
