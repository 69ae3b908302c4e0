"""The viewer page in a real browser, by clicking: scripts that do not run cannot be seen by reading the page."""

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from e2e3d_assets.reconstruction.monitor import Monitor
from e2e3d_assets.reconstruction.options import ReportOptions, ViewerOptions
from e2e3d_assets.reconstruction.report import build_report
from e2e3d_assets.reconstruction.viewer import build_viewer

from .delivery_scene import BOX, CAMERAS, OFFSET, make_scene
from .test_report import record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic "
    "--no-first-run --disable-background-networking --disable-component-update --disable-sync"
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt install chromium)"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    scene = make_scene(tmp_path_factory.mktemp("scene"))
    out = scene.root / "page"
    out.mkdir()
    inputs = (scene[asset] for asset in ("textured_mesh", "dense_cloud", "sparse_model", "photos"))
    build_viewer(*inputs, out, ViewerOptions(), Monitor(), "harbour")
    return (out / "viewer.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page as opened from disk, its first picture drawn; fails on any error and any request to elsewhere."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, reduced_motion="reduce")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if request.url != address else None)
    page.goto(address)
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    yield page
    context.close()
    assert problems == []


def picture(page: Page) -> np.ndarray:
    """The middle of what is drawn, without panels."""
    settle(page)
    shot = Image.open(BytesIO(page.screenshot())).convert("RGB")
    return np.asarray(shot.crop((150, 100, 750, 580)), int)


def settle(page: Page) -> None:
    page.wait_for_function("() => window.viewer.frame === null")


def screen_position(page: Page, point: np.ndarray) -> tuple[float, float]:
    settle(page)
    script = """point => {
      const v = window.viewer, p = v.camera.position.clone().set(...point).project(v.camera);
      return [(p.x + 1) / 2 * v.width, (1 - p.y) / 2 * v.height];
    }"""
    x, y = page.evaluate(script, point.tolist())
    return x, y


def click_on(page: Page, point: np.ndarray) -> None:
    page.mouse.click(*screen_position(page, point))


def test_layers_are_switched_by_buttons_and_keys(page: Page):
    """Each of model, cloud and cameras must come and go by itself."""
    model = picture(page)
    page.click("#show-model")
    nothing = picture(page)
    assert np.abs(model - nothing).max() > 60
    page.click("#show-cloud")
    assert np.abs(picture(page) - nothing).max() > 60
    page.keyboard.press("2")
    assert np.abs(picture(page) - nothing).max() < 8
    page.mouse.move(450, 300)
    page.mouse.wheel(0, 1500)  # the cameras stand farther out than the first view shows
    page.click("#show-cameras")
    assert np.abs(picture(page) - nothing).max() > 60
    expect(page.locator("#show-cameras")).to_have_attribute("aria-pressed", "true")


def test_model_is_shown_in_its_own_colours(page: Page):
    """Lighting or a wrong colour space makes the model look unlike the photos."""
    corner = OFFSET + BOX / 2 * np.array([-0.02, -0.02, 1])  # near the middle of the top: red and green half way
    x, y = screen_position(page, corner)
    shot = np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB"), int)
    assert np.allclose(shot[round(y), round(x)], [126, 129, 80], atol=10)


def test_dragging_and_scrolling_move_the_view(page: Page):
    """A picture that stands still is no 3D model."""
    before = page.evaluate("() => window.viewer.camera.position.toArray()")
    page.mouse.move(450, 300)
    page.mouse.down()
    page.mouse.move(600, 330, steps=5)
    page.mouse.up()
    settle(page)
    turned = page.evaluate("() => window.viewer.camera.position.toArray()")
    assert np.linalg.norm(np.subtract(before, turned)) > 0.2
    page.mouse.wheel(0, -400)
    settle(page)
    target = page.evaluate("() => window.viewer.controls.target.toArray()")
    nearer = page.evaluate("() => window.viewer.camera.position.toArray()")
    assert np.linalg.norm(np.subtract(nearer, target)) < np.linalg.norm(np.subtract(turned, OFFSET))
    page.click("#home")
    settle(page)
    assert np.allclose(page.evaluate("() => window.viewer.camera.position.toArray()"), before, atol=1e-4)


def test_distance_between_two_clicked_points_is_true(page: Page):
    """The length is what people build on."""
    page.click("#measure")
    top = OFFSET + BOX / 2 * np.array([-0.8, -0.8, 1])
    other = OFFSET + BOX / 2 * np.array([0.8, 0.8, 1])
    click_on(page, top)
    expect(page.locator("#measure-text")).to_have_text("Click the second point.")
    click_on(page, other)
    label = page.locator("#ruler-label")
    expect(label).to_be_visible()
    number, unit = label.inner_text().split()
    true = float(np.linalg.norm(other - top))
    assert (float(number), unit) == (pytest.approx(100 * true, abs=1.5), "cm")
    expect(page.locator("#measure-text")).to_contain_text("· height: 0 mm")  # both lie on the top
    page.keyboard.press("Escape")
    expect(label).to_be_hidden()


def test_distances_are_measured_on_the_cloud_when_the_model_is_hidden(page: Page):
    """The cloud is what was measured; the mesh is made from it."""
    page.click("#show-cloud")
    page.click("#show-model")
    page.click("#measure")
    ends = [OFFSET + BOX / 2 * np.array([sign, 0, 1]) for sign in (-0.7, 0.7)]
    for end in ends:
        click_on(page, end)
    expect(page.locator("#ruler-label")).to_be_visible()
    number, unit = page.locator("#ruler-label").inner_text().split()
    assert (float(number), unit) == (pytest.approx(70, abs=8), "cm")


def test_full_screen_comes_and_goes(page: Page):
    """A model in a small frame is no pleasure."""
    page.click("#full-screen")
    page.wait_for_function("() => document.fullscreenElement !== null")
    page.click("#full-screen")
    page.wait_for_function("() => document.fullscreenElement === null")


def test_typed_length_sets_the_scale(page: Page):
    """Without GPS the photos say nothing of the scale; one known length does."""
    page.click("#measure")
    for sign in (-0.8, 0.8):
        click_on(page, OFFSET + BOX / 2 * np.array([sign, 0, 1]))
    page.fill("#true-length", "12,5")
    page.keyboard.press("Enter")
    expect(page.locator("#ruler-label")).to_have_text("12.50 m")
    expect(page.locator("#scale-bar")).to_be_visible()


def test_camera_shows_its_photo_and_its_view(page: Page):
    """Photo and model side by side show where the model is wrong."""
    page.click("#show-cameras")
    corners = page.evaluate("() => window.viewer.data.photos.map(photo => photo.corners)")
    page.mouse.move(450, 300)
    page.mouse.wheel(0, 1500)
    places = [screen_position(page, np.mean(corner, axis=0)) for corner in corners]
    photo = next(i for i, (x, y) in enumerate(places) if 0 < x < 900 and 100 < y < 580)
    page.mouse.click(*places[photo])
    expect(page.locator("#photo-name")).to_have_text(f"photo_{photo}.jpg")
    page.click("#photo-next")
    following = (photo + 1) % CAMERAS
    expect(page.locator("#photo-name")).to_have_text(f"photo_{following}.jpg")
    page.click("#photo-view")
    settle(page)
    centre = page.evaluate("i => window.viewer.data.photos[i].center", following)
    assert np.allclose(page.evaluate("() => window.viewer.camera.position.toArray()"), centre, atol=1e-3)


def test_showing_the_cameras_brings_them_into_view(page: Page):
    """They stand behind the viewer: a button that seems to do nothing is taken for broken."""
    page.click("#show-cameras")
    centers = page.evaluate("() => window.viewer.data.photos.map(photo => photo.center)")
    places = [screen_position(page, np.array(center)) for center in centers]
    assert sum(0 < x < 900 and 0 < y < 700 for x, y in places) >= 0.8 * CAMERAS


def test_phone_has_every_button_on_the_screen(browser: Browser, address: str):
    """A button beyond the edge of a small screen does not exist."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    for button in page.locator("#tools button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert min(box["width"], box["height"]) >= 40
    page.tap("#measure")
    page.touchscreen.tap(*screen_position(page, OFFSET + BOX / 2 * np.array([0, 0, 1])))
    expect(page.locator("#measure-text")).to_have_text("Click the second point.")
    page.tap("#show-cameras")
    page.evaluate("() => window.viewer.choosePhoto(0)")
    for button in page.locator("#photo button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 352
    context.close()


def test_report_page_loads_without_errors(browser: Browser, tmp_path: Path):
    """A page whose content policy blocks its own styles or pictures is blank."""
    scene = make_scene(tmp_path / "scene")
    build_report(record(), scene.products, tmp_path, ReportOptions(film_frames=0), Monitor())
    page = browser.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("() => [...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("() => getComputedStyle(document.querySelector('section')).borderRadius") == "12px"
    assert errors == []
    page.close()
