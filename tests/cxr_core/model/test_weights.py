import hashlib
import io
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from cxr_core.errors import WeightsError
from cxr_core.model import checkpoint
from cxr_core.model.architectures import ARCHITECTURES
from cxr_core.model.network import build
from cxr_core.model.vision import models
from cxr_core.model.weights import IMAGENET_URLS, WeightsRecord, load_initial, weights_identity
from tests.cxr_core.model.examples import SmallNetwork, equal_states


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not the test's output."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real web server over a folder: its address and the folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def _published(network: torch.nn.Module) -> tuple[str, bytes]:
    """A file as torchvision publishes it: the first digits of its hash in its name."""
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return f"small-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth", buffer.getvalue()


def _load(network: torch.nn.Module, url: str, cache: Path) -> WeightsRecord:
    return load_initial(network, "imagenet", architecture="resnet18", cache=cache, urls={"resnet18": url})


def test_published_weights_are_fetched_once_and_the_seeded_head_is_kept(site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    donor = SmallNetwork(seed=1)
    name, data = _published(donor)
    (folder / name).write_bytes(data)
    network = SmallNetwork(seed=2)
    record = _load(network, f"{address}/{name}", tmp_path / "cache")
    assert torch.equal(network.conv.weight, donor.conv.weight)
    assert torch.equal(network.fc.weight, SmallNetwork(seed=2).fc.weight)
    assert record.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert record.identity == f"imagenet:{name}"

    (folder / name).unlink()
    again = SmallNetwork(seed=2)
    assert _load(again, f"{address}/{name}", tmp_path / "cache") == record
    assert equal_states(again, network)


def test_bytes_that_differ_from_their_hash_are_refused_and_not_kept(site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    name, data = _published(SmallNetwork())
    (folder / name).write_bytes(data[:-1] + b"x")
    with pytest.raises(WeightsError) as caught:
        _load(SmallNetwork(), f"{address}/{name}", tmp_path / "cache")
    assert caught.value.reason == "weights_damaged"
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_absent_file_is_unreachable(site: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="404") as caught:
        _load(SmallNetwork(), f"{site[0]}/small-0123abcd.pth", tmp_path)
    assert caught.value.reason == "weights_unreachable"


def test_without_a_network_the_error_says_which_file_to_place_where(tmp_path: Path) -> None:
    # Port 9 (discard) of this machine: nobody listens.
    with pytest.raises(WeightsError) as caught:
        _load(SmallNetwork(), "http://127.0.0.1:9/small-0123abcd.pth", tmp_path / "cache")
    assert caught.value.reason == "weights_unreachable"
    assert "Place small-0123abcd.pth (SHA-256 starting with 0123abcd)" in caught.value.hint
    assert str(tmp_path / "cache") in caught.value.hint


def test_a_file_placed_by_hand_is_used_only_when_its_hash_holds(tmp_path: Path) -> None:
    donor = SmallNetwork(seed=1)
    name, data = _published(donor)
    url = f"http://127.0.0.1:9/{name}"
    (tmp_path / name).write_bytes(data)
    network = SmallNetwork(seed=2)
    _load(network, url, tmp_path)
    assert torch.equal(network.conv.weight, donor.conv.weight)

    (tmp_path / name).write_bytes(data[:-1] + b"x")
    with pytest.raises(WeightsError, match=name) as caught:
        _load(SmallNetwork(), url, tmp_path)
    assert caught.value.reason == "weights_damaged"


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    name, data = _published(SmallNetwork(width=4))
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        _load(SmallNetwork(width=8), f"http://127.0.0.1:9/{name}", tmp_path)
    assert caught.value.reason == "tensor_mismatch"


class Trap:
    """An object whose unpickling leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_pickled_object_in_a_weights_file_is_never_made(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"fc.weight": Trap(tmp_path / "mark")}, buffer)
    name = f"trap-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    (tmp_path / name).write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError) as caught:
        _load(SmallNetwork(), f"http://127.0.0.1:9/{name}", tmp_path)
    assert caught.value.reason == "weights_damaged"
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_imagenet_has_an_identity_with_its_hash_before_any_download(architecture: str) -> None:
    identity = weights_identity("imagenet", architecture=architecture)
    assert IMAGENET_URLS[architecture] == models.get_model_weights(architecture)["IMAGENET1K_V1"].url
    assert identity == "imagenet:" + IMAGENET_URLS[architecture].rpartition("/")[2]
    assert identity.startswith(f"imagenet:{architecture}")


def test_none_keeps_the_seeded_network(tmp_path: Path) -> None:
    network = SmallNetwork(seed=4)
    record = load_initial(network, "none", architecture="resnet18", cache=tmp_path)
    assert equal_states(network, SmallNetwork(seed=4))
    assert (record.identity, record.digest) == ("none", "")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "champion.safetensors"
    about = checkpoint.About(architecture="resnet18", size=32, precision="fp32")
    checkpoint.save(path, build("resnet18", seed=11), about)
    return path


def test_a_checkpoint_of_ours_starts_the_whole_network_by_file_or_registry(own: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def registry(name: str) -> Path:
        asked.append(name)
        return own

    by_file, by_name = build("resnet18", seed=0), build("resnet18", seed=0)
    one = load_initial(by_file, f"file:{own}", architecture="resnet18", cache=tmp_path)
    other = load_initial(
        by_name, "registry:cxr-resnet34@champion", architecture="resnet18", cache=tmp_path, registry=registry
    )
    assert equal_states(by_file, build("resnet18", seed=11))
    assert equal_states(by_name, by_file)
    assert set(asked) == {"cxr-resnet34@champion"}
    assert one.identity == other.identity == f"checkpoint:{one.digest}"


def test_another_architectures_checkpoint_is_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="resnet34") as caught:
        load_initial(build("resnet18", seed=0), f"file:{own}", architecture="resnet34", cache=tmp_path)
    assert caught.value.reason == "architecture_mismatch"
    assert "train.architecture=resnet18" in caught.value.hint


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("file:nowhere.safetensors", "checkpoint_missing"),
        ("registry:cxr-resnet34@champion", "no_registry"),
        ("laion", "unknown_weights"),
    ],
)
def test_a_choice_that_cannot_be_had_is_refused_with_its_reason(choice: str, reason: str, tmp_path: Path) -> None:
    network = SmallNetwork()
    with pytest.raises(WeightsError) as caught:
        load_initial(network, choice, architecture="resnet18", cache=tmp_path)
    assert caught.value.reason == reason
    assert equal_states(network, SmallNetwork())


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    with pytest.raises(WeightsError) as caught:
        load_initial(SmallNetwork(), f"file:{tmp_path / 'half.safetensors'}", architecture="resnet18", cache=tmp_path)
    assert caught.value.reason == "checkpoint_damaged"


def test_a_backbones_body_is_taken_and_its_head_left(tmp_path: Path) -> None:
    backbone = build("resnet18", seed=5, n_classes=4)
    about = checkpoint.About(
        architecture="resnet18", size=32, precision="fp32", classes=("covid", "viral", "normal", "bacterial")
    )
    checkpoint.save(tmp_path / "backbone.safetensors", backbone, about)
    network, seeded = build("resnet18", seed=1), build("resnet18", seed=1)
    record = load_initial(network, f"file:{tmp_path / 'backbone.safetensors'}", architecture="resnet18", cache=tmp_path)
    assert torch.equal(network.layer1[0].conv1.weight, backbone.layer1[0].conv1.weight)
    assert torch.equal(network.fc.weight, seeded.fc.weight)
    assert "bacterial" in record.detail
