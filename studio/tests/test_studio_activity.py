"""What runs, in the header of the page in Chromium: said to every visitor, and stopped by those who may."""

import pytest

from ancestral_studio import ownership
from studio_page import studio_pages
from test_compute_queue import held

pytestmark = pytest.mark.browser


def opened(one):
    """The rows of the list in the header of a page."""
    toggle = one.page.locator("#activity button")
    toggle.wait_for()
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.press("Enter")
    return one.page.get_by_role("region", name="What runs now").locator("li")


def test_a_stop_is_said_at_once_in_every_list(chromium, own_studio, tiny_run, monkeypatch):
    server, _ = own_studio
    with studio_pages(chromium, server) as new, studio_pages(chromium, server) as new_visitor:
        one, other = new().open("sample"), new_visitor().open("sample")
        with held(server, tiny_run.path, at=1) as (_, reached, go):
            one.set(n=3, steps=40)
            one.begin()
            assert reached.wait(30)
            line = one.tab.locator(".job .number", has_text="3 samples of tiny, ")
            text = line.inner_text().partition(" · ")[0]
            other.set(n=2, steps=5)
            other.begin()
            other.tab.locator(".job", has_text="waits for another job").wait_for()
            rows = opened(one)
            rows.nth(1).wait_for()
            assert [text in row for row in rows.all_inner_texts()] == [True, False]
            assert [row.get_by_text("another visitor's").is_visible() for row in rows.all()] == [False, True]
            with monkeypatch.context() as patch:
                patch.setattr(ownership, "user_of", lambda scope: None)  # as if from another machine
                other.page.reload()
                rows = opened(other)
                rows.nth(1).wait_for()
                assert [row.get_by_role("button").is_visible() for row in rows.all()] == [False, True]
                assert rows.first.get_by_text("another visitor's").is_visible()
            rows.first.get_by_role("button", name=f"Stop: {text}").press("Enter")
            rows.first.get_by_text("stopping").wait_for()
            one.tab.locator(".job", has_text="stopping").wait_for()
            for each in (one, other):
                each.page.locator("#activity button", has_text="1 stopping · 1 waiting").wait_for()
            other.page.keyboard.press("Escape")
            assert other.page.evaluate("document.activeElement.textContent") == "1 stopping · 1 waiting"
            assert other.tab.locator(".job").get_attribute("data-state") == "running"  # Escape closed the list alone
            go.set()
            one.tab.locator(".job[data-state=cancelled]").wait_for()
            other.tab.locator(".job[data-state=done]").wait_for()
        one.page.locator("#activity button").wait_for(state="hidden")
