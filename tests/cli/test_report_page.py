# SPDX-License-Identifier: Apache-2.0
"""The page of `narrow report` in a browser: what it shows is the document's, nothing overflows or overlaps its place from
a telephone's width to a desk's, and its words can be read in light and dark. Skipped without Chromium.

    test_report_page.py NARROW [CASE...]
"""
import html
import json
import os
import re
import sys

import browser
import made_files as made
from narrow_cli import ONNX, TEST, main, quantized
from test_report import check_page, pair

WIDTHS = [360, 768, 1400]

# Runs inside the page, in a frame of each width; tells what does not fit.
MEASURE = """
<script>
addEventListener("load", () => {
  const wrong = [], width = document.documentElement.clientWidth;
  const name = e => e.tagName + "." + (e.getAttribute("class") || "") + " " + e.textContent.trim().slice(0, 40);
  if (document.documentElement.scrollWidth > width) wrong.push("the page is " + document.documentElement.scrollWidth + " wide");
  for (const e of document.body.querySelectorAll("*")) {
    if (["TITLE", "STYLE", "SCRIPT"].includes(e.tagName) || e.closest("title")) continue;
    const r = e.getBoundingClientRect();
    if (!r.width || getComputedStyle(e).display === "none") continue;
    if (r.left < -1 || r.right > width + 1) wrong.push("outside the window: " + name(e));
    const place = e.closest("article, .tile, td") || document.body, p = place.getBoundingClientRect();
    if (r.left < p.left - 1 || r.right > p.right + 1) wrong.push("outside its place: " + name(e));
    if (e.clientWidth && e.scrollWidth > e.clientWidth + 1 && e.tagName !== "svg") wrong.push("spills: " + name(e));
  }
  for (const row of document.querySelectorAll(".words, .cells, .ends")) {
    let right = -1, words = [...row.children].filter(e => e.getBoundingClientRect().width);
    for (const e of words) {
      const range = document.createRange(); range.selectNodeContents(e);
      const r = range.getBoundingClientRect();
      if (r.left < right - 0.5) { wrong.push("words overlap: " + name(row)); break; }
      right = r.right;
    }
  }
  for (const rect of document.querySelectorAll("rect.bar")) if (!rect.getBoundingClientRect().height) wrong.push("a bar of no height");
  parent.postMessage({width, wrong: wrong.slice(0, 12), bars: document.querySelectorAll("rect.bar").length}, "*");
});
</script>"""

FRAMES = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0"><script>
const told = [];
addEventListener("message", m => { told.push(m.data); document.documentElement.setAttribute("data-told", JSON.stringify(told)); });
</script>%s</body>"""

# Contrast of every text with what lies behind it, as WCAG 2 defines it.
CONTRAST = """
<script>
addEventListener("load", () => {
  const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number); return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b); };
  const clear = c => /, 0\\)$/.test(c);
  const found = {};
  for (const e of document.body.querySelectorAll("*")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || ["STYLE", "SCRIPT", "title"].includes(e.tagName)) continue;
    let behind = e;
    while (clear(getComputedStyle(behind).backgroundColor) && behind.parentElement) behind = behind.parentElement;
    const a = light(getComputedStyle(e).color), b = light(getComputedStyle(behind).backgroundColor);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = getComputedStyle(e).color + " on " + getComputedStyle(behind).backgroundColor;
    found[key] = Math.min(found[key] || 99, ratio);
  }
  document.documentElement.setAttribute("data-told", JSON.stringify({found, paper: light(getComputedStyle(document.body).backgroundColor)}));
});
</script>"""


def told(dom):
    """What a page's script left behind."""
    return json.loads(html.unescape(re.search(r'data-told="([^"]*)"', dom).group(1)))


def planned(narrow, net):
    """A plan with reasons, so that every chart is there."""
    plan = json.loads(narrow.good("inspect", net, "--plan").out)
    for i, row in enumerate(plan["layers"]):
        widths = [{"bits": b, "damage": (i % 4 + 1) * 4.0 ** -b, "bytes": 150 * (i + 1) * b} for b in range(2, 9)]
        row["why"] = {"damage": widths[row["bits"] - 2]["damage"], "damage_measure": "divergence", "by_bits": widths}
    return narrow.file("plan.json", json.dumps(plan))


def deep(narrow, n):
    """Page and document of a network of many layers, whose tensors have long names that nothing breaks."""
    onnx = narrow.file("deep.onnx", made.deep(n, "<b>a_name_that_goes_on_and_on_without_a_space_to_break_it_at_"))
    for i in range(2):
        narrow.file("data/%d.png" % i, made.png(8, 8, bytes((7 * i + 5 * x) % 251 for x in range(192))))
    net = os.path.join(narrow.folder, "deep.nw")
    narrow.good("quantize", onnx, net, "--calib", "data", "--mean", "127.5", "--std", "64")
    return pair(narrow, net, "--against", onnx, "--data", "data", "--bench", "--runs", "2")


def whole(narrow):
    net = quantized(narrow, "net.nw", "--weights", "4", "--acts", "4", "--act-method", "dqa", "--learn", "0")
    return pair(narrow, net, "--against", ONNX, "--data", TEST, "--limit", "20", "--samples", "4", "--bench", "--runs", "3",
                "--plan", planned(narrow, net))


def shows_the_document(narrow):
    text, document = whole(narrow)
    path = narrow.file("plain.html", text)
    dom = browser.dump(path, narrow.folder)
    page = check_page(dom, document)
    written = check_page(text, document)
    assert page.figures == written.figures, "the browser reads another page than was written"
    text, document = deep(narrow, 3)
    assert "<b>a_name" in "".join(check_page(browser.dump(narrow.file("deep.html", text), narrow.folder), document).words)
    assert "softmax" in [row["op"] for row in document["in_float"]], document["in_float"]


def nothing_overflows(narrow):
    """The demo with every chart, and networks so deep that digits have no room on a telephone, a tablet, anywhere."""
    pages = [whole(narrow), deep(narrow, 50), deep(narrow, 90)]
    frames = ""
    for i, (text, _) in enumerate(pages):
        narrow.file("measured%d.html" % i, text.replace("</body>", MEASURE + "</body>"))
        frames += "".join('<iframe src="measured%d.html" style="border:0;width:%dpx;height:900px"></iframe>' % (i, w)
                          for w in WIDTHS)
    answers = told(browser.dump(narrow.file("frames.html", FRAMES % frames), narrow.folder, "--window-size=1500,900"))
    counts = [len(document["layers"]) for _, document in pages]
    assert sorted((a["bars"], a["width"]) for a in answers) == sorted((n, w) for n in counts for w in WIDTHS), answers
    for answer in answers:
        assert not answer["wrong"], "%d layers at %d: %s" % (answer["bars"], answer["width"], "; ".join(answer["wrong"]))


def overflow_would_be_seen(narrow):
    """The measure finds a name that cannot break, a table that is too wide, a word outside its place."""
    text, _ = pair(narrow, quantized(narrow))
    for wrong in ("<p style='white-space:nowrap'>%s</p>" % ("long " * 90), "<div style='width:2000px'>x</div>"):
        narrow.file("measured.html", text.replace("<footer>", wrong + "<footer>").replace("</body>", MEASURE + "</body>"))
        frame = '<iframe src="measured.html" style="border:0;width:360px;height:900px"></iframe>'
        answers = told(browser.dump(narrow.file("frames.html", FRAMES % frame), narrow.folder))
        assert answers[0]["wrong"], wrong


def can_be_read(narrow):
    text, _ = whole(narrow)
    path = narrow.file("contrast.html", text.replace("</body>", CONTRAST + "</body>"))
    papers = []
    for scheme in (browser.LIGHT, browser.DARK):
        answer = told(browser.dump(path, narrow.folder, *scheme))
        papers.append(answer["paper"])
        assert len(answer["found"]) >= 4, answer
        for colours, ratio in answer["found"].items():
            assert ratio >= 4.5, "%s: contrast %.2f" % (colours, ratio)
    assert papers[0] > 0.8 and papers[1] < 0.05, papers


if __name__ == "__main__":
    main("test_report_page", sys.argv, [shows_the_document, nothing_overflows, overflow_would_be_seen, can_be_read],
         None if browser.find() else "no chromium: how the report's page looks is not tested")
