# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: running narrow in a scratch folder, and what must hold for every run.

    narrow_cli.main("test_x", NARROW, cases)   each case is a function(narrow); an AssertionError is its failure

Standard library only. A failing command must end with its code, one sentence on stderr that starts with "narrow: ",
nothing on stdout, and must leave the folder it ran in as it was.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEMO = os.path.join(ROOT, "demo")
ONNX = os.path.join(DEMO, "glyphs.onnx")
PREPROCESS = os.path.join(DEMO, "preprocess.json")
CALIB = os.path.join(DEMO, "pictures", "calib")
TEST = os.path.join(DEMO, "pictures", "test")
PICTURE = os.path.join(TEST, "ring", "000.png")
TIMEOUT = 300


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)


def contents(folder):
    """What lies in a folder: names and hashes, to see that nothing was left behind or changed."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders:
            found[os.path.join(base, name)] = "folder"
        for name in files:
            path = os.path.join(base, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found[path] = hashlib.sha256(file.read()).hexdigest()
            else:
                found[path] = "special"
    return found


class Narrow:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def file(self, name, data):
        """Writes a file into the scratch folder; returns its path."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def __call__(self, *arguments, env=None, stdout=subprocess.PIPE, preexec=None, warns=False):
        """Runs a command; no signal may end it and stderr is empty if and only if it succeeds (without a warning)."""
        variables = dict(os.environ, **(env or {}))
        for name in ("NARROW_ISA", "OMP_NUM_THREADS"):
            if not env or name not in env:
                variables.pop(name, None)
        done = subprocess.run([self.path] + [str(a) for a in arguments], cwd=self.folder, env=variables,
                              stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT,
                              preexec_fn=preexec)
        result = Result(done.returncode, (done.stdout or b"").decode(), done.stderr.decode(errors="replace"))
        what = "narrow %s: code %d\n%s" % (" ".join(map(str, arguments)), result.code, result.err)
        assert 0 <= result.code <= 5, what
        assert (result.code == 0 and not warns) == (result.err == ""), what
        return result

    def good(self, *arguments, **keywords):
        result = self(*arguments, **keywords)
        assert result.code == 0, "code %d: %s\n%s" % (result.code, arguments, result.err)
        return result

    def report(self, *arguments, **keywords):
        return self.good(*arguments, "--json", **keywords).json()

    def bad(self, code, pattern, *arguments, lines=1, out="", **keywords):
        """Runs a command that must fail with `code` and one sentence that matches `pattern`."""
        before = contents(self.folder)
        result = self(*arguments, **keywords)
        what = "%s\ncode %d (expected %d)\n%s" % (" ".join(map(str, arguments)), result.code, code, result.err)
        assert result.code == code, what
        check_sentence(result.err.splitlines()[-1], what)
        if lines:
            assert len(result.err.splitlines()) == lines, what
        assert re.search(pattern, result.err), "%s\ndoes not match %s" % (what, pattern)
        assert out is None or result.out == out, what + result.out
        assert contents(self.folder) == before, "files were left or changed: " + what
        return result


def check_sentence(line, what):
    assert line.startswith("narrow: ") and 12 < len(line) < 700, what
    assert not re.search(r"[\x00-\x1f]|%[sdz]|\(null\)|error [0-9]+$", line), what


def quantized(narrow, name="glyphs.nw", *options, samples=12):
    """The demo's network in integers, in the scratch folder; few updates where it would be learned for a minute."""
    path = os.path.join(narrow.folder, name)
    if {"--acts", "--tensor-bits"} & set(options) and "--learn" not in options:
        options += ("--learn", "2")
    if options or not os.path.exists(path):
        narrow.good("quantize", ONNX, path, "--calib", CALIB, "--preprocess", PREPROCESS, "--samples", samples,
                    *options)
    return path


class Skipped(Exception):
    """A case that cannot run here; its text says why."""


def main(name, argv, cases, missing=None):
    """Runs the cases named, or all; `missing`: what this machine lacks for them. Ends with 0, 1 or 77 (all skipped)."""
    if len(argv) < 2:
        sys.exit("usage: %s.py NARROW [CASE...], or %s.py --list" % (name, name))
    if argv[1] == "--list":
        print("\n".join(case.__name__ for case in cases))
        return
    if missing:
        print("SKIP: %s" % missing)
        sys.exit(77)
    failed, ran, skipped = [], 0, 0
    for case in cases:
        if len(argv) > 2 and case.__name__ not in argv[2:]:
            continue
        folder = tempfile.mkdtemp(prefix="narrow-cli-")
        ran += 1
        start = time.monotonic()
        try:
            case(Narrow(os.path.abspath(argv[1]), folder))
            print("ok      %s, %.1f s" % (case.__name__, time.monotonic() - start), flush=True)
        except Skipped as reason:
            skipped += 1
            print("SKIP: %s: %s" % (case.__name__, reason), flush=True)
        except (AssertionError, KeyError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
            failed.append(case.__name__)
            where = [f for f in traceback.extract_tb(error.__traceback__) if f.name == case.__name__][-1:]
            print("FAILED  %s, %s: %r" % (case.__name__, "".join("line %d: %s" % (f.lineno, f.line) for f in where),
                                         error), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("%s: %d cases, %d failed%s" % (name, ran, len(failed), ": " + ", ".join(failed) if failed else ""))
    sys.exit(1 if failed or not ran else 77 if skipped == ran else 0)
