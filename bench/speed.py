# SPDX-License-Identifier: Apache-2.0
"""Narrow beside ONNX Runtime, OpenVINO and ncnn: the same networks, samples and cores (`make bench-speed`).

networks.py says what is timed, arms.py how each tool is prepared and called, worker.py does the timing in processes
that timing.py drives, machine.py and peak.c find what the core could do, report.py writes the page. Results: speed.md
and speed.json.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import arms as arms_module
import machine
import networks as networks_module
import report
from timing import Bench

CAP = {"ONEDNN_MAX_CPU_ISA": "AVX2", "NARROW_ISA": "avx2"}
CHECK_SAMPLES, CHECK_SAMPLES_LARGE, LARGE = 32, 8, 1e9
RANDOM = ["resnet18", "resnet50", "mobilenet_v2", "vgg16"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder with narrow and libnarrow.so (default build)")
    parser.add_argument("--work", help="folder for networks and quantized files (default BUILD/speed)")
    parser.add_argument("--out", default="docs/results", help="folder for speed.md and speed.json")
    parser.add_argument("--only", help="networks, comma-separated parts of their names; rows of others stay if they were "
                                       "measured on the same machine, with the same versions and arms")
    parser.add_argument("--arms", default=",".join(arms_module.ARMS), help="comma-separated (default: all)")
    parser.add_argument("--threads", default="1,2", help="1, 2 or 1,2 (default)")
    parser.add_argument("--rounds", type=int, default=50, help="timed turns of each arm (default 50)")
    parser.add_argument("--slow-rounds", type=int, default=15, help="the same for networks over 50 ms (default 15)")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def make_random(folder, testbed):
    """Writes networks with random weights where $NARROW_RANDOM names a folder that has none."""
    if list(Path(folder).glob("*-random.onnx")):
        return
    say(f"making networks with random weights in {folder}")
    command = ["/usr/bin/python3", str(testbed / "make_random_models.py"), folder, *RANDOM]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        say("SKIP: networks with random weights: they need python3-torch and python3-torchvision")


def find_networks(args, testbed, random_folder):
    found = list(networks_module.real_networks(testbed))
    if random_folder:
        make_random(random_folder, testbed)
        found += networks_module.random_networks(random_folder)
    wanted = args.only.split(",") if args.only else [""]
    return [network for network in found if any(part in network.name for part in wanted)]


def summary(measured, macs, peaks, families):
    """Medians, quartiles and, at one thread, the share of the peak."""
    times = {arm: sorted(values) for arm, values in measured["times"].items()}
    medians = {arm: statistics.median(values) for arm, values in times.items()}
    quartiles = {arm: [values[len(values) // 4], values[3 * len(values) // 4]] for arm, values in times.items()}
    shares = {arm: 1e-9 * macs / seconds / peaks[families[arm]]["gmacs"] for arm, seconds in medians.items()
              if families.get(arm) in peaks}
    return {"medians": medians, "quartiles": quartiles, "turns": {arm: len(values) for arm, values in times.items()},
            "share_of_peak": shares, "details": measured["details"]}


def measure(bench, network, args, result):
    """Everything about one network: {"macs", "one_thread", ...} or {"failed": {...}} where Narrow cannot run it."""
    arms, threads = result["arms"], args.threads.split(",")
    failed = bench.prepare(network, arms)
    entry = {"task": network.task, "random_weights": network.random, "failed": failed}
    own = [arm for arm in arms if arm.startswith("narrow")]
    if all(arm in failed for arm in own):
        # One sentence for the network, not one per arm.
        entry["failed"] = {"narrow": failed[own[0]]} if own else failed
        return entry
    able = [arm for arm in arms if arm not in failed]
    details = next((arm for arm in able if arm in own))
    entry["macs"] = arms_module.narrow_kernels(bench.narrow, network.path(details.replace(" ", "-") + ".nw"))["macs"]
    families = result["families"]
    n_check = CHECK_SAMPLES_LARGE if entry["macs"] > LARGE else CHECK_SAMPLES
    if "1" in threads:
        measured = bench.measure(network, able, 1, n_check=n_check)
        failed.update(measured["failed"])
        entry["check"] = measured["check"]
        entry["one_thread"] = summary(measured, entry["macs"], result["peaks"], families)
        if "AVX-512" in result["machine"]["instruction_sets"] or "AVX-VNNI" in result["machine"]["instruction_sets"]:
            both = [arm for arm in able if arm.split()[0] in ("narrow", "openvino")]
            entry["capped"] = summary(bench.measure(network, both, 1, CAP), entry["macs"], {}, {})
    if "2" in threads and len(bench.cores) > 1:
        measured = bench.measure(network, [arm for arm in able if arm not in failed], 2)
        entry["two_threads"] = summary(measured, entry["macs"], {}, {})
    return entry


def keep_rows(result, earlier):
    """Takes over earlier rows of the same set-up. Shares are brought to the larger of the two peaks measured."""
    same = ("machine", "narrow_isa", "arms", "families", "rounds", "slow_rounds", "calibration_samples")
    if any(earlier.get(key) != result[key] for key in same):
        say("rows measured before are of another set-up and are dropped")
        return
    for family, peak in result["peaks"].items():
        before = earlier["peaks"].get(family, peak)
        factor = before["gmacs"] / max(before["gmacs"], peak["gmacs"])
        for entry in earlier["networks"].values():
            shares = entry.get("one_thread", {}).get("share_of_peak", {})
            shares.update({arm: share * factor for arm, share in shares.items() if result["families"][arm] == family})
        if before["gmacs"] > peak["gmacs"]:
            result["peaks"][family] = before
    result["networks"] = earlier["networks"]


def line_of(name, entry):
    """Progress: the ratios of one network."""
    texts = []
    for key in ("one_thread", "capped", "two_threads"):
        medians = entry.get(key, {}).get("medians", {})
        best = report.fastest_peer(medians)
        if best:
            own = [arm for arm in medians if arm.startswith("narrow")]
            ratios = " ".join(f"{arm.split()[1]} {best[1] / medians[arm]:.2f}" for arm in own)
            texts.append(f"{key.replace('_', ' ')}: {ratios} against {best[0]}")
    return f"{name}: " + ("; ".join(texts) or "; ".join(entry["failed"].values()) or "no peer to compare with")


def main():
    args = arguments()
    testbed = Path(os.environ.get("NARROW_TESTBED", "../shared/testbed")).resolve()
    if not (testbed / "models.json").exists():
        say(f"SKIP: no test bed at {testbed}; set NARROW_TESTBED")
        return
    build = Path(args.build).resolve()
    work = Path(args.work).resolve() if args.work else build / "speed"
    work.mkdir(parents=True, exist_ok=True)
    narrow = str(build / "narrow")
    cores = sorted(os.sched_getaffinity(0))[-2:]
    bench = Bench(str(build / "libnarrow.so"), narrow, cores, args.rounds, args.slow_rounds)
    if len(cores) < 2 and "2" in args.threads:
        say("SKIP: two threads: only one core may be used")
    cpu = json.loads(subprocess.run([narrow, "cpu", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    described = machine.describe()
    arms = [arm for arm in args.arms.split(",") if arm]
    for tool in sorted({arm.split()[0] for arm in arms} - {"narrow"}):
        if machine.PACKAGES[tool] not in described["versions"]:
            say(f"SKIP: {tool} is not installed")
            arms = [arm for arm in arms if arm.split()[0] != tool]
    families = {arm: machine.family(arm, cpu["isa"], described["instruction_sets"]) for arm in arms}
    result = {"machine": described, "narrow_isa": cpu["isa"], "arms": arms, "families": families,
              "peaks": machine.peaks(str(work), cores[-1]), "rounds": args.rounds, "slow_rounds": args.slow_rounds,
              "calibration_samples": networks_module.N_CALIBRATION, "reduced_range": machine.needs_reduced_range(),
              "networks": {}}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if args.only and (out / "speed.json").exists():
        keep_rows(result, json.loads((out / "speed.json").read_text()))
    for network in find_networks(args, testbed, os.environ.get("NARROW_RANDOM")):
        network.folder = str(work / network.name)
        networks_module.prepare(network, testbed)
        entry = measure(bench, network, args, result)
        result["networks"][network.name] = entry
        say(line_of(network.name, entry))
        (out / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
        (out / "speed.md").write_text(report.markdown(result))


if __name__ == "__main__":
    main()
