"""Models by hf://user/repo, with a stand-in for the Hub: a folder, whose calls must bind to the real signatures."""

import inspect
import re
import shutil
import sys
import threading

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from PIL import Image

import ancestral
from ancestral.base import hub
from ancestral.base.errors import InputError, install_command
from tiny_models import untrained

HTTP = sys.modules[errors.HfHubHTTPError.__bases__[0].__module__]
"""The HTTP library that it uses, which is another in other versions."""

REAL = {
    "hf_hub_download": huggingface_hub.hf_hub_download,
    **{name: getattr(huggingface_hub.HfApi, name) for name in ("create_repo", "file_exists", "create_commit")},
}


class Hub:
    """What of the Hub's library is used, over a folder: each call is checked against the real function first."""

    def __init__(self, path):
        self.path, self.repos, self.fails = path, {}, None
        self.timeouts, self.local, self.silent, self.cached = [], [], None, False

    def call(self, name, *args, **kwargs):
        bound = inspect.signature(REAL[name]).bind(*args, **kwargs)
        if self.fails:
            raise self.fails
        return bound.arguments

    def head(self, url, timeout):
        """Answer, unless the Hub is out of reach; a test waits for no time limit."""
        assert url == huggingface_hub.constants.ENDPOINT
        self.timeouts.append(timeout)
        if self.silent is not None:
            self.silent.wait()
            raise OSError("timed out")

    def download(self, *args, **kwargs):
        request = self.call("hf_hub_download", *args, **kwargs)
        self.local.append(request.get("local_files_only", False))
        if self.local[-1] and not self.cached:
            raise errors.LocalEntryNotFoundError("not in the cache")
        folder = self.path / request["repo_id"]
        if not folder.is_dir():
            raise failure(errors.RepositoryNotFoundError)
        if request.get("revision") not in (None, "main", "refs/pr/1"):
            raise failure(errors.RevisionNotFoundError)
        if not (folder / request["filename"]).is_file():
            raise failure(errors.RemoteEntryNotFoundError)
        return str(folder / request["filename"])

    def create_repo(self, *args, **kwargs):
        request = self.call("create_repo", None, *args, **kwargs)
        assert request["exist_ok"]
        (self.path / request["repo_id"]).mkdir(parents=True, exist_ok=True)
        self.repos.setdefault(request["repo_id"], request["private"])
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{request['repo_id']}")

    def file_exists(self, *args, **kwargs):
        request = self.call("file_exists", None, *args, **kwargs)
        return (self.path / request["repo_id"] / request["filename"]).is_file()

    def create_commit(self, *args, **kwargs):
        request = self.call("create_commit", None, *args, **kwargs)
        assert request["commit_message"]
        for operation in request["operations"]:
            target = self.path / request["repo_id"] / operation.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(operation.path_or_fileobj, bytes):
                target.write_bytes(operation.path_or_fileobj)
            else:
                shutil.copy(operation.path_or_fileobj, target)


def failure(kind, message="404 Client Error.\n\nNot there (Request ID: 1)"):
    return kind(message, response=HTTP.Response(404, request=HTTP.Request("GET", "https://huggingface.co")))


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    hub_library = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub_library.download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub_library)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: hub_library)
    return hub_library


@pytest.mark.parametrize("address", ["hf://me/stripes/runs/1", "hf://me/stripes@main"])
def test_push_and_load(stand_in, address):
    model = untrained(classes=("a", "b"))
    assert ancestral.push(model, address) == "https://huggingface.co/me/stripes"
    again = ancestral.load(address, "cpu")
    assert torch.equal(again.sample(2, steps=2), model.sample(2, steps=2))
    assert stand_in.repos == {"me/stripes": False}
    names = {str(p.relative_to(stand_in.path / "me" / "stripes")) for p in stand_in.path.rglob("*") if p.is_file()}
    folder = "runs/1/" if address.endswith("1") else ""
    assert names == {"README.md", "card.png", f"{folder}model.safetensors"}
    with Image.open(stand_in.path / "me" / "stripes" / "card.png") as picture:
        assert picture.width > 200
    assert "\n![Samples of this model](card.png)\n" in (stand_in.path / "me" / "stripes" / "README.md").read_text(
        "utf-8"
    )


def test_the_command_pushes_a_run(stand_in, run, tmp_path):
    untrained().save(tmp_path / "run" / "model.safetensors")
    assert run("push", tmp_path / "run", "hf://me/stripes", "--private") == "https://huggingface.co/me/stripes\n"
    assert stand_in.repos == {"me/stripes": True}


def test_a_model_that_makes_no_samples_is_pushed_without_a_picture(stand_in):
    model = untrained()
    with torch.no_grad():
        for parameter in model.diffusion.net.parameters():
            parameter.fill_(float("nan"))
    ancestral.push(model, "hf://me/stripes")
    assert {path.name for path in (stand_in.path / "me" / "stripes").iterdir()} == {"README.md", "model.safetensors"}
    assert "card.png" not in (stand_in.path / "me" / "stripes" / "README.md").read_text("utf-8")


@pytest.mark.long
@pytest.mark.parametrize("hangs", [True, False])
def test_without_a_network_the_cache_alone_is_read_after_one_attempt_of_bounded_time(
    stand_in, run, refused, tmp_path, monkeypatch, hangs
):
    """The network drops what is sent, or refuses it: either way there is no second attempt, and one line."""
    monkeypatch.chdir(tmp_path)
    ancestral.push(untrained(), "hf://me/tiny")
    request_count = len(stand_in.timeouts)
    stand_in.silent = threading.Event()
    monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.01)
    if not hangs:
        stand_in.silent.set()
    try:
        assert "is not in the cache and the Hub cannot be reached; check the network" in refused("info", "hf://me/tiny")
        assert stand_in.timeouts[request_count:] == [0.01]
        assert stand_in.local[-1]
        with pytest.raises(InputError, match="cannot be reached, so nothing was uploaded to hf://me/tiny"):
            ancestral.push(untrained(), "hf://me/tiny")
        stand_in.cached = True
        assert "hf://me/tiny" in run("info", "hf://me/tiny")
    finally:
        stand_in.silent.set()


@pytest.mark.long
def test_the_card_of_a_repository_is_left_to_its_owner(stand_in):
    ancestral.push(untrained(classes=("a", "b")), "hf://me/secret", private=True)
    assert stand_in.repos == {"me/secret": True}
    path = stand_in.path / "me" / "secret" / "README.md"
    path.write_text("my own words")
    first = (path.parent / "card.png").read_bytes()
    ancestral.push(untrained(), "hf://me/secret")
    assert path.read_text() == "my own words"
    assert (path.parent / "card.png").read_bytes() == first
    assert ancestral.load("hf://me/secret", "cpu").spec.classes == ()


def test_the_command_line_takes_addresses(stand_in, run, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ancestral.push(untrained(), "hf://me/tiny")
    assert "hf://me/tiny" in run("info", "hf://me/tiny")
    assert run("sample", "hf://me/tiny", "-n", 2, "--steps", 2).startswith("runs/tiny/samples/seed0-steps2.png")
    assert run("export", "hf://me/tiny").startswith("runs/tiny/diffusers")
    for verb in ("info", "sample", "export"):
        assert "there is no hf://me/nothing" in refused(verb, "hf://me/nothing")


def test_addresses():
    assert hub.parse("hf://a/b") == hub.Address("a/b", None, "")
    assert hub.parse("hf://a/b/") == hub.Address("a/b", None, "")
    assert hub.parse("hf://a/b@v1.0/c/d") == hub.Address("a/b", "v1.0", "c/d")
    assert hub.parse("hf://a/b@refs%2Fpr%2F1").revision == "refs/pr/1"
    for wrong in ("hf://", "hf://a", "hf:///b", "hf://a/b@", "hf://a b/c", "hf://a/b/../c", "hf:/a/b"):
        with pytest.raises(InputError, match="write hf://user/repo"):
            hub.parse(wrong)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (failure(errors.RepositoryNotFoundError), "there is no hf://me/x, or it is private"),
        (failure(errors.GatedRepoError), "is gated"),
        (failure(errors.RevisionNotFoundError), "no such revision"),
        (failure(errors.RemoteEntryNotFoundError), "holds no model of ancestral's"),
        (errors.LocalEntryNotFoundError("offline"), "check the network"),
        (errors.OfflineModeIsEnabled("offline mode"), "offline mode"),
        (failure(errors.HfHubHTTPError, "500 Server Error"), "500 Server Error"),
        (HTTP.ConnectError("no route\nto host"), "no route to host"),
        (OSError("disk full"), "disk full"),
        (errors.HFValidationError("Cannot have --"), "Cannot have --"),
        (ValueError("Expecting value: line 1"), "Expecting value"),  # an answer that is no JSON
        (KeyError("uploadMode"), "uploadMode"),  # or another one
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_wrong_is_one_line(stand_in, error, says):
    stand_in.fails = error
    with pytest.raises(InputError, match=says):
        ancestral.load("hf://me/x")


def test_an_upload_that_the_hub_refuses_is_one_line(stand_in):
    stand_in.fails = failure(errors.HfHubHTTPError, "500 Server Error")
    with pytest.raises(InputError, match="500 Server Error"):
        ancestral.push(untrained((2,)), "hf://me/x")


def test_the_real_library_refuses_bad_names_before_any_network():
    with pytest.raises(InputError, match="no address"):
        ancestral.load("hf://a--b/c--d..e")
    with pytest.raises(InputError, match="is no address: "):
        ancestral.load("hf://me/my--model")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(InputError, match=re.escape(install_command("hub"))):
        ancestral.load("hf://me/x")
