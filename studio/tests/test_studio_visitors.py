"""The studio in Chromium as its visitors and its attackers meet it: tokens, names, and pages of other sites."""

import contextlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from studio_client import studio
from studio_page import until

pytestmark = pytest.mark.browser


class Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(Path(__file__).with_name("other_site.html").read_bytes())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def other_site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_token_leaves_the_address_and_the_page_works(chromium, tiny_run, tmp_path):
    with studio(tiny_run.path, out=tmp_path / "out") as (server, _):
        context = chromium.new_context()
        page = context.new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        plain = server.address.partition("?")[0]
        assert page.goto(plain).status == 403
        assert "needs its token" in page.content()
        page.goto(server._page_that_leads_here())
        page.get_by_text("tiny").first.wait_for()
        assert page.url.partition("#")[0] == plain
        assert page.evaluate("document.cookie") == ""
        page.reload()
        page.get_by_text("tiny").first.wait_for()
        assert not faults
        context.close()


def test_markup_in_the_names_of_folders_and_runs_is_shown_as_text(chromium, tiny_run, tmp_path):
    name = "<img src=x onerror=document.title='changed'>"
    shutil.copytree(tiny_run.path, tmp_path / name / "<b>run</b>")
    with studio(tmp_path / name, out=tmp_path / "out") as (server, _):
        context = chromium.new_context()
        page = context.new_page()
        faults = []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        for tab in ("data", "train", "sample", "edit", "evaluate", "compare", "history"):
            page.goto(f"{server.address}#{tab}")
            page.locator(f"section[data-tab={tab}]").wait_for()
            if tab != "history":  # which is empty
                text = "<img" if tab == "data" else "<b>run</b>"
                until(page, lambda tab=tab, text=text: text in page.locator(f"section[data-tab={tab}]").text_content())
            page.wait_for_load_state("networkidle")  # the address of a picture would be read, too
            assert page.locator("img[src=x]").count() == 0, tab
            assert page.title() != "changed"
        page.goto(f"{server.address}#train")
        page.get_by_text("<b>run</b>").first.wait_for()
        assert not faults
        context.close()


def test_a_page_of_another_site_can_neither_ask_nor_look(chromium, own_studio):
    """On another port of the same machine, which cookies do not tell apart, and with the visitor's cookies."""
    server, client = own_studio
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.address)
    plain = server.address.partition("?")[0]
    with other_site() as port:
        page.goto(f"http://127.0.0.1:{port}/#{plain.rstrip('/')}")
        page.wait_for_function("window.told")
        told = page.evaluate("window.told")
    assert told.pop("frame") == "loaded"  # of an error page
    assert {*told.values()} == {"blocked"}
    assert len(told) == 6
    assert not [one for one in page.frames if one.url.startswith(plain) and one.locator("nav").count()]
    assert client.get("/api/jobs").json == []
    assert not server.state.history.rows()
    context.close()
