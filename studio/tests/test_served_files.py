"""What can be read through the studio: files of the named folders of kinds that are shown, and nothing else."""

import http.client
import shutil

import pytest
from PIL import Image

from ancestral_studio.answers import error_line
from ancestral_studio.served_files import served
from studio_client import studio

SECRET = b"secret"
ENTRY = "0123456789abcdef"
WAYS = [
    "../{name}",
    "..%2f{name}",
    "%2e%2e/{name}",
    "%2e%2e%2f{name}",
    "..%5c{name}",
    "samples/../../{name}",
    "samples/%2e%2e/%2e%2e/{name}",
    "./../{name}",
    "/{whole}",
    "%2f{whole}",
    "//{whole}",
    "{name}%00.png",
    "samples/link.png",
    "linked/{name}",
    "..;/{name}",
    "%252e%252e%252f{name}",
]


@pytest.fixture(scope="module")
def place(tiny_run, tmp_path_factory):
    """A studio over a run with links that lead out of it, beside a file that is none of its business."""
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "run"
    shutil.copytree(tiny_run.path, folder)
    (outside / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n" + SECRET)
    (folder / "samples").mkdir(exist_ok=True)
    Image.new("L", (2, 2)).save(folder / "samples" / "000006.png")
    (folder / "samples" / "link.png").symlink_to(outside / "secret.png")
    (folder / "linked").symlink_to(outside)
    (folder / "report.html").write_text("<script>alert(1)</script>")
    (folder / "samples" / "page.html").write_text("<script>alert(1)</script>")
    (folder / "samples" / "page.png").write_text("<script>alert(1)</script>")
    (folder / "samples" / "page.svg").write_text("<svg onload='alert(1)'/>")
    (folder / ".hidden.png").write_bytes(b"\x89PNG\r\n\x1a\n" + SECRET)
    with studio(folder, out=outside / "out") as (server, client):
        yield server, client, outside, f"/files/runs/{server.state.places.id_of(folder)}"


def raw(client, target):
    """A request whose target is sent as it is, without the care of a client."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port)
    connection.putrequest("GET", target, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{client.port}")
    connection.putheader("Cookie", client.cookie)
    connection.endheaders()
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_out_of_the_folders(place, way):
    server, client, outside, run = place
    (server.state.history.folder / ENTRY / "files").mkdir(parents=True, exist_ok=True)
    (server.state.history.folder / ENTRY / "entry.json").write_text("{}")
    text = way.format(name="secret.png", whole=str(outside / "secret.png").lstrip("/"))
    for start in (run, "/assets", f"/files/history/{ENTRY}", "/files/processes/a", "/files/uploads"):
        status, content = raw(client, f"{start}/{text}")
        assert status in (400, 403, 404), start
        assert SECRET not in content, start


def test_a_name_that_no_file_can_have_shows_no_path(place):
    server, client, _, run = place
    (server.state.history.folder / ENTRY / "files").mkdir(parents=True, exist_ok=True)
    (server.state.history.folder / ENTRY / "entry.json").write_text("{}")
    for start in (run, "/assets", f"/files/history/{ENTRY}", "/files/processes", "/api/processes", "/api/history"):
        answer = client.get(f"{start}/{'a' * 5000}")
        assert (answer.status, start) == (404, start)
        assert b"/" not in answer.content, start


def test_an_error_of_the_system_names_its_file_alone(tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)) as error:
        (tmp_path / "log.csv").read_text()
    assert error_line(error.value) == {"error": "'log.csv': No such file or directory", "option": None}


def test_files_of_a_run_are_shown_by_their_kinds(place):
    _, client, _, run = place
    answer = client.get(f"{run}/samples/000006.png")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert client.get(f"{run}/log.csv").headers["content-type"] == "text/plain; charset=utf-8"
    for name in ("samples/page.html", "samples/page.png", "samples/page.svg", ".hidden.png", "model.safetensors", ""):
        assert client.get(f"{run}/{name}").status == 404, name


def test_a_file_that_changes_while_it_is_sent_is_whole(tmp_path):
    """A picture of a state to which a batch adds its tiles, and the table of a training."""
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n")
    answer = served(path)
    path.write_text("step,loss\n1,0.5\n")
    assert answer.body == b"step,loss\n"
    assert answer.headers["content-length"] == "10"


def test_a_report_is_a_page_without_scripts_and_without_the_studio(place):
    answer = place[1].get(f"{place[3]}/report.html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; ")
    assert "script" not in policy
    assert "allow" not in policy


def test_markup_in_names_is_text(tiny_run, tmp_path):
    """Names reach the page as JSON, which no browser takes for a page; the page shows them as text."""
    name = "<img src=x onerror=alert(1)>"
    shutil.copytree(tiny_run.path, tmp_path / name)
    with studio(tmp_path, out=tmp_path / "out") as (_, client):
        answer = client.get("/api/overview")
        assert answer.json["runs"][0]["name"] == name
        assert answer.headers["content-type"] == "application/json"
        Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
        given = (tmp_path / "a.png").read_bytes()
        facts = client.ask("PUT", "/api/uploads?name=%3Cimg%20src=x%20onerror=alert(1)%3E.html", given).json
        assert facts["name"].endswith(".png")
        assert not set(facts["name"]) & set("<>\"'&")


def test_links_among_the_named_folders_are_followed(tiny_run, tmp_path):
    """What lies in another named folder may be read by a link; a link out of all of them shows no run."""
    data, runs = tmp_path / "data", tmp_path / "runs"
    shutil.copytree(tiny_run.path, data / "a")
    shutil.copytree(tiny_run.path, tmp_path / "elsewhere" / "b")
    runs.mkdir()
    (runs / "a").symlink_to(data / "a")
    (runs / "b").symlink_to(tmp_path / "elsewhere" / "b")
    with studio(runs, data, out=tmp_path / "out") as (server, _):
        assert {*server.state.places.runs().values()} == {data / "a"}
