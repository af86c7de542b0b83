"""The report in a browser: Debian's chromium, without a window."""

import shutil
import time

import pytest
import report_cases as cases
import torch

import targets

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if CHROMIUM is None:
    pytest.skip("no chromium on this machine (Debian: apt-get install chromium)", allow_module_level=True)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    plane = targets.GaussianMixture(
        torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), scales=0.5, weights=torch.tensor([0.3, 0.7])
    )
    given = {"two modes": plane, "line": targets.Gaussian(torch.zeros(1, dtype=torch.float64))}
    samplers = {"good": cases.exact, "slow": cases.sticky, "broken": cases.failed, "weighted": cases.weighted}
    result = cases.stored(tmp_path_factory.mktemp("stored"), given, samplers, seeds=2, draws=150)
    return result.report(tmp_path_factory.mktemp("report"))


@pytest.fixture
def opened(browser, folder):
    """The page, and what it has asked for and complained of."""
    with browser.new_context(viewport=DESK) as context:
        yield open_page(context, folder)


def open_page(context, folder):
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    return page


def test_it_opens_without_an_error_and_asks_for_nothing(opened, folder):
    opened.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    assert opened.complaints == []
    own = (folder / "index.html").as_uri()
    assert [url for url in opened.asked if url != own and not url.startswith("data:")] == []
    assert opened.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert loading_seconds(opened) < 2


def loading_seconds(page):
    return page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000


def names(page, target):
    """The samplers of a target from top to bottom, in the part of the table that is shown."""
    lines = page.locator(".panel:visible tbody", has=page.get_by_role("link", name=target, exact=True)).locator("tr")
    return [line.locator("th").inner_text() for line in lines.all()][1:]


def test_a_click_sorts_within_each_target(opened):
    assert names(opened, "two modes") == ["good", "slow", "broken", "weighted"]
    heading = opened.locator(".panel:visible th", has=opened.get_by_role("button", name="R-hat", exact=True))
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert names(opened, "two modes") == ["good", "slow", "broken", "weighted"]  # no R-hat: at the end
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert names(opened, "two modes")[:2] == ["slow", "good"]
    assert names(opened, "line")[-1] in ("broken", "weighted")


def test_the_keyboard_sorts_and_more_is_first_where_more_is_better(opened):
    button = opened.locator(".panel:visible").get_by_role("button", name="ESS", exact=True)
    button.focus()
    opened.keyboard.press("Enter")
    assert opened.locator(".panel:visible th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert names(opened, "line")[-2:] == ["slow", "broken"]
    first = opened.locator(".panel:visible").get_by_role("button", name="sampler", exact=True)
    first.click()
    assert names(opened, "line") == ["broken", "good", "slow", "weighted"]


def test_topics_show_other_columns(opened):
    assert not opened.get_by_role("button", name="tail ESS").is_visible()
    opened.get_by_text("Mixing", exact=True).first.click()
    assert opened.get_by_role("button", name="tail ESS").is_visible()
    opened.get_by_text("Single runs", exact=True).first.click()
    assert names(opened, "line")[:2] == ["good, seed 0", "good, seed 1"]


def test_on_a_phone_the_page_is_as_wide_as_the_phone_and_names_stay(browser, folder):
    with browser.new_context(viewport=PHONE, is_mobile=True) as context:
        page = open_page(context, folder)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        scroll = page.locator(".panel:visible .scroll")
        assert scroll.evaluate("(box) => box.scrollWidth > box.clientWidth")
        name = page.locator(".panel:visible tbody th").nth(1)
        before = name.bounding_box()["x"]
        scroll.evaluate("(box) => { box.scrollLeft = 200; }")
        assert name.bounding_box()["x"] == before


def test_in_print_all_parts_of_the_table_are_there_and_fit(opened):
    opened.emulate_media(media="print")
    opened.set_viewport_size({"width": 1040, "height": 720})  # A4, landscape, within its margins
    panels = opened.locator(".panel")
    assert all(panel.is_visible() for panel in panels.all())
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1040
    assert opened.locator(".panel thead .printed").first.is_visible()


def test_dark_and_light_differ(browser, folder):
    shades = []
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page = open_page(context, folder)
            shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            image = page.locator("figure img").first
            assert image.evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    assert shades[0] != shades[1]


@pytest.mark.slow
def test_eight_targets_and_ten_samplers_are_small_and_open_at_once(browser, tmp_path):
    result = cases.eight_by_ten(tmp_path / "stored")
    start = time.monotonic()
    folder = result.report(tmp_path / "report")
    megabytes = (folder / "index.html").stat().st_size / 1e6
    with browser.new_context(viewport=DESK) as context:
        page = open_page(context, folder)
        seconds = loading_seconds(page)
        assert page.complaints == []
        assert page.locator("img").count() >= 8 * 7
    print(f"{megabytes:.1f} MB, opened in {seconds:.2f} s, made in {time.monotonic() - start:.0f} s")
    assert megabytes < 15
    assert seconds < 2
