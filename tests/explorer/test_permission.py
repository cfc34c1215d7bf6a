"""What a session may open: his own uploads, once found fit, and no file of a server that others reach."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer import permission, uploads, visitors
from explorer.limits import HostLimits
from explorer.settings import SETTINGS
from explorer.uploads import Upload, Uploads
from pruning_core.errors import FileRefused, PruningError, UnknownName

COOKIES = [visitors.new() for _ in range(100)]
OWNERS = [visitors.owner_of({visitors.COOKIE: cookie}) for cookie in COOKIES]
ME, OTHER = OWNERS[:2]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploads]:
    found = Uploads(tmp_path / "uploads", HostLimits())
    monkeypatch.setattr(permission, "own_uploads", lambda: found)
    monkeypatch.setattr(uploads, "own_uploads", lambda: found)
    return found


def sent(kept: Uploads, owner: str = ME, name: str = "net.onnx", admitted: bool = True) -> Upload:
    transfer = kept.begin(owner, name, 1)
    transfer.write(b"x")
    upload = transfer.finish()
    if admitted:
        kept.admit(upload.spec)
    return upload


def code(model: str | None, data: str | None, owner: str = ME) -> str:
    try:
        permission.check(model, data, owner)
    except PruningError as error:
        return error.code
    return ""


@pytest.mark.parametrize("local", [True, False])
def test_an_upload_opens_for_its_owner_alone(kept: Uploads, monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    monkeypatch.setattr(SETTINGS, "local", local)
    spec = sent(kept).spec
    assert code(spec, spec) == ""
    assert code(f"{spec}+norms@{spec}", None) == ""
    for owner in (OTHER, ""):
        assert code(spec, None, owner) == code(None, spec, owner) == "E621"
        assert code(f"resnet_fashion+norms@{spec}", None, owner) == "E621"
        assert code(None, f"{sent(kept, OTHER, 'x.npy').spec}+y@{spec}", owner) == "E621"


@pytest.mark.parametrize("local", [True, False])
def test_an_upload_that_was_not_found_fit_is_not_opened(
    kept: Uploads, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(SETTINGS, "local", local)
    upload = sent(kept, admitted=False)
    assert code(upload.spec, None) == code(None, upload.spec) == "E621"
    kept.admit(f"{upload.spec}+input@3x8x8")
    assert code(f"{upload.spec}+input@3x8x8", None) == ""
    assert code(upload.spec, None) == code(f"{upload.spec}+input@3x9x9", None) == "E621"


@pytest.mark.parametrize("text", ["upload:x", "upload:../../etc/passwd", "upload:" + "a" * 22 + "/../x", "upload:"])
def test_a_name_that_is_no_uploads_name_is_refused(kept: Uploads, text: str) -> None:
    assert code(text, None) == code(None, text) == "E621"


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("/etc/passwd", None),
        ("net.onnx", None),
        ("weights.pt+as@lenet_300_100", None),
        ("os:system", None),
        ("hf:someone/something", None),
        ("timm:hf-hub:someone/something", None),
        ("lenet_300_100+norms@/srv/x.npz", None),
        ("lenet_300_100+norms@torchvision:CIFAR10", None),
        (None, "../x.npz"),
        (None, "x.csv"),
        (None, "os:listdir"),
        (None, "hf:someone/something"),
    ],
)
def test_others_name_no_file_and_no_code_of_the_server(
    kept: Uploads, monkeypatch: pytest.MonkeyPatch, model: str | None, data: str | None
) -> None:
    monkeypatch.setattr(SETTINGS, "local", False)
    with pytest.raises(FileRefused, match="does not offer") as caught:
        permission.check(model, data, ME)
    assert caught.value.code == "E623"
    monkeypatch.setattr(SETTINGS, "local", True)
    assert code(model, data) == ""  # here the loaders decide


def test_what_comes_with_the_program_or_was_named_at_start_is_offered(
    kept: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SETTINGS, "local", False)
    monkeypatch.setattr(SETTINGS, "model", "/srv/course.onnx")
    for model in ("lenet_300_100", "torchvision:resnet18", "/srv/course.onnx", "resnet_fashion+norms@mnist", None):
        assert code(model, "fashion_mnist") == "", model
    with pytest.raises(UnknownName, match="did you mean 'lenet_300_100'"):
        permission.check("lenet_300_10", None, ME)


@pytest.mark.parametrize("value", ["/srv/net.pt", "os:system", "hf:a/b"])
def test_an_upload_names_no_architecture_that_would_read_the_server(
    kept: Uploads, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(SETTINGS, "local", False)
    with pytest.raises(FileRefused) as caught:
        permission.check_options({"as": value}, ME)
    assert caught.value.code == "E623"


def test_fifty_pairs_of_visitors_cannot_open_each_others_files(kept: Uploads) -> None:
    theirs = [(owner, sent(kept, owner, "same_name.npz")) for owner in OWNERS]
    for one, two in zip(theirs[::2], theirs[1::2], strict=True):
        assert code(None, one[1].spec, one[0]) == code(None, two[1].spec, two[0]) == ""
        assert code(None, one[1].spec, two[0]) == code(None, two[1].spec, one[0]) == "E621"
        assert [upload.token for upload in kept.of(one[0])] == [one[1].token]
