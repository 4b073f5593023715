# SPDX-License-Identifier: MIT
"""browser.py HTML [PICTURES]: the manual in HTML as a browser shows it, at the width of a phone and of a desk.

Chromium opens the pages as files, without a network. It is driven by its own protocol over two pipes. At each width

 - no page is wider than the window, and no page reports an error (at the desk's, a few of each kind);
 - "/" and the name of a function find it, Enter opens its page, and the words of a guide find the guide;
 - arrows select, Escape closes, and the selected result is told to a reader of the screen.

Pictures of some pages, and dark ones, are left in PICTURES if that is given."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

WIDTHS = (390, 1280)
LIMIT = 60  # seconds for what a loaded machine may take
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND",
           "--remote-debugging-pipe")
SHOWN = ("index", "weir_pool_for.3", "weir-pool.7", "examples-guides-first-program", "examples-guides-which-call", "tests-faults", "names")


class Browser:
    """Chromium at the other end of descriptors 3 and 4: each message is JSON, with a zero byte behind it."""

    def __init__(self, program, folder):
        to_read, self.out = os.pipe()
        self.into, to_write = os.pipe()

        def descriptors():
            os.dup2(to_read, 1003)
            os.dup2(to_write, 1004)
            os.dup2(1003, 3)
            os.dup2(1004, 4)

        self.process = subprocess.Popen([program, *OPTIONS, "--user-data-dir=" + folder, "about:blank"], preexec_fn=descriptors,
                                        close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.number, self.rest, self.session, self.errors = 0, b"", None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log":
            self.call(domain + ".enable")

    def message(self):
        while b"\0" not in self.rest:
            part = os.read(self.into, 1 << 16)
            if not part:
                sys.exit("the browser has ended")
            self.rest += part
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"])[:300])
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit("%s: %s" % (method, answer["error"]))
                return answer["result"]

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression):
        """Waits until an expression holds."""
        end = time.monotonic() + LIMIT
        while not self.value(expression):
            if time.monotonic() > end:
                sys.exit("in vain at %s: %s" % (self.value("location.href"), expression))
            time.sleep(0.02)

    def open(self, path):
        self.call("Page.navigate", url="file://" + path)
        self.until("document.readyState === 'complete' && location.pathname === %s" % json.dumps(path))

    def key(self, key, text=""):
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text,
                  windowsVirtualKeyCode={"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}.get(key, 0))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def size(self, width):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600)

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def end(self):
        self.process.kill()
        self.process.wait()


def expect(failures, what, true):
    if not true:
        failures.append(what)


def search(browser, folder, width, failures, picture):
    selected = "document.querySelector('#weir-results [aria-selected=true] b')"
    browser.open(os.path.join(folder, "index.html"))
    browser.key("/", "/")
    browser.until("document.activeElement.id === 'weir-search' && window.weirSearchIndex !== undefined")
    expect(failures, "%d: the key / is typed into the field" % width, browser.value("document.activeElement.value") == "")
    browser.type("weir_pool_for")
    browser.until("%s && %s.textContent === 'weir_pool_for'" % (selected, selected))
    picture("search")
    expect(failures, "%d: results are wider than the window" % width, fits(browser))
    browser.key("ArrowDown")
    expect(failures, "%d: an arrow does not select" % width, browser.value(selected + ".textContent") != "weir_pool_for")
    expect(failures, "%d: what is selected is not told" % width, browser.value(
        "document.getElementById('weir-search').getAttribute('aria-activedescendant') === %s.closest('li').id" % selected))
    browser.key("ArrowUp")
    browser.key("Enter", "\r")
    browser.until("location.pathname.endsWith('/weir_pool_for.3.html') && document.readyState === 'complete'")
    browser.key("/", "/")
    browser.until("window.weirSearchIndex !== undefined")
    browser.type("worker crashes")
    browser.until("!document.getElementById('weir-results').hidden && document.querySelector('#weir-results a') !== null")
    picture("words")
    browser.key("Escape")
    expect(failures, "%d: Escape does not close" % width, browser.value("document.getElementById('weir-results').hidden"))


def is_shown(name):
    return name[:-5] in SHOWN


def fits(browser):
    return browser.value("document.documentElement.scrollWidth <= window.innerWidth")


def main(folder, pictures=None):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        print("skipped: chromium is not installed")
        return 77
    folder, failures = os.path.abspath(folder), []
    names = sorted(name for name in os.listdir(folder) if name.endswith(".html"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as data:
        browser = Browser(program, data)
        for width in WIDTHS:
            def picture(name, width=width, dark=""):
                if pictures:
                    browser.picture(os.path.join(pictures, "%s-%d%s.png" % (name, width, dark)))
            browser.size(width)
            for name in names if width == WIDTHS[0] else filter(is_shown, names):
                browser.open(os.path.join(folder, name))
                expect(failures, "%d: %s is %s columns wide" % (
                    width, name, browser.value("document.documentElement.scrollWidth")), fits(browser))
                if is_shown(name):
                    picture(name[:-5])
            search(browser, folder, width, failures, picture)
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
            browser.open(os.path.join(folder, "index.html"))
            picture("index", dark="-dark")
            browser.open(os.path.join(folder, "weir_pool_for.3.html"))
            picture("weir_pool_for.3", dark="-dark")
            browser.call("Emulation.setEmulatedMedia", features=[])
        browser.end()
    failures += browser.errors
    print("\n".join(failures + ["%d pages at %d widths" % (len(names), len(WIDTHS))]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
