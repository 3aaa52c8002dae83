"""The page in a real browser: it moves, it is right, it recovers, and it never shows an old answer as if it were now.

FLORA_SCREENSHOTS names a folder for pictures of it, at laptop and phone size.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, OUTPUT_FAILED, PICTURE_BACK, STARTED, Event
from edge.contract.frame import Frame
from edge.contract.health import OutputHealth
from edge.model.classifier import Classifier
from edge.picture.geometry import Picture
from edge.sinks.uncertain.store import UncertainStore
from edge.sinks.web.connections import Viewers
from edge.sources.pattern import PatternSource
from tests.edge.fakes import LABELS, decision
from tests.edge.sinks.web.browser import Browser
from tests.edge.sinks.web.serving import TOKEN, Served, health, served, until, with_evidence
from tests.edge.sinks.web.walk import Walk

pytestmark = pytest.mark.browser

LAPTOP, PHONE, SMALL_PHONE = (1280, 800), (390, 844), (360, 740)
IS_LIVE = "document.querySelector('#state').dataset.state === 'live' && document.querySelector('#cover').hidden"
FRAME = "Number(document.querySelector('#picture').dataset.frame)"
BARS = """[...document.querySelectorAll('#bars li')].map(
    (row) => [row.querySelector('.name').textContent, row.querySelector('.value').textContent])"""
PIXELS = """[...document.querySelector('#picture').toDataURL()].reduce(
    (sum, letter) => (sum * 31 + letter.charCodeAt(0)) | 0, 7)"""
SCREENS = (
    ("laptop", LAPTOP, False),
    ("laptop-dark", LAPTOP, True),
    ("phone", PHONE, False),
    ("phone-dark", PHONE, True),
)
NASTY = "<img src=x onerror=\"window.pwned=1\"><b>'rose'</b>"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed; install it with: apt install chromium")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """At laptop size; whatever the page complains about fails the test."""
    chromium.call("Network.clearBrowserCookies")
    chromium.size(*LAPTOP)
    chromium.console.clear()
    yield chromium
    complaints = list(chromium.console)
    chromium.open("about:blank")
    assert complaints == []


class Camera:
    """A moving pattern with an answer, from a thread of its own, until the end of the block."""

    def __init__(self, run: Served, shown: Decision | None = None) -> None:
        self._run, self._shown = run, shown or decision((0.125, 0.75, 0.125))
        self._pattern = PatternSource((320, 240))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        for number in count():
            if self._stop.wait(0.05):
                return
            self._run.show(replace(self._shown, frame=number, name="test"), _frame(self._pattern.image(number), number))


def _frame(picture: Picture, number: int) -> Frame:
    return Frame(picture, number, 100.0, "test")


def _open(browser: Browser, run: Served, path: str = "/") -> None:
    browser.open(f"http://127.0.0.1:{run.port}{path}")


def _missing(seconds: float, *, is_update: bool = False) -> Event:
    data = {"seconds": seconds, "reason": "camera 0: unplugged"}
    return Event(NO_PICTURE, 1_800_000_000.0, "no picture", data, is_update=is_update)


def test_the_picture_moves_and_is_the_one_that_was_answered(browser: Browser) -> None:
    with served() as run, Camera(run):
        _open(browser, run)
        browser.wait(IS_LIVE)
        first, pixels = browser.wait(f"{FRAME} > 0 && {FRAME}"), browser.ask(PIXELS)
        browser.wait(f"{FRAME} > {first + 5}")
        assert browser.ask(PIXELS) != pixels


@pytest.mark.parametrize("many", [0, 20], ids=["few labels", "many labels"])
def test_the_bars_match_the_state(browser: Browser, many: int) -> None:
    labels = tuple(f"flower {number:02}" for number in range(many)) or LABELS
    shares = np.random.default_rng(3).dirichlet(np.ones(len(labels)))
    with served() as run:
        run.now[0] = health(labels=labels)
        run.show(decision(shares.tolist(), labels=labels))
        _open(browser, run)
        browser.wait(IS_LIVE)
        top = run.ask("/api/state").json["decision"]["top"]
        shown = top[:10] if many else sorted(top, key=lambda one: labels.index(one[0]))
        assert browser.ask(BARS) == [[label, f"{100 * share:.0f}%"] for label, share in shown]
        widths = browser.ask(
            "[...document.querySelectorAll('#bars .fill')].map((fill) => parseFloat(fill.style.width))"
        )
        assert widths == pytest.approx([100 * share for _, share in shown], abs=0.01)
        assert browser.ask("document.querySelector('#label .name').textContent") == top[0][0]


def test_unknown_is_said_with_the_nearest_label(browser: Browser) -> None:
    with served() as run:
        run.show(decision((0.25, 0.5, 0.25), threshold=0.9, time=time.time()))
        _open(browser, run)
        browser.wait("document.querySelector('#label .name')?.textContent === 'nothing known'")
        assert browser.ask("document.querySelector('#label .share').textContent") == ""
        assert browser.ask("document.querySelector('#note').textContent") == "Nearest: roses, 50%"
        browser.wait("document.querySelector('#legend li')?.textContent === 'nothing known100%'")
        assert browser.ask("document.title") == "nothing known · Flora"


def test_a_class_of_other_things_is_nothing_known_too(browser: Browser) -> None:
    labels = ("unknown", "roses", "tulips")
    with served() as run:
        run.now[0] = health(labels=labels)
        run.show(decision((0.75, 0.0625, 0.1875), labels=labels))
        _open(browser, run)
        browser.wait("document.querySelector('#label .name')?.textContent === 'nothing known'")
        assert browser.ask("document.querySelector('#note').textContent") == "Nearest: tulips, 19%"
        assert browser.ask(BARS)[0] == ["nothing known", "75%"]
        assert "unknown" not in browser.ask("document.body.innerText")


def test_the_heat_map_comes_and_goes_with_its_button(browser: Browser) -> None:
    with served() as run:
        run.show(with_evidence(decision(number=1)), _frame(np.full((240, 320, 3), 90, np.uint8), 1))
        _open(browser, run)
        browser.wait(f"{IS_LIVE} && {FRAME} === 1")
        plain = browser.ask(PIXELS)
        browser.click("#heat")
        browser.wait(f"{PIXELS} !== {plain}")
        assert browser.ask("document.querySelector('#heat').getAttribute('aria-pressed')") == "true"
        assert browser.ask("document.querySelector('#snapshot').getAttribute('href')") == "/snapshot.jpg?heat=1"
        browser.click("#heat")
        browser.wait(f"{PIXELS} === {plain}")


def test_without_evidence_there_is_no_such_button(browser: Browser) -> None:
    with served() as run:
        run.show()
        _open(browser, run)
        browser.wait(IS_LIVE)
        assert browser.ask("document.querySelector('#heat').hidden")


def test_labelling_moves_the_file_and_discarding_deletes_it(browser: Browser, tmp_path: Path) -> None:
    store = UncertainStore(tmp_path, LABELS, per_minute=1e9)
    pattern = PatternSource((64, 48))
    for number, at in ((1, 1_800_000_000.0), (60, 1_800_000_060.0)):
        assert store.offer(decision((0.25, 0.5, 0.25), time=at), _frame(pattern.image(number), number))
    with served(store=store) as run:
        run.show()
        _open(browser, run)
        browser.wait("document.querySelectorAll('#waiting li').length === 2")
        browser.wait("[...document.querySelectorAll('#waiting img')].every((image) => image.naturalWidth === 64)")
        newest, oldest = (one.name for one in store.waiting())
        assert browser.ask("document.querySelector('#waiting li').dataset.name") == newest
        browser.click("#waiting li button:nth-child(2)")
        browser.wait("document.querySelectorAll('#waiting li').length === 1")
        assert (tmp_path / "labelled" / "roses" / f"{newest}.png").is_file()
        assert browser.ask("document.querySelector('#uncertain-said').textContent") == "Saved as roses."
        assert browser.ask("document.activeElement.closest('li')?.dataset.name") == oldest  # for the keyboard
        browser.click("#waiting li .discard")
        browser.wait("document.querySelectorAll('#waiting li').length === 0")
    assert not list((tmp_path / "waiting").glob("*.png"))


@pytest.mark.parametrize("labels", [LABELS, tuple(f"flower {number}" for number in range(20))], ids=["few", "many"])
def test_none_of_these_can_be_said_of_a_frame(browser: Browser, tmp_path: Path, labels: tuple[str, ...]) -> None:
    store = UncertainStore(tmp_path, labels, per_minute=1e9)
    values = (0.5, *[0.5 / (len(labels) - 1)] * (len(labels) - 1))
    assert store.offer(decision(values, labels=labels), _frame(PatternSource((64, 48)).image(1), 1))
    with served(store=store) as run:
        run.now[0] = health(labels=labels)
        run.show()
        _open(browser, run)
        browser.wait("document.querySelectorAll('#waiting li').length === 1")
        name = store.waiting()[0].name
        assert browser.ask("document.querySelector('#waiting .none').textContent") == "None of these"
        browser.click("#waiting .none")
        browser.wait("document.querySelectorAll('#waiting li').length === 0")
        assert browser.ask("document.querySelector('#uncertain-said').textContent") == "Saved as none of these."
    assert (tmp_path / "labelled" / "unknown" / f"{name}.png").is_file()


def test_a_label_that_could_not_be_saved_is_told_and_the_frame_stays(browser: Browser) -> None:
    with served() as run:
        run.show()
        _open(browser, run)
        browser.wait("document.querySelectorAll('#waiting li').length === 2")
        name = browser.ask("document.querySelector('#waiting li').dataset.name")
        del run.store.frames[name]  # somebody else was faster, and this page does not know yet
        browser.click("#waiting li button")
        told = browser.wait("document.querySelector('#waiting li .bad')?.textContent")
        assert "no such one is waiting" in told
    assert "400 (Bad Request)" in browser.console.pop()


def test_a_stall_covers_the_picture_and_takes_the_answer_away(browser: Browser) -> None:
    with served() as run:
        run.show(decision((0.125, 0.75, 0.125)))
        _open(browser, run)
        browser.wait(f"{IS_LIVE} && document.querySelector('#label .name').textContent === 'roses'")
        run.site.scene.tell(_missing(4))
        browser.wait("/^No picture for [4-9] s$/.test(document.querySelector('#cover-text').textContent)")
        assert browser.ask("document.querySelector('#cover-reason').textContent") == "camera 0: unplugged"
        assert browser.ask("document.querySelector('#label .name').textContent") == "no picture"
        assert "Last answer: roses" in browser.ask("document.querySelector('#note').textContent")
        assert {value for _, value in browser.ask(BARS)} == {"\u2013"}
        assert browser.ask("document.querySelector('#snapshot').hidden")
        browser.wait("/^No picture for ([6-9]|1\\d) s$/.test(document.querySelector('#cover-text').textContent)")
        run.site.scene.tell(Event(PICTURE_BACK, 1_800_000_009.0, "picture back after 9 s"))
        run.show(decision((0.75, 0.125, 0.125)))
        browser.wait(f"{IS_LIVE} && document.querySelector('#label .name').textContent === 'daisy'")


def test_the_page_recovers_by_itself_when_the_runner_restarts(browser: Browser) -> None:
    with served() as run, Camera(run):
        address = f"127.0.0.1:{run.port}"
        run.site.scene.tell(Event(STARTED, 1_800_000_000.0, "started: the first run"))
        _open(browser, run)
        browser.wait(f"{IS_LIVE} && {FRAME} > 0")
    browser.wait("document.querySelector('#cover-text').textContent === 'Runner not reachable'")
    assert browser.ask("document.querySelector('#label .name').textContent") == "not reachable"
    with served(address) as run, Camera(run, decision((0.75, 0.125, 0.125))):
        run.site.scene.tell(Event(STARTED, 1_800_000_060.0, "started: the second run"))
        browser.wait(f"{IS_LIVE} && document.querySelector('#label .name').textContent === 'daisy'")
        seen = browser.ask(FRAME)
        browser.wait(f"{FRAME} > {seen + 3}")
        texts = browser.ask("[...document.querySelectorAll('#events li')].map((row) => row.lastChild.textContent)")
        assert texts == ["started: the second run"]
    # What the browser itself says of a server that is not there is no complaint of the page.
    browser.console[:] = [line for line in browser.console if "net::ERR_" not in line]


def test_names_are_text_and_never_html(browser: Browser, tmp_path: Path) -> None:
    store = UncertainStore(tmp_path, (NASTY, "tulips"), per_minute=1e9)
    unsure = decision((0.5, 0.5), labels=(NASTY, "tulips"), time=time.time())
    store.offer(unsure, _frame(PatternSource((64, 48)).image(0), 0))
    with served(store=store) as run:
        outputs = {NASTY: OutputHealth(reason=NASTY)}
        run.now[0] = health(labels=(NASTY, "tulips"), model=NASTY, source=NASTY, outputs=outputs)
        run.site.scene.tell(Event(OUTPUT_FAILED, 1_800_000_000.0, NASTY, {"output": NASTY, "reason": NASTY}))
        run.show(replace(unsure, name=NASTY))
        _open(browser, run)
        browser.wait("document.querySelectorAll('#waiting li').length === 1")
        browser.wait("document.querySelectorAll('#legend li').length === 1")
        assert browser.ask("document.querySelector('#label .name').textContent") == NASTY
        assert NASTY in browser.ask("document.querySelector('#health').textContent")
        run.site.scene.tell(replace(_missing(4), data={"seconds": 4, "reason": NASTY}))
        browser.wait(f"document.querySelector('#cover-reason').textContent === {json.dumps(NASTY)}")
        assert browser.ask("document.querySelectorAll('img').length") == 2  # the icon and the frame that waits
        assert browser.ask("window.pwned ?? null") is None


@pytest.mark.parametrize("size", [PHONE, SMALL_PHONE], ids=["390 px", "360 px"])
def test_the_page_fits_a_phone(browser: Browser, size: tuple[int, int]) -> None:
    labels = ("a" * 80, "Leucanthemum vulgare subsp. ircutianum", "tulips")
    with served() as run:
        run.now[0] = health(labels=labels, source="rtsp://" + "x" * 90, model="m" * 90)
        run.show(decision((0.5, 0.25, 0.25), labels=labels))
        browser.size(*size, is_phone=True)
        _open(browser, run)
        browser.wait(f"{IS_LIVE} && document.querySelectorAll('#waiting li').length === 2")
        assert browser.ask("document.documentElement.scrollWidth") <= size[0]
        heights = browser.ask("[...document.querySelectorAll('#waiting button')].map((b) => b.offsetHeight)")
        assert min(heights) >= 44  # CSS pixels: a finger


def test_the_link_with_the_token_opens_the_page_and_vanishes_from_the_address(browser: Browser) -> None:
    with served(token=TOKEN) as run, Camera(run):
        _open(browser, run)
        assert browser.ask("document.querySelector('form input').type") == "password"
        browser.console.clear()  # that the page was refused is what was asked for
        browser.ask(f"document.querySelector('#token').value = '{TOKEN}'")
        browser.click("form button")
        browser.wait(f"document.querySelector('#state') && {IS_LIVE} && {FRAME} > 0")
        assert browser.ask("location.pathname + location.search") == "/"
        assert browser.ask("document.cookie") == ""  # no script can read it


def test_a_page_that_nobody_sees_costs_nothing(browser: Browser) -> None:
    viewers = Viewers()
    with served(viewers=lambda: viewers) as run, Camera(run):
        _open(browser, run)
        browser.wait(f"{IS_LIVE} && {FRAME} > 0")
        assert viewers.open == 2
        other = browser.call("Target.createTarget", url="about:blank")["targetId"]
        until(lambda: viewers.open == 0, "the hidden page has let go")
        browser.call("Target.closeTarget", targetId=other)
        browser.call("Page.bringToFront")
        browser.wait(IS_LIVE)
        until(lambda: viewers.open == 2, "the page is back")


@pytest.mark.photos
def test_the_page_with_real_flowers_at_laptop_and_phone_size(browser: Browser, shared: Path, tmp_path: Path) -> None:
    folder = Path(os.environ.get("FLORA_SCREENSHOTS") or tmp_path / "screenshots")
    classify = Classifier()
    store = UncertainStore(tmp_path / "uncertain", classify.labels, per_minute=1e9)
    with served(store=store) as run:
        walk = Walk(run, store, classify, shared)
        walk.past()
        with walk.live():
            _open(browser, run)
            browser.wait(f"{IS_LIVE} && {FRAME} > 0")
            for name, size, is_dark in SCREENS:
                browser.size(*size, is_phone=size == PHONE, is_dark=is_dark)
                browser.rest(1.0)
                assert browser.ask("document.documentElement.scrollWidth") <= size[0]
                browser.screenshot(folder / f"page-{name}.png")
                browser.screenshot(folder / f"page-{name}-whole.png", is_whole=True)
    shots = [cv2.imread(str(path)) for path in folder.glob("page-*.png")]
    assert len(shots) == 2 * len(SCREENS)
    assert all(shot is not None and shot.std() > 20 for shot in shots)
