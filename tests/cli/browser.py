# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, for the tests of `narrow report`'s page and for the pictures of it in docs/.

    browser.dump(page, folder, "--window-size=1400,900")   the document after its scripts have run
    browser.picture(page, out, width, height, dark=True)
"""
import os
import shutil
import subprocess

TIMEOUT = 120
DARK = ["--blink-settings=preferredColorScheme=0"]
LIGHT = ["--blink-settings=preferredColorScheme=1"]


def find():
    return shutil.which("chromium") or shutil.which("chromium-browser")


def run(page, folder, *options):
    command = [find(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
               "--user-data-dir=" + os.path.join(folder, "browser"), "--virtual-time-budget=5000", *options,
               "file://" + page]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT, env=dict(os.environ, HOME=folder))
    assert done.returncode == 0, "%s: code %d\n%s" % (command[0], done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout.decode("utf-8")


def dump(page, folder, *options):
    return run(page, folder, "--dump-dom", *options)


def picture(page, out, folder, width, height, dark=False):
    run(page, folder, "--screenshot=" + out, "--window-size=%d,%d" % (width, height), *(DARK if dark else LIGHT))
