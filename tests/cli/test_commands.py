# SPDX-License-Identifier: Apache-2.0
"""Every command does what docs/command-line.md says: its options, its JSON keys, the same answer by every route.

    test_commands.py NARROW [CASE...]
"""
import json
import os
import re
import sys

import made_files as made
from narrow_cli import CALIB, ONNX, PICTURE, PREPROCESS, ROOT, TEST, Skipped, main, quantized

COMMANDS = ["quantize", "plan", "eval", "run", "bench", "inspect", "report", "verify", "tune", "cpu"]
SHARED = ["preprocess", "size", "resize", "interpolation", "crop", "mean", "std", "channel-order", "class-offset"]


# ---- the page ----

def section(command):
    with open(os.path.join(ROOT, "docs", "command-line.md")) as file:
        page = file.read()
    return re.search(r"^## %s\n(.*?)(?=^## |\Z)" % command, page, re.S | re.M).group(1)


def documented_keys(command):
    """{key: when} of the table of a command's JSON keys."""
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\|[^|]*\|([^|]*)\|$", section(command), re.M)
    return {key: when.strip() for key, when in rows}


def paths(value, prefix=""):
    """Keys of a document as the page writes them: "a.b", "list[].key"."""
    if isinstance(value, dict):
        return set().union(*[paths(v, prefix + "." + k if prefix else k) for k, v in value.items()] or [set()])
    if isinstance(value, list):
        return set().union(*[paths(v, prefix + "[]") for v in value] or [set()])
    return {prefix}


def check_keys(command, report, *conditions):
    """Keys are those documented: all without a condition, and all whose conditions are given."""
    documented = documented_keys(command)
    expected = {key for key, when in documented.items()
                if all(part in conditions for part in when.split(", ") if part)}
    found = paths(report)
    assert found == expected, "%s %s: undocumented %s, missing %s" % (
        command, conditions, sorted(found - expected), sorted(expected - found))


def near(a, b, what, limit=1e-9):
    assert abs(a - b) <= limit * max(1.0, abs(b)), "%s: %r and %r" % (what, a, b)


# ---- help ----

def named_options(command):
    rows = re.findall(r"^\| (`--.*?) \|", section(command), re.M)
    return {name for row in rows for name in re.findall(r"`--([a-z-]+)", row)}


def help_of_every_command(narrow):
    listing = narrow.good("--help").out
    assert narrow.good("help").out == listing
    assert re.match(r"narrow \d+\.\d+\.\d+\n$", narrow.good("--version").out)
    for command in COMMANDS:
        assert re.search(r"^    %s +\S" % command, listing, re.M), command
        text = narrow.good(command, "--help").out
        assert text.startswith("narrow %s" % command) and "example:\n    narrow %s" % command in text, text
        options = set(re.findall(r"^    --([a-z-]+)", text, re.M)) - {"help"} - set(SHARED)
        named = named_options(command)
        if "options of [quantize]" in section(command):
            named |= options & named_options("quantize")
        assert options == named, "%s: --help %s, page %s" % (command, sorted(options), sorted(named))


def page_names_every_preprocessing_option(narrow):
    text = narrow.good("eval", "--help").out
    with open(os.path.join(ROOT, "docs", "command-line.md")) as file:
        page = file.read()
    for name in SHARED:
        assert "--%s " % name in text and "`--%s " % name in page, name


# ---- one case per command ----

def quantize(narrow):
    out = os.path.join(narrow.folder, "net.nw")
    report = narrow.report("quantize", ONNX, out, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "7")
    check_keys("quantize", report)
    assert report["model"] == out and report["from"] == ONNX and report["calibration_samples"] == 7
    assert report["integer_mac_share"] == 1 and [w["weight_bits"] for w in report["widths"]] == [8]
    assert report["weight_bytes"] * 4 == report["float_weight_bytes"]
    assert os.stat(out).st_mode & 0o777 == 0o666 & ~umask(), "mode of the file"
    with open(out, "rb") as file:
        first = file.read()
    text = narrow.good("quantize", "--samples=7", ONNX, "--preprocess=" + PREPROCESS, "--calib=" + CALIB, "--", out).out
    assert re.search(r"100\.0 % of 9106944 .* 7 calibration samples", text) and text.count("\n") == 1, text
    with open(out, "rb") as file:
        assert file.read() == first, "quantizing twice gives two files"
    assert sorted(os.listdir(narrow.folder)) == ["net.nw"]


def memory_of(narrow, *arguments):
    """Peak resident bytes of a command that succeeds."""
    pid = os.posix_spawn(narrow.path, [narrow.path, *arguments], os.environ,
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, arguments
    return usage.ru_maxrss * 1024


def memory(narrow):
    """Quantizing takes no more memory for 1,000 samples than for 100."""
    if "ASAN_OPTIONS" in os.environ:
        raise Skipped("memory under a sanitizer is the sanitizer's")
    pictures = sorted(os.path.join(base, name) for base, _, names in os.walk(CALIB) for name in names)
    peaks = []
    for n in (100, 1000):
        lines = "".join("%s,0\n" % pictures[i % len(pictures)] for i in range(n))
        data = narrow.file("list%d.csv" % n, lines.encode())
        peaks.append(memory_of(narrow, "quantize", ONNX, os.path.join(narrow.folder, "net.nw"), "--calib", data,
                               "--preprocess", PREPROCESS, "--threads", "1", "--weights", "4"))
    assert peaks[1] < 1.05 * peaks[0], "peak bytes at 100 and 1,000 samples: %s" % peaks


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def quantize_switches(narrow):
    """Each switch changes the file; flags stand for the keys of the preprocessing file."""
    files = set()
    for options in ([], ["--no-equalize"], ["--no-limits"], ["--range", "minmax"], ["--weight-range", "minmax"],
                    ["--bias-correction", "none"], ["--weights", "5"], ["--acts", "6"],
                    ["--acts", "6", "--learn", "0"],
                    ["--rounding-samples", "5"],
                    ["--weights", "4", "--weight-book", "flint"], ["--weights", "4", "--weight-book", "power-of-two"],
                    ["--weights", "4", "--weight-book", "per-tensor"], ["--weights", "5", "--weight-book", "auto"],
                    ["--weights", "4", "--weight-method", "piecewise"], ["--weights", "4", "--weight-method", "ocs"],
                    ["--weights", "4", "--weight-method", "multipoint"],
                    ["--weights", "4", "--weight-method", "multipoint-random"]):
        with open(quantized(narrow, "net.nw", "--seed", "1", *options), "rb") as file:
            files.add(file.read())
    assert len(files) == 18, "%d different files of 18" % len(files)
    flags = os.path.join(narrow.folder, "flags.nw")
    narrow.good("quantize", ONNX, flags, "--calib", CALIB, "--mean", "127.5", "--std", "64,64,64", "--samples", "12")
    with open(flags, "rb") as a, open(quantized(narrow, "plain.nw"), "rb") as b:
        assert a.read() == b.read(), "flags and file of the same preprocessing give two networks"


def wide_ends(narrow):
    net = quantized(narrow, "ends.nw", "--weights", "4", samples=3)
    assert [w["weight_bits"] for w in narrow.report("inspect", net)["widths"]] == [4, 8]


def plans(narrow):
    """A network's plan reproduces it; an edited one, and rows on the command line, change what they name."""
    net = quantized(narrow, "net.nw", "--weights", "4", samples=3)
    plan = os.path.join(narrow.folder, "plan.json")
    text = narrow.good("inspect", net, "--plan").out
    with open(plan, "w") as file:
        file.write(text)
    with open(net, "rb") as a, open(quantized(narrow, "again.nw", "--plan", plan, samples=3), "rb") as b:
        assert a.read() == b.read(), "a network's own plan makes another network"
    document = json.loads(text)
    layers = [row["node"] for row in document["layers"]]
    document["layers"] = [{"node": layers[1], "bits": 3, "why": {"asked": True}}, {"match": ".*", "bits": 5}]
    document["tensors"] = []
    with open(plan, "w") as file:
        json.dump(document, file)
    edited = quantized(narrow, "edited.nw", "--plan", plan, "--tensor-bits", ".*=6", samples=3)
    followed = json.loads(narrow.good("inspect", edited, "--plan").out)
    assert [row["bits"] for row in followed["layers"]] == [5, 3] + [5] * (len(layers) - 2), followed
    assert followed["layers"][1]["why"] == {"asked": True}
    assert {row["bits"] for row in followed["tensors"]} == {6}
    row = quantized(narrow, "row.nw", "--weights", "4", "--layer-bits", "%s=2" % re.escape(layers[1]), samples=3)
    assert {r["node"]: r["weight_bits"] for r in narrow.report("inspect", row)["nodes"] if "weight_bits" in r}[layers[1]] == 2


def macs_of(narrow, net):
    return {node["node"]: node["macs"] for node in narrow.report("inspect", net)["nodes"]}


def planned_points(narrow):
    """Further points are in the plan, layer by layer: the plan alone makes the same network, an edited one another."""
    net = quantized(narrow, "net.nw", "--weights", "3", "--weight-method", "multipoint-refine", "--point-budget", "20", samples=3)
    path = os.path.join(narrow.folder, "plan.json")
    plan = json.loads(narrow.good("inspect", net, "--plan").out)
    given = {row["node"]: row["extra_points"] for row in plan["layers"]}
    assert sum(given.values()) > 4 and 0 in given.values(), given
    narrow.file("plan.json", json.dumps(plan))
    with open(net, "rb") as a, open(quantized(narrow, "again.nw", "--plan", path, samples=3), "rb") as b:
        assert a.read() == b.read(), "a network's own plan makes another network"
    macs = macs_of(narrow, net)
    base = macs_of(narrow, quantized(narrow, "plain.nw", "--weights", "3", samples=3))
    name = max(given, key=given.get)
    plan["layers"] = [dict(row, extra_points=2 if row["node"] == name else 0) for row in plan["layers"]]
    narrow.file("plan.json", json.dumps(plan))
    edited = quantized(narrow, "edited.nw", "--plan", path, samples=3)
    now = macs_of(narrow, edited)
    assert all(now[node] == base[node] for node in given if node != name)
    assert (now[name] - base[name]) * given[name] == 2 * (macs[name] - base[name]) > 0, (now, macs, base)
    quantize = ["quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "3", "--plan", path]
    narrow.bad(2, "extra_points.*cannot go with one step for all rows", *quantize, "--weight-book", "shared")
    plan["layers"][0]["extra_points"] = 1000
    narrow.file("plan.json", json.dumps(plan))
    narrow.bad(2, '"extra_points": at most', *quantize)
    plan["layers"][0]["extra_points"] = -1
    narrow.file("plan.json", json.dumps(plan))
    narrow.bad(4, '"extra_points" must be a whole number', *quantize)


PLAN = ["--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--measure-samples", "8"]


def planning(narrow):
    """A plan for a size: what it says is what quantize makes of it, and a better one than equal widths."""
    packed = [*PLAN, "--weight-storage", "packed"]  # sizes are known to the byte
    path = os.path.join(narrow.folder, "plan.json")
    state = os.path.join(narrow.folder, "state.json")
    seen = narrow.report("plan", ONNX, *packed, "--state", state)
    check_keys("plan", seen, "planned", "judged")
    sizes = [point["bytes"] for point in seen["front"]]
    assert sizes == sorted(sizes) and len(sizes) > 8 and seen["samples"] == {
        "calibration": 16, "measured": 4, "held_out": 8, "judged": 64}, seen
    goal = sizes[4]
    report = narrow.report("plan", ONNX, path, *packed, "--state", state, "--target-size", str(goal))
    check_keys("plan", report, "planned", "judged", "labels", "written", "goal")
    assert report["samples"]["judged"] == 64 and 0 < report["chosen"]["drop_standard_error"] <= report["chosen"]["drop"]
    assert report["chosen"]["met"] and goal * 0.97 < report["chosen"]["bytes"] <= goal, report["chosen"]
    with open(path) as file:
        plan = json.load(file)
    assert {row["node"]: row["bits"] for row in plan["layers"]} == {
        row["node"]: row["bits"] for row in report["chosen"]["layers"]}
    for row in plan["layers"]:
        why = row["why"]
        own = [width for width in why["by_bits"] if width["bits"] == row["bits"]][0]
        assert why["damage"] == own["damage"] and why["bytes"] == own["bytes"] and why["damage_measure"] == "divergence"
    near(sum(row["why"]["damage"] for row in plan["layers"]), report["chosen"]["damage"], "sum of reasons", 1e-3)
    net = os.path.join(narrow.folder, "net.nw")
    direct = os.path.join(narrow.folder, "direct.nw")
    made = narrow.report("quantize", ONNX, direct, *packed, "--state", state, "--target-size", str(goal))
    check_keys("quantize", made, "goal", "labels")
    assert os.path.getsize(direct) == report["chosen"]["bytes"] == made["chosen"]["bytes"]
    narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--plan", path)
    assert os.path.getsize(net) == os.path.getsize(direct)
    stored = json.loads(narrow.good("inspect", net, "--plan").out)
    assert all("by_bits" not in row["why"] and "damage" in row["why"] for row in stored["layers"])
    bears = narrow.report("plan", ONNX, path, *packed, "--state", state, "--target-size", str(goal), "--allocation", "adaptive")
    check_keys("plan", bears, "planned", "judged", "labels", "written", "goal", "robustness")
    with open(path) as file:
        reasons = {row["node"]: row["why"] for row in json.load(file)["layers"]}
    for row in bears["measured"]:
        assert row["noise_rate"] > 0 and row["robustness"] > 0, row
        near(reasons[row["name"]]["noise_rate"], row["noise_rate"], "p_i", 1e-3)
        near(reasons[row["name"]]["robustness"], row["robustness"], "t_i", 1e-3)
    shown = narrow.good("plan", ONNX, *packed, "--state", state, "--robustness").out
    assert all("%12.4g %12.4g\n" % (row["noise_rate"], row["robustness"]) in shown for row in bears["measured"]), shown
    assert "margin %.4g\n" % bears["margin"] in shown, shown
    equal = narrow.report("plan", ONNX, *packed, "--state", state, "--target-size", str(goal), "--allocation", "equal")
    assert equal["chosen"]["damage"] > report["chosen"]["damage"] and equal["chosen"]["bytes"] <= goal
    narrow.good("plan", ONNX, path, *packed, "--tensors", "--target-size", str(goal))
    with open(path) as file:
        tensors = json.load(file)["tensors"]
    assert len(tensors) > 5 and all(len(row["why"]["by_bits"]) == 7 and "bits" not in row for row in tensors)
    narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "4", "--plan", path)
    dry = [ONNX, path, *packed, "--state", state, "--target-size", "30%", "--dry-run"]
    text = narrow.good("plan", *dry).out
    assert "chosen:" in text and "0 networks tried" in text, text
    shown = dict(re.findall(r"^(/\S+) +(\d) ", text, re.M))
    assert shown == {row["node"]: str(row["bits"]) for row in narrow.report("plan", *dry)["chosen"]["layers"]}, text
    small = narrow.report("quantize", ONNX, net, *PLAN, "--target-size", str(goal))
    assert small["weight_storage"] == "coded" and small["chosen"]["met"] and os.path.getsize(net) <= goal, small["chosen"]
    stored = json.loads(narrow.good("inspect", net, "--plan").out)
    assert stored["weight_storage"] == "coded" and any(row.get("book") == "shared" for row in stored["layers"])
    assert small["chosen"]["damage"] < 0.8 * made["chosen"]["damage"], (small["chosen"], made["chosen"])


def points_as_choices(narrow):
    """With a multipoint method and a goal every layer may have further points; the plan says which do."""
    path, net = os.path.join(narrow.folder, "plan.json"), os.path.join(narrow.folder, "net.nw")
    common = [*PLAN, "--weight-method", "multipoint-refine", "--point-budget", "20", "--first-last", "0",
              "--state", os.path.join(narrow.folder, "state.json"), "--target-size"]
    given = []
    for size in ("14%", "16%", "19%"):
        report = narrow.report("plan", ONNX, path, *common, size)
        check_keys("plan", report, "planned", "judged", "labels", "written", "goal", "points")
        chosen = report["chosen"]
        assert chosen["met"] and chosen["bytes"] <= int(size[:-1]) / 100 * os.path.getsize(ONNX), chosen
        with open(path) as file:
            rows = json.load(file)["layers"]
        points = {row["node"]: row.get("extra_points", 0) for row in rows}
        assert points == {row["node"]: row["extra_points"] for row in chosen["layers"]}
        assert all(len(row["why"]["with_points"]) == 5 for row in rows), rows
        given.append(sum(points.values()))
        narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--plan", path)
        made = json.loads(narrow.good("inspect", net, "--plan").out)["layers"]
        assert {row["node"]: row.get("extra_points", 0) for row in made} == points
        assert all("with_points" not in row["why"] for row in made)
    assert max(given) > 0, given


def dqa_as_choice(narrow):
    """With a mean width and DQA every tensor may have its extra bits, which count; the network follows the plan."""
    path, net = os.path.join(narrow.folder, "plan.json"), os.path.join(narrow.folder, "net.nw")
    common = [*PLAN, "--act-method", "dqa", "--state", os.path.join(narrow.folder, "state.json"), "--target-acts"]
    schemes = set()
    for bits in (3.4, 4.2):
        report = narrow.report("plan", ONNX, path, *common, str(bits))
        check_keys("plan", report, "planned", "judged", "labels", "written", "goal", "activations", "dqa")
        chosen = report["chosen"]
        assert chosen["met"] and bits - 0.3 < chosen["activation_bits"] <= bits, chosen
        with open(path) as file:
            rows = {row["tensor"]: row for row in json.load(file)["tensors"]}
        for tensor in chosen["tensors"]:
            row = rows[tensor["tensor"]]
            assert row["bits"] == tensor["bits"] and row.get("scheme", "direct") == tensor.get("scheme", "direct"), row
            assert ("share" in row) == (row.get("scheme") == "dqa")
            assert len(row["why"].get("with_scheme", [])) == (5 if "scheme" in tensor else 0), row
        schemes |= {row.get("scheme") for row in rows.values()}
        narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--plan", path,
                    "--learn", "2")
        made = {row["tensor"]: row for row in json.loads(narrow.good("inspect", net, "--plan").out)["tensors"]}
        for name, row in rows.items():
            assert made[name]["bits"] == row["bits"] and made[name].get("scheme", "direct") == row.get("scheme", "direct")
    assert {"dqa", "direct"} <= schemes, schemes
    narrow.bad(2, "--arena chooses", "plan", ONNX, *common, "5", "--arena", "5000")


def ranked_channels(narrow):
    """--act-ranking: as many important channels, other ones; the network's plan names them and makes it again."""
    dqa = ["--acts", "3", "--act-method", "dqa", "--act-placement", "blocks", "--learn", "0", "--act-ranking"]
    found = {}
    for ranking in ("output", "accuracy"):
        net = quantized(narrow, ranking + ".nw", *dqa, ranking, samples=12)
        plan = narrow.good("inspect", net, "--plan").out
        found[ranking] = {row["tensor"]: row["channels"] for row in json.loads(plan)["tensors"] if "channels" in row}
    assert found["output"].keys() == found["accuracy"].keys() and len(found["output"]) > 2, found
    assert found["output"] != found["accuracy"], found
    assert all(len(found["output"][t]) == len(found["accuracy"][t]) for t in found["output"]), found
    path = narrow.file("plan.json", plan)
    again = quantized(narrow, "again.nw", *dqa, "accuracy", "--plan", path, samples=12)
    with open(net, "rb") as a, open(again, "rb") as b:
        assert a.read() == b.read(), "a network's own plan makes another network"
    narrow.bad(2, "not with a goal", "plan", ONNX, *PLAN, *dqa, "accuracy", "--target-size", "30%")


def planned_activations(narrow):
    """Widths of activations for an arena and for a mean width: the layout and the network hold what the plan says."""
    path, net = os.path.join(narrow.folder, "plan.json"), os.path.join(narrow.folder, "net.nw")
    common = [*PLAN, "--state", os.path.join(narrow.folder, "state.json")]
    wide = narrow.report("plan", ONNX, path, *common, "--arena", "1000000")["chosen"]
    assert wide["met"] and wide["activation_storage"] == "bytes" and wide["activation_bits"] == 8, wide
    least = narrow("plan", ONNX, *common, "--arena", "1", "--dry-run", "--json")
    assert least.code == 1 and "1 bytes of activations cannot be met: they take" in least.err, least.err
    least = least.json()["chosen"]
    assert least["activation_bits"] == 2 and not least["met"] and least["arena_bytes"] < wide["arena_bytes"], least
    goal = (least["arena_bytes"] + wide["arena_bytes"]) // 2
    report = narrow.report("plan", ONNX, path, *common, "--arena", str(goal), "--target-size", "25%")
    check_keys("plan", report, "planned", "judged", "labels", "written", "goal", "activations")
    chosen = report["chosen"]
    assert chosen["met"] and least["arena_bytes"] <= chosen["arena_bytes"] <= goal, chosen
    equal = narrow.report("plan", ONNX, *common, "--arena", str(goal), "--dry-run", "--allocation", "equal")["chosen"]
    assert equal["arena_bytes"] <= goal and equal["activation_bits"] == int(equal["activation_bits"])
    assert narrow.report("plan", ONNX, *common, "--arena", str(goal), "--dry-run")["chosen"]["damage"] < equal["damage"]
    narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--plan", path,
                "--learn", "2")
    run = narrow.report("bench", net, "--runs", "1", "--activation-storage", "packed")
    assert run["activation_bytes"] == chosen["arena_bytes"], (run["activation_bytes"], chosen["arena_bytes"])
    fused = os.path.join(narrow.folder, "fused.json"), os.path.join(narrow.folder, "fused.nw")
    small = narrow.report("plan", ONNX, fused[0], *common, "--arena", str(goal), "--fuse", "small", "--target-size", "25%")["chosen"]
    assert small["met"] and small["fusion"] == "small" and chosen["fusion"] == "none", (small, chosen)
    assert small["arena_bytes"] <= goal and small["damage"] <= chosen["damage"] * (1 + 1e-9), (small["damage"], chosen["damage"])
    narrow.good("quantize", ONNX, fused[1], "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--plan", fused[0])
    how = ["--activation-storage", small["activation_storage"], "--fuse", "small"]
    run = narrow.report("bench", fused[1], "--runs", "1", *how)
    assert run["activation_bytes"] == small["arena_bytes"], (run["activation_bytes"], small["arena_bytes"])
    with open(path) as file:
        rows = json.load(file)["tensors"]
    assert {row["tensor"]: row["bits"] for row in rows} == {row["tensor"]: row["bits"] for row in chosen["tensors"]}
    for row in rows:
        own = [width for width in row["why"]["by_bits"] if width["bits"] == row["bits"]][0]
        assert row["why"]["damage"] == own["damage"] and row["why"]["bytes"] == own["bytes"], row
    stored = {row["tensor"]: row["bits"] for row in json.loads(narrow.good("inspect", net, "--plan").out)["tensors"]}
    assert all(stored[row["tensor"]] == row["bits"] for row in rows) and min(stored.values()) < 8
    mean = narrow.report("plan", ONNX, path, *common, "--target-acts", "4.5")["chosen"]
    assert mean["met"] and 4.0 < mean["activation_bits"] <= 4.5, mean
    both = narrow.report("plan", ONNX, *common, "--target-acts", "4.5", "--arena", str(goal), "--dry-run")["chosen"]
    assert both["activation_bits"] <= 4.5 and both["arena_bytes"] <= goal and both["met"], both
    report = narrow.report("plan", ONNX, *common, "--target-acts", "4.5", "--dry-run", "--together")
    check_keys("plan", report, "planned", "goal", "activations", "together")
    parts, whole = report["chosen"]["damage_sum"], report["chosen"]["damage_together"]
    near(parts[report["damage_measure"]], report["chosen"]["damage"], "sum of parts")
    assert whole["noise"] > 0.3 * parts["noise"] and whole["noise"] < 3 * parts["noise"], (parts, whole)
    rows[0]["bits"] = 5 # edited plans go back in
    edited = narrow.file("edited.json", json.dumps({"version": 1, "tensors": rows}))
    narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "4", "--plan", edited,
                "--learn", "2")
    narrow.bad(2, "mean width", "plan", ONNX, *common, "--target-acts", "1.5")
    narrow.bad(2, "mean width", "plan", ONNX, *common, "--target-acts", "6", "--acts", "5")
    narrow.bad(2, "dqa", "plan", ONNX, *common, "--arena", "5000", "--act-method", "dqa")
    narrow.bad(2, "placement", "plan", ONNX, *common, "--arena", "5000", "--act-placement", "blocks")
    narrow.bad(2, "--fuse", "plan", ONNX, *common, "--arena", "5000", "--fuse", "fast")
    narrow.bad(2, "needs that goal", "plan", ONNX, *common, "--target-acts", "5", "--fuse", "small")


def missed_goals(narrow):
    """The best found is written, the report printed, and the code is 1."""
    net = os.path.join(narrow.folder, "net.nw")
    result = narrow("quantize", ONNX, net, *PLAN, "--target-size", "1000", "--json")
    assert result.code == 1 and re.search(r"1000 bytes cannot be met: the smallest found has \d+", result.err), result.err
    assert result.json()["chosen"]["met"] is False and os.path.getsize(net) == result.json()["chosen"]["bytes"]
    narrow.bad(2, "--plan", "quantize", ONNX, net, *PLAN, "--target-size", "20%", "--layer-bits", ".*=4")
    narrow.bad(2, "--target-size 0", "quantize", ONNX, net, *PLAN, "--target-size", "0")
    narrow.bad(2, "needs a goal", "plan", ONNX, os.path.join(narrow.folder, "plan.json"), *PLAN)
    narrow.bad(2, "2/1", "plan", ONNX, *PLAN, "--shard", "2/1", "--state", os.path.join(narrow.folder, "s.json"))


def latency(narrow):
    """A goal for the time: between the fastest and the widest network; times are measured once and kept."""
    state, cache = os.path.join(narrow.folder, "state.json"), os.path.join(narrow.folder, "times.json")
    common = ["plan", ONNX, *PLAN, "--state", state, "--dry-run", "--json"]
    families = {f["name"] for f in narrow.report("cpu")["families"] if f["available"]}
    there = dict(env={"NARROW_ISA": "avx2"} if "avx2" in families else {}) # its times depend on the widths
    fastest = narrow(*common, "--cache", cache, "--target-latency", "0.000001", **there)
    assert fastest.code == 1 and "within 2 % of the fastest takes" in fastest.err, fastest.err
    least = fastest.json()["chosen"]["milliseconds"]
    with open(cache, "rb") as file:
        times = file.read()
    widest = narrow.report(*common[:-1], "--cache", cache, "--target-latency", "100000", **there)
    check_keys("plan", widest, "planned", "goal", "latency")
    most = widest["chosen"]["milliseconds"]
    assert least < most if there["env"] else least <= most, (least, most)
    middle = 0.5 * (least + most)
    between = narrow.report(*common[:-1], "--cache", cache, "--target-latency", str(middle), **there)["chosen"]
    assert between["met"] and least <= between["milliseconds"] <= middle
    assert between["damage"] >= widest["chosen"]["damage"]
    both = narrow.report(*common[:-1], "--cache", cache, "--target-latency", str(middle), "--target-size", "25%",
                         **there)["chosen"]
    assert both["met"] and both["milliseconds"] <= middle and both["bytes"] <= 0.25 * os.path.getsize(ONNX)
    with open(cache, "rb") as file:
        assert file.read() == times, "times were measured again"
    if "avx2" in families: # where sums in 16 bits are faster they are tried too, and the plan says who has them
        path, net = os.path.join(narrow.folder, "plan.json"), os.path.join(narrow.folder, "net.nw")
        goal = ["--cache", cache + "2", "--target-latency", "100000", "--target-size", "30%"]
        made = narrow.report("quantize", ONNX, net, *common[2:-2], *goal, **there)["chosen"]
        assert made["met"] and made["accumulator"] in ("auto", "16") and os.path.exists(cache + "2.16"), made
        narrow.good("plan", ONNX, path, *common[2:-2], *goal, **there)
        with open(path) as file:
            sums = {row.get("accumulator") for row in json.load(file)["layers"]}
        assert ("16" in sums) == (made["accumulator"] == "16"), sums
        narrow.good("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "4", "--plan", path)
    packed = narrow.report(*common[:-1], "--cache", cache + "3", "--target-latency", "100000", "--target-acts", "4")["chosen"]
    assert packed["met"] and packed["activation_storage"] == "packed" and packed["activation_bits"] <= 4, packed
    home = {"XDG_CACHE_HOME": os.path.join(narrow.folder, "cache")}
    assert narrow(*common, "--target-latency", "100000", env=home).code == 0
    assert len(os.listdir(os.path.join(narrow.folder, "cache", "narrow"))) == 1


def shards(narrow):
    """Shards put together are the single run, byte for byte; what is missing is named; a killed shard goes on."""
    def file(name):
        return os.path.join(narrow.folder, name)
    narrow.good("plan", ONNX, *PLAN, "--state", file("whole.json"))
    for i in (1, 3):
        report = narrow.report("plan", ONNX, *PLAN, "--shard", "%d/3" % i, "--state", file("part%d.json" % i))
        check_keys("plan", report, "shard")
    result = narrow("plan", "--merge", file("all.json"), file("part1.json"), file("part3.json"))
    assert result.code == 1 and "not measured yet: " in result.err, result.err
    narrow.good("plan", ONNX, *PLAN, "--shard", "2/3", "--state", file("part2.json"))
    report = narrow.report("plan", "--merge", file("all.json"), *[file("part%d.json" % i) for i in (2, 1, 3)])
    check_keys("plan", report, "merge")
    with open(file("all.json"), "rb") as a, open(file("whole.json"), "rb") as b:
        whole = b.read()
        assert a.read() == whole, "shards make another state than a single run"
    cut = json.loads(whole)
    for row in cut["rows"][2:]:
        row.pop("by_bits")
    narrow.file("whole.json", json.dumps(cut))
    narrow.good("plan", ONNX, *PLAN, "--state", file("whole.json"))
    with open(file("whole.json"), "rb") as again:
        assert again.read() == whole, "a run that goes on makes another state"
    narrow.bad(4, "another network", "plan", ONNX, *PLAN[:-1], "9", "--state", file("whole.json"))


def every_width(narrow):
    for bits in range(1, 9):
        net = quantized(narrow, "w%d.nw" % bits, "--weights", str(bits), "--acts", str(bits), "--first-last", "0",
                        samples=3)
        assert [w["weight_bits"] for w in narrow.report("inspect", net)["widths"]] == [bits]
        assert narrow.report("run", net, PICTURE)["top"]


def evaluate(narrow):
    net = quantized(narrow)
    report = narrow.report("eval", net, "--data", TEST, "--against", ONNX)
    check_keys("eval", report, "classes", "--against", ".nw")
    assert report["samples"] == 1080 and report["against"]["model"] == ONNX
    near(report["against"]["top1"], 1038 / 1080, "float accuracy")
    assert report["top1"] > 0.945 and report["agreement"] > 0.97 and report["sqnr_db"] > 8, {k: report[k] for k in ("top1", "agreement", "sqnr_db")}
    p = report["top1"]
    near(report["top1_standard_error"], (p * (1 - p) / 1080) ** 0.5, "standard error")
    text = narrow.good("eval", net, "--data", TEST, "--against", ONNX).out
    assert "%.2f %%" % (100 * p) in text and "%.2f %% of the answers" % (100 * report["agreement"]) in text, text
    check_keys("eval", narrow.report("eval", net, "--data", TEST, "--limit", "5"), "classes", ".nw")
    alone = narrow.report("eval", ONNX, "--data", TEST, "--preprocess", PREPROCESS)
    check_keys("eval", alone, "classes")
    assert alone["top1"] == report["against"]["top1"] and alone["integer_mac_share"] == 0
    same = narrow.report("eval", net, "--data", TEST, "--limit", "3", "--against", net)
    assert same["agreement"] == 1 and same["sqnr_db"] is None


def overflows(narrow):
    """--count-overflows: counts that add up, on data without labels too, the same with every form of the same sums."""
    wide = quantized(narrow, "wide.nw", "--acc", "32")
    report = narrow.report("eval", wide, "--data", TEST, "--limit", "20", "--count-overflows")
    check_keys("eval", report, "classes", ".nw", "--count-overflows")
    found = report["overflows"]
    for key in ("sums", "sums_outside", "centred_outside", "partial_sums", "partial_sums_outside", "runs"):
        assert found[key] == sum(layer[key] for layer in found["layers"]), key
    assert found["partial_sums"] == 20 * report["macs"] and found["sums"] > 0 and found["runs"] == 0
    assert 0 < found["sums_outside"] < found["sums"] and found["highest"] > 32767, found
    for layer in found["layers"]:
        assert layer["accumulator"] == "32" and layer["partial_sums"] == layer["k"] * layer["sums"]
        assert (layer["sums_outside"] > 0) == (layer["highest"] > 32767 or layer["lowest"] < -32768), layer
    text = narrow.good("eval", wide, "--data", TEST, "--limit", "20", "--count-overflows").out
    assert all(layer["node"] in text for layer in found["layers"]) and "proven runs" in text, text
    exact = narrow.report("eval", quantized(narrow, "exact.nw"), "--data", os.path.join(TEST, "ring"), "--limit", "3",
                          "--count-overflows")["overflows"]
    assert exact["runs"] > 0 and exact["runs_outside"] == 0
    small = quantized(narrow, "small.nw", "--weights", "2", "--acts", "4", "--first-last", "0", "--input-bits", "0")
    few = narrow.report("eval", small, "--data", TEST, "--limit", "20", "--count-overflows")["overflows"]
    assert few["sums"] == found["sums"] and few["sums_outside"] == few["partial_sums_outside"] == 0, few


def sums(narrow):
    """What --acc 16 and 16-wrap narrowed: the same in the report, in the plan and in the weights."""
    for accumulator, condition in (("16", "16"), ("16-wrap", "16-wrap")):
        net = os.path.join(narrow.folder, "net.nw")
        report = narrow.report("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24", "--acc",
                               accumulator)
        check_keys("quantize", report, "--acc", condition)
        plan = json.loads(narrow.good("inspect", net, "--plan").out)
        widths = {tensor["tensor"]: tensor["bits"] for tensor in plan["tensors"]}
        layers = {row["node"]: row for row in plan["layers"] if row["accumulator"] == accumulator}
        assert len(report["sums"]) == len(layers) > 3
        assert (min(widths.values()) < 8) == (accumulator == "16-wrap")  # only there codes make room too
        for row in report["sums"]:
            why = layers[row["node"]]["why"]
            assert row == dict(why, node=row["node"], accumulator=accumulator)
            near(why["alpha"], why["weight_alpha"] * why["activation_alpha"], "alpha", 0.01)
            near(2.0 ** (8 - why["effective_weight_bits"]), why["weight_alpha"], "bits", 0.01)
            assert 1 <= why["weight_alpha"] <= 4.2 and 1 <= why["activation_alpha"] <= 4.1
            assert (why["activation_alpha"] > 1) == (accumulator == "16-wrap")
            assert 0 < why["effective_activation_bits"] <= 8
            if accumulator == "16":
                assert 1 <= why["run"] and 1 <= why["longest_run"] and why["gain"] > 1
                assert why["narrowed_channels"] > 0
            else:
                assert 0 < why["wraps_expected"] < 1e-3
        if accumulator == "16":
            said = {row["node"]: row["narrowed"] for row in narrow.report("report", net)["layers"] if "narrowed" in row}
            assert said.keys() == layers.keys(), said
            assert all("of %d of " % layers[node]["why"]["narrowed_channels"] in text for node, text in said.items()), said
    narrow.bad(1, "--allow-wrap accepts that", "verify", net)
    narrow.good("verify", net, "--allow-wrap")
    # with a goal: what narrowing costs, beside what it gains, in the network, the plan and the report
    goal = [*PLAN, "--acc", "16", "--target-size", "60%", "--state", os.path.join(narrow.folder, "state.json")]
    report = narrow.report("quantize", ONNX, net, *goal)
    check_keys("quantize", report, "--acc", "16", "goal", "labels")
    path = os.path.join(narrow.folder, "plan.json")
    narrow.good("plan", ONNX, path, *goal)
    with open(path) as file:
        layers = {row["node"]: row["why"] for row in json.load(file)["layers"]}
    said = {row["node"]: row for row in narrow.report("report", net)["layers"]}
    worse = 0
    for row in report["sums"]:
        why = layers[row["node"]]
        for key in ("damage", "narrowed_damage", "narrowed_changed", "narrowed_channels", "gain"):
            near(why[key], row[key], key)
        near(said[row["node"]]["narrowed_damage"], row["narrowed_damage"], "damage")
        assert "from %.3g to %.3g" % (row["damage"], row["narrowed_damage"]) in said[row["node"]]["narrowed"], said
        worse += row["narrowed_damage"] > row["damage"]
    assert worse > 0.7 * len(report["sums"]) > 2, (worse, report["sums"])


def batches(narrow):
    """Samples that fill no batch, one batch and a bit, and one at a time give the same answers."""
    net = quantized(narrow)
    pictures = [os.path.join("arrow", name) for name in sorted(os.listdir(os.path.join(TEST, "arrow")))[:17]]
    for model, options in ((ONNX, ["--preprocess", PREPROCESS]), (net, [])):
        right = [narrow.report("run", model, os.path.join(TEST, p), *options)["top"][0]["class"] == 0
                 for p in pictures]
        for n in (1, 2, 15, 16, 17):
            report = narrow.report("eval", model, "--data", TEST, "--limit", n, *options)
            assert report["samples"] == n
            near(report["top1"], sum(right[:n]) / n, "top-1 of %d samples" % n)


def data_formats(narrow):
    """A folder, a list, a npy and a npz of the same samples: the same score."""
    net = quantized(narrow)
    chosen = [(c, name, "%03d.png" % i) for c, name in enumerate(sorted(os.listdir(TEST))) for i in (0, 1, 2)]
    for _, name, file in chosen:
        with open(os.path.join(TEST, name, file), "rb") as picture:
            narrow.file(os.path.join("data", name, file), picture.read())
    folder = os.path.join(narrow.folder, "data")
    rows = "".join("%s/%s,%d\n" % (name, file, c) for c, name, file in chosen)
    table = narrow.file("data/list.csv", rows)
    scores = [narrow.report("eval", net, "--data", path)["top1"] for path in (table,)]
    os.remove(table)
    scores.append(narrow.report("eval", net, "--data", folder)["top1"])
    assert len(set(scores)) == 1, scores
    values = [((i * 7919) % 2001 - 1000) / 500 for i in range(5 * 3072)]
    array = made.npy([5, 3, 32, 32], made.floats(values))
    classes = made.npy([5], bytes([0, 1, 2, 3, 11]), "|u1")
    files = [narrow.file("a.npy", array), narrow.file("b.npz", made.npz({"x": array, "y": classes})),
             narrow.file("c.npz", made.npz({"x": array}, compressed=False))]
    narrow.file("a.csv", "a,0\nb,1\nc,2\nd,3\ne,11\n")
    reports = [narrow.report("eval", net, "--data", f, "--against", ONNX, "--mean", "0", "--std", "1",
                             "--channel-order", "none") for f in files]
    assert len({(r["agreement"], r["sqnr_db"], r["samples"]) for r in reports}) == 1, reports
    assert reports[0]["top1"] == reports[1]["top1"] and "top1" not in reports[2]


def segmentation(narrow):
    """Three colours are three classes; one map is wrong in a quarter of its pixels, one has void."""
    colours = [(250, 10, 20), (10, 240, 30), (20, 30, 230)]
    for i in range(3):
        labels = [(x // 3 + y + i) % 3 for y in range(8) for x in range(8)]
        narrow.file("data/%d.png" % i, made.png(8, 8, bytes(v for c in labels for v in colours[c])))
        if i == 1:
            labels[:16] = [(c + 1) % 3 for c in labels[:16]]
        if i == 2:
            labels[:8] = [255] * 8
        narrow.file("maps/%d.png" % i, made.png(8, 8, bytes(labels), 1))
    onnx = narrow.file("seg.onnx", made.segmenter())
    net = os.path.join(narrow.folder, "seg.nw")
    narrow.good("quantize", onnx, net, "--calib", "data", "--mean", "127.5", "--std", "64")
    report = narrow.report("eval", net, "--data", "data", "--labels", "maps", "--against", onnx)
    check_keys("eval", report, "maps", "--against", ".nw")
    check_keys("eval", narrow.report("eval", net, "--data", "data", "--labels", "maps"), "maps", ".nw")
    near(report["pixel_accuracy"], (3 * 64 - 16 - 8) / (3 * 64 - 8), "pixel accuracy")
    assert len(report["iou"]) == 3 and report["agreement"] == 1
    near(report["miou"], sum(report["iou"]) / 3, "mean IoU")
    text = narrow.good("eval", net, "--data", "data", "--labels", "maps", "--against", onnx).out
    assert len(re.findall(r"^    [012]  +\d", text, re.M)) == 3, text


def run(narrow):
    net = quantized(narrow)
    report = narrow.report("run", net, PICTURE)
    check_keys("run", report)
    values = [row["value"] for row in report["top"]]
    assert len(values) == 5 and values == sorted(values, reverse=True)
    names = narrow.file("names.txt", "".join("shape %d\n" % i for i in range(12)))
    report = narrow.report("run", net, PICTURE, "--names", names, "--top", "99")
    check_keys("run", report, "--names")
    assert sorted(row["class"] for row in report["top"]) == list(range(12))
    assert all(row["name"] == "shape %d" % row["class"] for row in report["top"])
    shifted = narrow.report("run", net, PICTURE, "--class-offset", "2")["top"][0]["class"]
    assert shifted == report["top"][0]["class"] - 2
    assert narrow.good("run", net, PICTURE, "--top", "1").out.split()[0] == str(report["top"][0]["class"])
    jpeg = narrow.file("glyph.jpg", made.JPEG)
    top = narrow.report("run", ONNX, jpeg, "--preprocess", PREPROCESS)["top"][0]["class"]
    assert top == narrow.report("run", net, jpeg)["top"][0]["class"] == 8, top


def families(narrow):
    """The same answer, to the bit, with every kernel family and number of threads; the report says who ran."""
    net = quantized(narrow)
    known = narrow.report("cpu")
    check_keys("cpu", known)
    assert known["families"][0] == {"name": "ref", "available": True}
    answers = set()
    for family in known["families"]:
        env = {"NARROW_ISA": family["name"]}
        if not family["available"]:
            print("SKIP: %s: this CPU cannot run it" % family["name"])
            for command in (["cpu"], ["run", net, PICTURE], ["verify", net], ["eval", net, "--data", TEST]):
                narrow.bad(2, "NARROW_ISA=%s: this CPU cannot run it" % family["name"], *command, env=env)
            continue
        assert narrow.report("cpu", env=env)["isa"] == family["name"]
        for threads in ("1", "2", "3"):
            answers.add(json.dumps(narrow.report("run", net, PICTURE, "--top", "12", "--threads", threads, env=env)))
        report = narrow.report("eval", net, "--data", TEST, "--limit", "2", env=env)
        assert report["isa"] == family["name"]
        kernels = " ".join(k["kernel"] for k in report["kernels"])
        assert ("_" + family["name"]) in kernels, kernels
    assert len(answers) == 1, answers
    assert narrow.report("cpu", env={"NARROW_ISA": ""})["isa"] == known["isa"]
    for command in (["cpu"], ["run", net, PICTURE], ["bench", net], ["verify", net]):
        narrow.bad(2, "NARROW_ISA=sse9: unknown; the names are ref, ", *command, env={"NARROW_ISA": "sse9"})


def threads(narrow):
    net = quantized(narrow)
    assert narrow.report("bench", net, "--runs", "1", env={"OMP_NUM_THREADS": "3"})["threads"] == 1
    assert narrow.report("bench", net, "--runs", "1", "--threads", "2", env={"OMP_NUM_THREADS": "3"})["threads"] == 2
    assert narrow.report("bench", net, "--runs", "1", "--threads", "0", env={"OMP_NUM_THREADS": "3"})["threads"] == 3
    assert narrow.report("bench", net, "--runs", "1", "--threads", "0")["threads"] == min(256, os.cpu_count())


def bench(narrow):
    net = quantized(narrow)
    report = narrow.report("bench", net, "--runs", "3", "--float", ONNX)
    check_keys("bench", report, "--float")
    near(report["ratio"], report["float_milliseconds"] / report["milliseconds"], "ratio", 1e-6)
    assert report["runs"] == 3 and report["milliseconds"] > 0 and len(report["nodes"]) == len(report["kernels"])
    assert sum(node["macs"] for node in report["nodes"]) == report["macs"] == 9106944
    check_keys("bench", narrow.report("bench", net, "--runs", "1"))
    with_layers, without = (narrow.good("bench", net, "--runs", "1", *o).out for o in ([], ["--no-layers"]))
    assert len(with_layers.splitlines()) > len(report["nodes"]) + len(without.splitlines())


def storage(narrow):
    """Packed activations: less memory, the same bytes."""
    net = quantized(narrow, "narrow.nw", "--acts", "4")
    whole, packed = (narrow.report("bench", net, "--runs", "1", "--activation-storage", s) for s in ("bytes", "packed"))
    check_keys("bench", packed)
    assert [whole[k] for k in ("activation_storage", "stored_tensors", "stored_bits_per_value", "coding_milliseconds")] == [
        "bytes", 0, 8, 0]
    assert packed["activation_storage"] == "packed" and packed["stored_tensors"] > 3
    assert packed["stored_bits_per_value"] == 4 and packed["coding_milliseconds"] > 0
    assert packed["activation_bytes"] < 0.7 * whole["activation_bytes"]
    assert packed["activation_bytes_moved"] < 0.7 * whole["activation_bytes_moved"]
    wider = narrow.report("bench", net, "--runs", "1", "--activation-storage", "packed", "--threads", "3")
    assert wider["activation_bytes"] > packed["activation_bytes"]
    narrow.bad(2, "has no codes for stored activations", "run", net, PICTURE, "--activation-storage", "huffman")
    with_codes = quantized(narrow, "codes.nw", "--acts", "4", "--act-codes")
    for command in (["verify", net], ["run", net, PICTURE], ["eval", net, "--data", TEST, "--limit", "20"]):
        for kind in ("packed", "coded", "huffman"):
            there = [with_codes if word == net and kind == "huffman" else word for word in command]
            stored = narrow.report(*there, "--activation-storage", kind)
            if command[0] == "eval":
                check_keys("eval", stored, ".nw", "--activation-storage", "classes")
                assert stored.pop("activation_storage") == kind and stored.pop("rows_dropped_share") == 0
                assert stored.pop("stored_bits_per_value") <= {"packed": 4, "coded": 3.9, "huffman": 3.5}[kind]
            same = {"model": 0, "kernels": 0}
            assert {**stored, **same} == {**narrow.report(*command), **same}, command
    fused = narrow.report("bench", net, "--runs", "1", "--fuse", "small")
    check_keys("bench", fused)
    assert (whole["fusion"], whole["fused_tensors"], fused["fusion"]) == ("none", 0, "small")
    assert fused["fused_tensors"] > 0 and fused["activation_bytes"] < 0.9 * whole["activation_bytes"]
    for command in (["verify", net], ["run", net, PICTURE], ["eval", net, "--data", TEST, "--limit", "20"]):
        for kind in ("bytes", "packed"):
            fused = [*command, "--activation-storage", kind, "--fuse", "small"]
            assert {**narrow.report(*fused[:-2]), "kernels": 0} == {**narrow.report(*fused), "kernels": 0}, fused
    coded = narrow.report("bench", net, "--runs", "1", "--activation-storage", "coded")
    assert coded["stored_bits_per_value"] < 4 and coded["rows_dropped_share"] == 0
    assert coded["activation_bytes_moved"] < packed["activation_bytes_moved"]
    narrow.bad(1, "budget of 9 bytes is too small", "bench", net, "--activation-storage", "coded", "--arena-budget", "9")
    budgets(narrow)


def budgets(narrow):
    """`bench` says which budgets have an effect: the larger end has none, the smaller is the least that is taken."""
    net = quantized(narrow, "dqa.nw", "--acts", "4", "--act-method", "dqa", "--learn", "0", samples=4)
    bench = ["bench", net, "--runs", "1", "--activation-storage", "coded"]
    whole = narrow.report(*bench)
    least, full = whole["stored_least_bytes"], whole["stored_full_bytes"]
    assert 0 < least < full == whole["stored_bytes"] <= whole["activation_bytes"], whole
    assert narrow.report(*bench, "--arena-budget", str(full))["rows_dropped_share"] == 0
    between = narrow.report(*bench, "--arena-budget", str((least + full) // 2))
    smallest = narrow.report(*bench, "--arena-budget", str(least))
    assert smallest["stored_bytes"] == least < between["stored_bytes"] <= (least + full) // 2, (between, smallest)
    assert 0 < between["rows_dropped_share"] < smallest["rows_dropped_share"], (between, smallest)
    assert smallest["activation_bytes"] < whole["activation_bytes"]
    narrow.bad(1, "need %d at least" % least, *bench, "--arena-budget", str(least - 1))
    assert "at most %d bytes stored at once, %d without an arena budget, %d with the least" % (full, full, least) in narrow.good(
        *bench).out
    assert narrow.report("bench", net, "--runs", "1", "--activation-storage", "packed")["stored_bytes"] == 0


def tuning(narrow):
    """A table says how engines are built, never what they answer; what cannot be used is ignored with one sentence."""
    net = quantized(narrow)
    table = os.path.join(narrow.folder, "table.json")
    made_here = narrow.report("tune", net, "--rounds", "10", "--table", table)
    check_keys("tune", made_here, *["layers chosen"] * bool(made_here["layers"]))
    assert made_here["fusion"] in ("none", "fast") and made_here["fusion_candidates"][0]["ratio"] == 1
    usual = made_here["layer_candidates"][0]
    assert usual["arrangement"] == "cheapest" and usual["ratio"] == 1
    assert "kept in" in narrow.good("tune", net, "--rounds", "10", "--table", table).out
    with open(table) as file:
        first = json.load(file)
    assert [row["network"] for row in first["networks"]] == [made_here["network"]]
    plain = {command: narrow.report(*command) for command in (("verify", net), ("run", net, PICTURE))}
    tuned = ["--tuned", "--table", table]

    def tuned_bench(row, *more, only=""):
        """`bench` with this row; the answers of all commands, or of one, are always the same."""
        with open(table, "w") as file:
            json.dump({**first, "networks": [{**first["networks"][0], "fusion": "none", "layers": [], **row}]}, file)
        for command, answer in plain.items():
            assert only not in ("", command[0]) or narrow.report(*command, *tuned, *more) == answer, row
        return narrow.report("bench", net, "--runs", "1", *tuned, *more)

    def fused(row, *more):
        return tuned_bench(row, *more)["fused_tensors"]

    assert fused({"fusion": "none"}) == 0
    for scratch in (1000, 5000, 200000):
        assert fused({"fusion": "fast", "fusion_bytes": 1, "fusion_scratch": scratch}) >= (scratch > 1000)
    assert fused({"fusion": "small"}) > 0
    assert fused({"fusion": "small"}, "--fuse", "none") == 0, "what is asked for has the last word"
    assert fused({"fusion": "small", "network": "0123456789abcdef"}) == 0
    assert fused({"fusion": "small", "threads": 2}) == 0
    tuned_layers(narrow, net, first, tuned_bench)
    row = {**first["networks"][0], "fusion": "small", "layers": [{"isa": "ref", "arrangement": "int32", "nodes": [1]}]}
    n_nodes = len(narrow.report("bench", net, "--runs", "1")["nodes"])
    layer = row["layers"][0]
    for damage, why in (
            ({"cpu": "another"}, "was measured on another CPU"), ({"isa": "none"}, "was measured on another CPU"),
            ({"library": "0"}, "was measured on another CPU"),
            ({"version": 1}, "is no table"), ({"more": 1}, "is no table"),
            ({"networks": 3}, "has a damaged row"), ({"networks": [row, 3]}, "has a damaged row"),
            ({"networks": [{**row, "fusion": "all"}]}, "has a damaged row"),
            ({"networks": [{**row, "fusion_bytes": -1}]}, "has a damaged row"),
            ({"networks": [{**row, "gain": 0}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": 3}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [layer] * 1000}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [{**layer, "isa": "sse"}]}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [{**layer, "arrangement": "best"}]}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [{**layer, "nodes": [-1]}]}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [{**layer, "nodes": [0.5]}]}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [{**layer, "nodes": [n_nodes]}]}]}, "has a damaged row"),
            ({"networks": [{**row, "layers": [{"isa": "ref"}]}]}, "has a damaged row"),
            ({"networks": [row] * 1001}, "has a damaged row")):
        with open(table, "w") as file:
            json.dump({**first, "networks": [row], **damage}, file)
        result = narrow("bench", net, "--runs", "1", "--json", *tuned, warns=True)
        assert result.code == 0 and result.json()["fused_tensors"] == result.json()["tuned_layers"] == 0, damage
        assert re.fullmatch("narrow: .*%s.*\n" % why, result.err), result.err
    for damage in (b"", b"{", b"\0" * 100, b"[" * 100000):
        narrow.file("table.json", damage)
        result = narrow("run", net, PICTURE, "--json", *tuned, warns=True)
        assert result.code == 0 and result.json() == plain["run", net, PICTURE] and result.err.count("\n") == 1
    narrow.good("tune", net, "--rounds", "10", "--table", table)
    with open(table) as file:
        assert len(json.load(file)["networks"]) == 1, "a damaged table is made anew"
    cache = {"XDG_CACHE_HOME": os.path.join(narrow.folder, "cache")}
    assert narrow.report("tune", net, "--rounds", "10", env=cache)["table"].startswith(cache["XDG_CACHE_HOME"] + "/narrow/tuning-")
    narrow.report("run", net, PICTURE, "--tuned", env=cache)


def tuned_layers(narrow, net, table, tuned_bench):
    """Every way to compute layers that a table can name gives the same bytes; kernels follow if the family has them."""
    nodes = narrow.report("bench", net, "--runs", "1")["nodes"]
    linear = [i for i, node in enumerate(nodes) if node["macs"]]
    assert len(linear) > 2
    families = [f["name"] for f in narrow.report("cpu")["families"]]
    own = [f["name"] for f in narrow.report("cpu")["families"] if f["available"]]
    chosen = winograd = 0
    for isa in families:
        for arrangement in ("cheapest", "int32", "runs", "units", "direct", "winograd") if isa in own else ("runs",):
            told = tuned_bench({"layers": [{"isa": isa, "arrangement": arrangement, "nodes": linear}]},
                               only="" if arrangement == "runs" else "run")  # verify takes long
            kernels = [told["nodes"][i]["kernel"] for i in linear]
            included = isa in own and isa != "avxvnni" and isa != "ref"
            family = nodes[linear[0]]["kernel"].rsplit("_", 1)[1]
            assert all((isa if included else family) in kernel for kernel in kernels), (isa, arrangement, kernels)
            by_winograd = sum("winograd" in kernel for kernel in kernels)
            assert by_winograd == 0 or arrangement in ("cheapest", "winograd")
            winograd += by_winograd
            assert told["tuned_layers"] == (0 if (isa, arrangement) == ("ref", "cheapest") else len(linear))
            chosen += all(isa in kernel for kernel in kernels)
    assert winograd or not any(name.startswith("avx") for name in own), "layers of 3 x 3"
    assert chosen >= 4 * min(2, len(own) - 1), "families below the best one compute layers too"
    answer = tuned_bench({"threads": 2, "layers": [{"isa": "ref", "arrangement": "int32", "nodes": linear[:1]}]})
    assert answer["tuned_layers"] == 1, "layers of a row for another number of threads"
    mixed = [{"isa": isa, "arrangement": "runs", "nodes": [node]} for node, isa in zip(linear, own * len(linear))]
    assert tuned_bench({"layers": mixed})["tuned_layers"] == len(linear)


def inspect(narrow):
    report = narrow.report("inspect", quantized(narrow))
    check_keys("inspect", report, ".nw")
    assert report["macs"] == sum(n["macs"] for n in report["nodes"])
    assert report["weight_bytes"] == sum(n["weight_bytes"] for n in report["nodes"] if "weight_bits" in n)
    report = narrow.report("inspect", ONNX)
    check_keys("inspect", report)
    assert report["integer_mac_share"] == 0 and [w["weight_bits"] for w in report["widths"]] == ["float"]
    text = narrow.good("inspect", ONNX).out
    assert "9106944 multiply-accumulates" in text and " 0.0 % of" in text, text


def contents_of(path):
    with open(path, "rb") as file:
        return file.read()


def coded(narrow):
    """Coded weights: the same network in fewer bytes, whatever else is asked for."""
    for switches in (["--weights", "8"], ["--weights", "4"], ["--weights", "2", "--first-last", "0"],
                     ["--weights", "4", "--weight-method", "multipoint", "--weight-book", "flint"]):
        packed = quantized(narrow, "packed.nw", *switches, samples=3)
        net = os.path.join(narrow.folder, "coded.nw")
        made = narrow.report("quantize", ONNX, net, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "3", *switches,
                             "--weight-storage", "coded")
        check_keys("quantize", made)
        assert os.path.getsize(net) < os.path.getsize(packed)
        assert narrow.report("verify", net)["hash"] == narrow.report("verify", packed)["hash"]
        before, after = narrow.report("inspect", packed), narrow.report("inspect", net)
        check_keys("inspect", after, ".nw")
        assert (before["weight_storage"], after["weight_storage"]) == ("packed", "coded") == ("packed", made["weight_storage"])
        saved = before["weight_bytes"] - after["weight_bytes"]
        assert made["weight_bytes"] == after["weight_bytes"] and saved > 0
        layers = [(a, b) for a, b in zip(before["nodes"], after["nodes"]) if "weight_bits" in a]
        assert {b["weight_storage"] for _, b in layers} == {"packed", "coded"} or switches[1] == "8"
        for a, b in layers:
            assert a["weight_storage"] == "packed" and a["weight_bits"] == b["weight_bits"]
            assert (b["weight_bytes"] < a["weight_bytes"]) == (b["weight_storage"] == "coded")
        assert abs(os.path.getsize(packed) - os.path.getsize(net) - saved) < 2048  # the rest is the header
        assert " coded\n" in narrow.good("inspect", net).out
        plan = narrow.good("inspect", net, "--plan").out
        assert json.loads(plan)["weight_storage"] == "coded" and "weight_storage" not in narrow.good("inspect", packed, "--plan").out
        again = quantized(narrow, "again.nw", *switches, "--plan", narrow.file("plan.json", plan), samples=3)
        assert contents_of(again) == contents_of(net)
    narrow.bad(2, "--weight-storage zip", "quantize", ONNX, net, "--calib", CALIB, "--weight-storage", "zip")
    narrow.bad(4, "no such \"weight_storage\"", "quantize", ONNX, net, "--calib", CALIB, "--plan",
               narrow.file("plan.json", '{"version": 1, "weight_storage": "zip"}'))
    goal = 60000  # both meet it; coded weights leave room for more bits
    chosen = []
    for storage in ("packed", "coded"):
        made = narrow.report("quantize", ONNX, net, *PLAN, "--state", os.path.join(narrow.folder, storage), "--target-size", str(goal),
                             "--weight-storage", storage)
        assert os.path.getsize(net) == made["chosen"]["bytes"] <= goal, made["chosen"]
        chosen.append(made["chosen"]["damage"])
    assert chosen[1] < chosen[0], chosen


def report(narrow):
    """Keys under every condition; the page itself is test_report.py's."""
    net = quantized(narrow, "net.nw", "--weights", "4", "--first-last", "0", samples=3)
    runs = ["16-bit sums"] if narrow.report("cpu")["isa"] in ("avx2", "avx512", "neon") else []
    check_keys("report", narrow.report("report", net), *runs)
    check_keys("report", narrow.report("report", net, env={"NARROW_ISA": "ref"}))
    check_keys("report", narrow.report("report", net, "--data", TEST, "--limit", "2", "--samples", "1"), "--data", "classes",
               *runs)
    plan = json.loads(narrow.good("inspect", net, "--plan").out)
    for row in plan["layers"]:
        widths = [{"bits": b, "damage": 4.0 ** -b, "bytes": 100 * b} for b in range(2, 9)]
        row["why"] = {"damage": 0.004, "damage_measure": "noise", "by_bits": widths}
    for row in plan["tensors"]:
        row["why"] = dict(plan["layers"][0]["why"], damage=0.25)
    whole = narrow.report("report", net, "--against", ONNX, "--data", TEST, "--limit", "2", "--samples", "1", "--bench",
                          "--runs", "2", "--plan", narrow.file("plan.json", json.dumps(plan)))
    check_keys("report", whole, "--against", "--data", "classes", "--bench", "reasons", "tensor reasons", "all widths", *runs)
    assert {t["damage"] for t in whole["tensors"]} == {0.25} and whole["packed_activation_bytes"] == whole["activation_bytes"]
    inspected = narrow.report("inspect", net)
    layers = [n for n in inspected["nodes"] if "weight_bits" in n]
    for key in ("node", "weight_bits", "macs", "weight_bytes", "shape"):
        assert [n[key] for n in layers] == [n[key] for n in whole["layers"]], key
    for layer in layers and whole["layers"] if runs else []:
        steps = sum(r["steps"] * r["count"] for r in layer["runs"])
        near(layer["mean_run"], steps / sum(r["count"] for r in layer["runs"]), "mean run")
        assert 0 < layer["filled_share"] <= 1
    onnx = narrow.file("seg.onnx", made.segmenter())
    narrow.file("data/0.png", made.png(8, 8, bytes(192)))
    narrow.file("data/1.png", made.png(8, 8, bytes(range(192))))
    seg = os.path.join(narrow.folder, "seg.nw")
    narrow.good("quantize", onnx, seg, "--calib", "data", "--mean", "127.5", "--std", "64")
    maps = narrow.report("report", seg, "--data", "data", "--against", onnx, "--threads", "2")
    assert "top1" not in maps and maps["agreement"] > 0.5 and maps["samples"] == 2


def verify(narrow):
    net = quantized(narrow)
    report = narrow.report("verify", net)
    check_keys("verify", report)
    assert re.fullmatch("[0-9a-f]{16}", report["hash"])
    available = {f["name"] for f in narrow.report("cpu")["families"] if f["available"]}
    assert {f["isa"] for f in report["families"] if f["result"] == "same"} == available
    assert report["hash"] in narrow.good("verify", net, "--expect", report["hash"]).out
    narrow.bad(1, "hash %s, expected 0123456789abcdef" % report["hash"], "verify", net, "--expect",
               "0123456789abcdef", out=None)
    narrow.bad(1, "expected", "verify", net, "--json", "--expect", "0123456789abcdef")
    other = quantized(narrow, "other.nw", "--weights", "7")
    assert narrow.report("verify", other)["hash"] != report["hash"]


if __name__ == "__main__":
    main("test_commands", sys.argv, [
        help_of_every_command, page_names_every_preprocessing_option, quantize, memory, quantize_switches, wide_ends, plans, planned_points,
        planning, points_as_choices, dqa_as_choice, ranked_channels, planned_activations, missed_goals, latency, shards, every_width, evaluate, overflows, sums, batches, data_formats, segmentation, run, families, threads,
        bench, storage, tuning, inspect, coded, report, verify])
