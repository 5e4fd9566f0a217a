# SPDX-License-Identifier: Apache-2.0
"""Runs worker.py: in one process with all arms taking turns (one thread), or one process per arm, the processes taking
turns (more threads: thread pools spin, and would steal each other's cores inside one process)."""
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict

REST = 0.03  # seconds between the turns of two processes, in which a thread pool stops spinning
WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


class Process:
    """A worker; `do` raises RuntimeError if it dies."""

    def __init__(self, job, environment=None):
        self.log = open(os.path.join(job["network"]["folder"], "log.txt"), "a")
        self.child = subprocess.Popen([sys.executable, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=self.log, text=True, env=dict(os.environ, **(environment or {})))
        self.send(job)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.child.stdin.close()
        self.child.wait()
        self.log.close()

    def send(self, message):
        self.child.stdin.write(json.dumps(message) + "\n")
        self.child.stdin.flush()

    def do(self, command, **arguments):
        try:
            self.send(dict(arguments, do=command))
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"its process ended with code {self.child.wait()}")
        return json.loads(line)


class Bench:
    """Where things are and how much to run; `measure` times one network."""

    def __init__(self, library, narrow, cores, rounds, slow_rounds):
        self.library, self.narrow, self.cores = library, narrow, cores
        self.rounds, self.slow_rounds = rounds, slow_rounds

    def job(self, network, arms, threads):
        return {"network": asdict(network), "arms": arms, "threads": threads, "cores": self.cores[-threads:],
                "library": self.library, "narrow": self.narrow}

    def prepare(self, network, arms):
        """Makes every arm's files, each in a process of its own: {arm: sentence} of those that cannot."""
        failed = {}
        for arm in arms:
            job = dict(self.job(network, [arm], 1), cores=self.cores)
            with Process(job) as process:
                try:
                    failed.update(process.do("prepare")["failed"])
                except RuntimeError as error:
                    failed[arm] = str(error)
        return failed

    def measure(self, network, arms, threads, environment=None, n_check=0):
        """{"times": {arm: [seconds]}, "failed", "details"} and, if n_check, "check": outputs against float."""
        groups = [arms] if threads == 1 else [[arm] for arm in arms]
        result = {"times": {}, "failed": {}, "details": {}}
        live = []
        try:
            for group in groups:
                process = Process(self.job(network, group, threads), environment).__enter__()
                live.append((process, group))
                try:
                    answer = process.do("load")
                except RuntimeError as error:
                    answer = {"failed": {arm: str(error) for arm in group}, "details": {}}
                    live.pop()[0].__exit__()
                for key in ("failed", "details"):
                    result[key].update(answer[key])
                if n_check and answer["details"]:
                    result["check"] = process.do("check", n=n_check)
            self.rounds_of(live, result)
        finally:
            for process, group in live:
                process.__exit__()
        return result

    def rounds_of(self, live, result):
        """One probing round tells the slow networks, then the rest; medians are for the caller."""
        done, wanted = 0, 1
        while done < wanted:
            for process, group in live:
                for arm, times in process.do("time", rounds=1)["times"].items():
                    result["times"].setdefault(arm, []).extend(times)
                if len(live) > 1:
                    time.sleep(REST)
            done += 1
            if done == 1 and result["times"]:
                fastest = min(min(times) for times in result["times"].values())
                wanted = self.slow_rounds if fastest > 0.05 else self.rounds
