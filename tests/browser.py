"""A page in headless Chromium: what it asks for, what it complains of, and how it looks.

Playwright drives the Chromium that is installed; nothing is downloaded. Where there is none, the tests that need
one skip and say so, unless DCGAN_BROWSER=required, as in .ci/run: then they fail.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pypdfium2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
CHECKS = (Path(__file__).parent / "browser.js").read_text()


def installed_chromium():
    """The path of a Chromium; skips the test, or fails it, where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    words = f"no Chromium on the PATH (looked for {', '.join(NAMES)}); Debian: apt-get install chromium"
    if os.environ.get("DCGAN_BROWSER") == "required":
        pytest.fail(words)
    pytest.skip(words)


@contextmanager
def chromium():
    """A running browser with nobody's profile in it."""
    executable = installed_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        yield browser
        browser.close()


class Visit:
    """A file opened in a window of (width, height) CSS pixels, in a light or a dark theme.

    ``complaints``: what the console says as a warning or an error, and exceptions that nothing caught, so far.
    ``requests``: every address asked for so far, but for the file's own and what the file brings along (data:, blob:).
    """

    def __init__(self, browser, path, size=(1600, 1000), theme="light", scripts=True):
        self.complaints, self.requests = [], []
        width, height = size
        self.page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=theme, java_script_enabled=scripts
        )
        address = Path(path).resolve().as_uri()
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(f"not caught: {error}"))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("request", lambda request: self._asked(request.url, address))
        self.page.goto(address)
        self.page.wait_for_timeout(50)  # ms; promises that were broken while loading are reported after it

    def _said(self, kind, text):
        if kind in ("warning", "error", "assert"):
            self.complaints.append(f"{kind}: {text}")

    def _asked(self, url, address):
        if url.split("#")[0] != address and not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()

    def overflow(self):
        """What makes the page scroll sideways: 'tag.class: right edge' of each element beyond the window's."""
        return self._check("overflow")

    def faint_text(self, ratio=4.5):
        """Texts with less contrast to what is painted behind them than WCAG 2.2 asks for (1.4.3), with theirs."""
        return [f"{text!r}: {contrast:.2f}" for text, contrast in self._check("contrasts") if contrast < ratio]

    def tiny_text(self, least=9):
        """Texts that are drawn lower than so many CSS pixels, with theirs."""
        return [f"{text!r}: {height:.1f}" for text, height in self._check("heights") if height < least]

    def broken_words(self):
        """Words of up to 14 characters that go on in the next line for want of room."""
        return self._check("broken")

    def barriers(self):
        """What axe-core finds that keeps people from reading or using the page, and drawings without a name."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        named = [f"{rule['id']}: {node['target']} {node['html'][:120]}" for rule in found for node in rule["nodes"]]
        return named + [f"no role=img with a name: {drawing}" for drawing in self._check("nameless")]

    def _check(self, name):
        return self.page.evaluate(f"() => {{ {CHECKS}; return {name}(); }}")

    def pdf(self):
        """The page printed on A4, to be closed."""
        return pypdfium2.PdfDocument(self.page.pdf(format="A4", print_background=True))


def pictures(sheet):
    """The raster pictures of a PDF's page, each ((left, bottom, right, top) in points, (width, height) in pixels)."""
    images = list(sheet.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=15))
    return [(image.get_bounds(), image.get_px_size()) for image in images]
