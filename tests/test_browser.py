"""Each check that tests make in a browser finds its fault on a page that has it, and nothing on one without."""

import base64
import io

import pytest
from PIL import Image

from tests.browser import Visit, chromium, installed_chromium, pictures

pytestmark = pytest.mark.slow

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title><meta name="viewport" content="width=device-width">
<style>:root {{ color-scheme: light dark; background: Canvas }} h1 {{ color: light-dark(#222, #ddd) }}
img {{ max-width: 100% }}</style></head><body><main><h1>A page</h1>
<svg role="img" aria-label="two words" width="200" height="60"><rect width="200" height="60" fill="#fff"/>
<text x="10" y="20" fill="#333">letters</text>
<g id="text_1"><path fill="#444" d="M 10 30 h 9 v 9 z"/></g></svg>
{}</main></body></html>"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser, tmp_path):
    """Open the page above with something more in it."""

    def opened(more="", **window):
        (tmp_path / "page.html").write_text(PAGE.format(more))
        return Visit(browser, tmp_path / "page.html", **window)

    return opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(360, 800), (1600, 1000)])
def test_nothing_is_found_where_there_is_nothing(visit, theme, size):
    with visit('<img alt="a dot" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', size=size, theme=theme) as page:
        assert page.overflow() == page.broken_words() == page.faint_text() == page.tiny_text() == page.barriers() == []
        assert page.complaints == page.requests == []


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("<script>console.error('oh')</script>", "error: oh"),
        ("<script>console.warn('hm')</script>", "warning: hm"),
        ("<script>nobody.knows()</script>", "not caught: nobody is not defined"),
        ("<script>Promise.reject(new Error('late'))</script>", "not caught: late"),
    ],
)
def test_complaints(visit, more, complaint):
    with visit(more) as page:
        assert page.complaints == [complaint]


@pytest.mark.parametrize(
    "more",
    [
        '<img alt="" src="{}">',
        "<script>fetch('{}').catch(() => 0)</script>",
        "<style>@import url({})</style>",
        '<p style="background: url({})">a</p>',
    ],
)
@pytest.mark.parametrize("address", ["http://localhost:40404/a", "beside.png"])
def test_requests(visit, more, address):
    with visit(more.format(address)) as page:
        (asked,) = page.requests
        assert asked.endswith(address)


def test_overflow(visit):
    with visit('<p class="wide" style="width: 500px">a</p>', size=(360, 800)) as page:
        assert page.overflow() == ["p.wide: 508", "page: 508"]
    with visit('<div style="overflow-x: auto"><p style="width: 500px">a</p></div>', size=(360, 800)) as page:
        assert page.overflow() == []


@pytest.mark.parametrize(
    ("more", "theme", "found"),
    [
        ('<p style="color: #999">grey on white</p>', "light", "'grey on white': 2.85"),  # by WebAIM's contrast checker
        ('<p style="color: #777">just not</p>', "light", "'just not': 4.48"),
        ('<p style="color: #111">black on black</p>', "dark", "'black on black': 1.01"),
        ('<details><summary>more</summary><p style="color: #fff">hidden</p></details>', "light", "'hidden': 1.00"),
        ('<p style="color: #000; opacity: 0.3">pale</p>', "light", "'pale': 2.11"),
        ('<svg role="img" aria-label="a"><text y="20" fill="#fff">drawn</text></svg>', "light", "'drawn': 1.00"),
        (
            '<svg role="img" aria-label="a"><rect width="90" height="90" fill="#000"/>'
            '<g id="text_2"><path fill="#222" d="M 10 30 h 9 v 9 z"/></g></svg>',
            "light",
            "'text_2': 1.32",
        ),
    ],
)
def test_faint_text(visit, more, theme, found):
    with visit(more, theme=theme) as page:
        assert page.faint_text() == [found]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ('<p style="font-size: 8px">small</p>', "'small': 8.0"),
        (
            '<svg role="img" aria-label="a" width="50" height="50" viewBox="0 0 100 100">'
            '<text y="50" font-size="16" transform="rotate(-90 20 50)">halved</text></svg>',
            "'halved': 8.0",
        ),
    ],
)
def test_tiny_text(visit, more, found):
    with visit(more) as page:
        assert page.tiny_text() == [found]


def test_broken_words(visit):
    with visit(
        '<p style="width: 4em; overflow-wrap: anywhere">two threshold checkpoints/best.ckpt to-and-fro</p>'
    ) as page:
        assert page.broken_words() == ["threshold"]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<input type="range">', "label"),
        ('<svg><path d="M 0 0 h 9"/></svg>', "no role=img with a name: <svg>"),
        ('<p style="color: #999">grey on white</p>', "color-contrast"),
    ],
)
def test_barriers(visit, more, found):
    with visit(more) as page:
        (barrier,) = page.barriers()
        assert barrier.startswith(found)


def test_without_scripts(visit):
    more = "<p id=a>before</p><script>document.getElementById('a').textContent = 'after'</script>"
    for scripts, text in {True: "after", False: "before"}.items():
        with visit(more, scripts=scripts) as page:
            assert page.page.text_content("#a") == text
            assert page.overflow() == []


def test_a_picture_that_is_cut_lies_on_two_sheets(visit):
    png = io.BytesIO()
    Image.linear_gradient("L").save(png, "png")
    image = f'<img alt="grey" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}" style="{{}}">'
    with visit(image.format("width: 300px")) as page:
        with page.pdf() as sheets:
            (((left, bottom, right, top), size),) = [drawn for sheet in sheets for drawn in pictures(sheet)]
        assert size == (256, 256)
        assert right - left == pytest.approx(300 * 0.75, abs=1) == top - bottom  # 96 pixels and 72 points an inch
    taller_than_a_sheet = image.format("width: 300px; height: 1500px")  # and so begins on one of its own
    with visit(taller_than_a_sheet) as page, page.pdf() as sheets:
        assert [len(pictures(sheet)) for sheet in sheets] == [0, 1, 1]


def test_no_browser_is_never_silent(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DCGAN_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium on the PATH"):
        installed_chromium()
    monkeypatch.setenv("DCGAN_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="no Chromium on the PATH"):
        installed_chromium()
