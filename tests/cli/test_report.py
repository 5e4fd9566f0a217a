# SPDX-License-Identifier: Apache-2.0
"""The page of `narrow report` says what its --json says, figure by figure, needs nothing from outside, and cannot be
made to carry somebody else's markup. How it looks is test_report_page.py's.

    test_report.py NARROW [CASE...]
"""
import json
import math
import os
import re
import shutil
import sys
from html.parser import HTMLParser

from narrow_cli import CALIB, ONNX, PREPROCESS, TEST, main, quantized

VOID = {"meta", "rect", "path", "br"}


class Page(HTMLParser):
    """Texts of elements by their data-key, in order; how often tags and classes occur; all text."""

    def __init__(self, text):
        super().__init__()
        self.figures, self.tags, self.classes, self.attributes = [], {}, {}, []
        self.open, self.words = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes.append((tag, attributes))
        for name in (attributes.get("class") or "").split():
            self.classes[name] = self.classes.get(name, 0) + 1
        if tag not in VOID or tag == "rect":
            self.open.append([tag, attributes, ""])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1][0] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.words.append(data)
        for element in self.open:
            element[2] += data

    def handle_endtag(self, tag):
        while self.open:
            name, attributes, text = self.open.pop()
            if "data-as" in attributes:
                self.figures.append((attributes["data-key"], attributes["data-as"], text))
            if name == tag:
                break


def at(document, key):
    for part in key.split("."):
        document = document[int(part)] if part.isdigit() else document[part]
    return document


def three(value):
    return "%.*f" % (0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2 if abs(value) >= 0.9995 else 3, value)


def size(value):
    unit = 0
    while value >= 999.5 and unit < 3:
        value, unit = value / 1000, unit + 1
    return "%s\xa0%s" % (three(value) if unit else "%.0f" % value, ["bytes", "kB", "MB", "GB"][unit])


WRITTEN = {"count": lambda v: "{:,.0f}".format(v), "bytes": size, "percent": lambda v: "%.1f\xa0%%" % (100 * v),
           "decibel": lambda v: "%.1f\xa0dB" % v, "milliseconds": lambda v: three(v) + "\xa0ms" if v >= 0.1 else three(1e3 * v) + "\xa0\xb5s",
           "times": lambda v: "%.2f\xd7" % v, "real": lambda v: "%.4g" % v, "text": lambda v: v}


def check_page(text, document):
    """Every figure is the document's, and as many places as there are layers and tensors. Returns the parsed page."""
    page = Page(text)
    assert len(page.figures) > 5 * len(document["layers"])
    for key, kind, shown in page.figures:
        value = at(document, key)
        expected = ["not measured", "no error"] if value is None else [WRITTEN[kind](value)]
        if isinstance(value, float): # the document's decimal digits may fall on the other side of a tie
            expected += [WRITTEN[kind](value * (1 - 1e-14)), WRITTEN[kind](value * (1 + 1e-14))]
        assert shown in expected, "%s is %r in the document and %r on the page" % (key, value, shown)
    bars = [a for tag, a in page.attributes if tag == "rect" and "bar" in (a.get("class") or "").split()]
    assert len(bars) == len(document["layers"]), "%d bars, %d layers" % (len(bars), len(document["layers"]))
    for i, bar in enumerate(bars):
        assert float(bar["height"]) == document["layers"][i]["planned_bits"] == at(document, bar["data-key"])
    assert page.classes["layer"] == len(document["layers"])
    assert page.classes["tensor"] == len(document["tensors"])
    assert page.classes.get("float", 0) == len(document["in_float"])
    return page


def check_alone(text):
    for word in ("http", "//", "<script", "<link", "<img", "src=", "@import", "url(", "@font-face"):
        assert word not in text.replace("<!DOCTYPE", ""), word


def pair(narrow, *arguments):
    """Page and document of one run."""
    out = os.path.join(narrow.folder, "page.html")
    document = narrow.report("report", *arguments, "-o", out)
    with open(out, encoding="utf-8") as file:
        return file.read(), document


def bare(narrow):
    text, document = pair(narrow, quantized(narrow))
    check_alone(text)
    page = check_page(text, document)
    assert "Damage" not in text and "Size and damage" not in text and "codes seen" not in text
    assert page.tags["h1"] == 1 and page.tags["title"] >= 1
    again, _ = pair(narrow, quantized(narrow), "--no-bench")
    assert again == text, "two runs write two pages"


def measured(narrow):
    """Beside the float network: the layers alone err less than all of them together, and more bits err less."""
    noise = {}
    for bits in ("3", "8"):
        net = quantized(narrow, "w%s.nw" % bits, "--weights", bits, "--first-last", "0")
        text, document = pair(narrow, net, "--against", ONNX, "--data", TEST, "--samples", "6", "--limit", "40",
                              "--bench", "--runs", "3")
        check_alone(text)
        check_page(text, document)
        noise[bits] = document
    for fine, coarse in zip(noise["8"]["layers"], noise["3"]["layers"]):
        assert fine["node"] == coarse["node"] and fine["isolated_db"] > coarse["isolated_db"], (fine["node"], coarse)
        assert sum(w["count"] for w in fine["weights"]) == sum(w["count"] for w in coarse["weights"])
        assert all(abs(w["value"]) <= 3 for w in coarse["weights"])
    means = {(b, key): sum(row[key] for row in d["layers"]) / len(d["layers"])
             for b, d in noise.items() for key in ("isolated_db", "accumulated_db")}
    assert means["8", "isolated_db"] > means["3", "isolated_db"] + 10, means
    assert all(means[b, "isolated_db"] > means[b, "accumulated_db"] + 1 for b in noise), means
    assert abs(noise["3"]["layers"][-1]["accumulated_db"] - noise["3"]["sqnr_db"]) < 3, "other samples, same output"
    for tensor in noise["8"]["tensors"]:
        assert len(tensor["codes"]) == 256 and sum(tensor["codes"]) > 0, tensor["tensor"]
        assert tensor["limit_shares"] == sorted(tensor["limit_shares"]) and tensor["limit_shares"][-1] <= 1
    eight = narrow.report("eval", os.path.join(narrow.folder, "w8.nw"), "--data", TEST, "--limit", "40", "--against", ONNX)
    assert all(noise["8"][key] == eight[key] for key in ("top1", "agreement"))
    assert math.isclose(noise["8"]["sqnr_db"], eight["sqnr_db"], rel_tol=1e-3), "batches of the float engine differ by bits"


def no_history(narrow):
    """What enters the first layer is the same alone and in the network: so are its errors, but for the input's factors."""
    document = narrow.report("report", quantized(narrow), "--against", ONNX, "--data", TEST, "--samples", "2",
                             "--limit", "2")
    first = document["layers"][0]
    assert math.isclose(first["isolated_db"], first["accumulated_db"], abs_tol=1), first


def reasons(narrow):
    """Damage from a plan, and the front when it knows every width: no point is beaten by another, ours is not below it."""
    net = quantized(narrow, "net.nw", "--weights", "4", "--first-last", "0")
    plan = json.loads(narrow.good("inspect", net, "--plan").out)
    for i, row in enumerate(plan["layers"]):
        widths = [{"bits": b, "damage": (i + 1) * 4.0 ** -b, "bytes": 100 * (i + 1) * b} for b in range(2, 9)]
        row["why"] = dict(widths[2], damage_measure="noise", by_bits=widths)
        del row["why"]["bits"]
    path = narrow.file("plan.json", json.dumps(plan))
    text, document = pair(narrow, net, "--plan", path)
    check_page(text, document)
    assert "Size and damage" in text and document["damage_measure"] == "noise"
    front, chosen = document["front"], document["chosen"]
    assert len(front) == 12 and front == sorted(front, key=lambda p: p["bytes"])
    assert [p["damage"] for p in front] == sorted((p["damage"] for p in front), reverse=True)
    assert chosen["bytes"] == 400 * sum(range(1, len(plan["layers"]) + 1))
    assert math.isclose(chosen["damage"], sum(layer["damage"] for layer in document["layers"]))
    assert all(p["damage"] <= chosen["damage"] for p in front if p["bytes"] >= chosen["bytes"])
    for row in plan["layers"][1:]:
        del row["why"]["by_bits"]
    path = narrow.file("plan.json", json.dumps(plan))
    text, document = pair(narrow, net, "--plan", path)
    check_page(text, document)
    assert "front" not in document and "Damage" in text and "adds that of all others" in text


def planned_widths(narrow):
    """A planned network's place beside the front is the plan's: on a shared step values are wider than that."""
    plan, net = os.path.join(narrow.folder, "plan.json"), os.path.join(narrow.folder, "net.nw")
    data = ["--calib", CALIB, "--preprocess", PREPROCESS, "--samples", "24"]
    found = narrow.report("plan", ONNX, plan, *data, "--measure-samples", "8", "--target-size", "22%")["chosen"]
    narrow.good("quantize", ONNX, net, *data, "--plan", plan)
    text, document = pair(narrow, net, "--plan", plan)
    check_page(text, document)
    assert [row["planned_bits"] for row in document["layers"]] == [row["bits"] for row in found["layers"]]
    assert any(row["weight_bits"] > row["planned_bits"] for row in document["layers"]) and "on one step" in text
    assert math.isclose(document["chosen"]["damage"], found["damage"], rel_tol=1e-3), (document["chosen"], found)
    with open(plan) as file:
        assert document["chosen"]["bytes"] == sum(row["why"]["bytes"] for row in json.load(file)["layers"])
    alone, _ = pair(narrow, net)
    assert 'data-key="layers.0.planned_bits"' in alone and "adds that of all others" in alone


def extra_bits(narrow):
    """DQA's tensors are told as such: how many bits, of them how many extra, in how many channels."""
    net = quantized(narrow, "dqa.nw", "--acts", "4", "--act-method", "dqa", "--act-placement", "blocks", "--learn", "0", samples=4)
    plan = {row["tensor"]: row for row in json.loads(narrow.good("inspect", net, "--plan").out)["tensors"]}
    text, document = pair(narrow, net)
    check_page(text, document)
    told = {row["tensor"]: row for row in document["tensors"]}
    important = {name: len(row["channels"]) for name, row in plan.items() if "channels" in row}
    assert important == {name: row["important_channels"] for name, row in told.items() if row["extra_bits"]}, told
    assert len(important) > 2 and all(told[name]["bits"] == 7 and told[name]["extra_bits"] == 3 for name in important), told
    assert text.count("(DQA)") == len(important) + 1 and text.count("DQA's") == text.count('class="dot reach"') > 2
    assert sum(row["extra_bits"] == 3 for row in document["layers"]) == text.count("DQA's")
    inspected = narrow.good("inspect", net).out
    assert len(re.findall(" 4\\+3 ", inspected)) == sum(
        row["extra_bits"] == 3 for row in narrow.report("inspect", net)["nodes"]) >= len(important), inspected


def names(narrow):
    """Names are text, whatever they hold."""
    net = os.path.join(narrow.folder, "<b>&\"'<script>x.nw")
    shutil.copy(quantized(narrow), net)
    data = os.path.join(narrow.folder, "<i>&amp;")
    shutil.copytree(CALIB, data)
    text, document = pair(narrow, net, "--data", data, "--samples", "1", "--limit", "1")
    check_alone(text)
    page = check_page(text, document)
    assert "<b>&\"'<script>x.nw" in "".join(page.words) and "<i>&amp;" in "".join(page.words)
    assert page.tags.get("script", 0) == 0


def refusals(narrow):
    net = quantized(narrow)
    for arguments, pattern in (
            ([net], "needs -o FILE, or --json"), ([ONNX, "-o", "x.html"], "describes a .nw file"),
            ([net, "-o"], "-o needs a value"), ([net, "-o", "x.html", "--against", net], "must be an .onnx file"),
            ([net, "-o", "x.html", "--data", TEST, "--samples", "0"], "--samples: at least 1"),
            ([net, "-o", "x.html", "--bench", "--runs", "0"], "--runs: from 1 to"),
            ([net, "-o", "x.html", "--labels", "x.csv"], "--labels needs --data")):
        narrow.bad(2, pattern, "report", *arguments)
    narrow.bad(4, "no/where", "report", net, "-o", "no/where.html")
    narrow.bad(4, "plan", "report", net, "-o", "x.html", "--plan", narrow.file("plan.json", "{]"))
    narrow.bad(2, "-o: no such|too many", "bench", net, "-o", "x")


if __name__ == "__main__":
    main("test_report", sys.argv, [bare, measured, no_history, reasons, planned_widths, extra_bits, names, refusals])
