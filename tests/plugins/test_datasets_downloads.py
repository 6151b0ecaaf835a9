"""Published data sets: their binary formats, downloads, and offline behaviour.

The tests make tiny files in the true formats; a local server replaces the authors' server.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from sslcore.errors import DataError
from sslcore_torchvision._download import Published, archive
from sslcore_torchvision.cifar import cifar10, cifar100
from sslcore_torchvision.fashion_mnist import fashion_mnist
from sslcore_torchvision.stl10 import stl10

DATASETS = (cifar10, cifar100, stl10, fashion_mnist)


@pytest.fixture
def offline(monkeypatch):
    """Send every download to a port without a server."""
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    # What another library excepts from proxies must not reach the network.
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve the folder `served`; return its path and address."""
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def pixels(seed: int, count: int, channels: int, side: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def write_cifar10(root: Path) -> tuple[np.ndarray, np.ndarray]:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    images, labels = pixels(0, 12, 3, 32), np.arange(12, dtype=np.uint8) % 10
    rows = np.concatenate([labels[:, None], images.reshape(12, -1)], axis=1)
    for number in range(5):
        rows[2 * number : 2 * number + 2].tofile(folder / f"data_batch_{number + 1}.bin")
    rows[10:].tofile(folder / "test_batch.bin")
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (folder / "batches.meta.txt").write_text(names.replace(" ", "\n") + "\n\n")
    return images, labels


def test_cifar10_rows_are_a_label_and_three_planes(tmp_path):
    images, labels = write_cifar10(tmp_path)
    data = cifar10(root=str(tmp_path), download=False)
    assert np.array_equal(data.train.images.numpy(), images[:10])
    assert np.array_equal(data.test.images.numpy(), images[10:])
    assert data.train.labels.tolist() == labels[:10].tolist()
    assert data.test.labels.tolist() == labels[10:].tolist()
    assert data.classes[:2] == ("airplane", "automobile")
    assert len(data.classes) == 10


def test_cifar100_labels_are_the_fine_ones(tmp_path):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    images = pixels(1, 3, 3, 32)
    labels = np.array([[4, 51], [1, 99], [14, 0]], dtype=np.uint8)
    rows = np.concatenate([labels, images.reshape(3, -1)], axis=1)
    rows[:2].tofile(folder / "train.bin")
    rows[2:].tofile(folder / "test.bin")
    (folder / "fine_label_names.txt").write_text("\n".join(f"name{i}" for i in range(100)))
    data = cifar100(root=str(tmp_path), download=False)
    assert data.train.labels.tolist() == [51, 99]
    assert data.test.labels.tolist() == [0]
    assert np.array_equal(data.train.images.numpy(), images[:2])
    assert data.classes[99] == "name99"


def test_stl10_trains_on_the_unlabelled_part_and_probes_with_the_labelled_one(tmp_path):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for seed, part in enumerate(("unlabeled", "train", "test")):
        # Column by column, as the authors store them.
        pixels(seed, 4, 3, 96).swapaxes(-1, -2).tofile(folder / f"{part}_X.bin")
    np.array([1, 10, 3, 4], dtype=np.uint8).tofile(folder / "train_y.bin")
    np.array([2, 2, 2, 1], dtype=np.uint8).tofile(folder / "test_y.bin")
    (folder / "class_names.txt").write_text("airplane\nbird\ncar\n")
    data = stl10(root=str(tmp_path), download=False)
    assert data.train.labels is None
    assert data.labelled
    assert data.probe is not None
    assert data.probe.labels.tolist() == [0, 9, 2, 3]
    assert data.test.labels.tolist() == [1, 1, 1, 0]
    for seed, split in enumerate((data.train, data.probe, data.test)):
        assert np.array_equal(split.images.numpy(), pixels(seed, 4, 3, 96))


def test_fashion_mnist_is_read_from_idx_files(tmp_path):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for seed, (part, count) in enumerate((("train", 5), ("t10k", 3))):
        header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        content = header + pixels(seed, count, 1, 28).tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(content)
        header = np.array([0x801, count], dtype=">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(range(count)))
    data = fashion_mnist(root=str(tmp_path), download=False)
    assert np.array_equal(data.train.images.numpy(), pixels(0, 5, 1, 28))
    assert np.array_equal(data.test.images.numpy(), pixels(1, 3, 1, 28))
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.classes[9] == "Ankle boot"


def test_a_file_that_was_cut_off_is_named(tmp_path):
    write_cifar10(tmp_path)
    damaged = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"data_batch_3\.bin is damaged: 6139 bytes"):
        cifar10(root=str(tmp_path))


@pytest.mark.parametrize("dataset", DATASETS)
def test_without_network_the_error_is_one_sentence_with_the_ways_out(dataset, tmp_path, offline):
    with pytest.raises(DataError) as caught:
        dataset(root=str(tmp_path / "copy"))
    message = str(caught.value)
    assert "failed" in message
    assert "refused" in message
    assert str(tmp_path / "copy") in message
    assert "--set data.root=DIR" in message
    assert "--data PATH" in message
    assert "\n" not in message
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize("dataset", DATASETS)
def test_nothing_is_fetched_where_download_is_off(dataset, tmp_path):
    with pytest.raises(DataError, match="download is off"):
        dataset(root=str(tmp_path / "copy"), download=False)
    assert not (tmp_path / "copy").exists()


def test_without_a_root_the_cache_directory_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCORE_CACHE", str(tmp_path / "cache"))
    write_cifar10(tmp_path / "cache" / "datasets")
    assert len(cifar10(download=False).train) == 10


def test_a_root_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Not a directory"):
        cifar10(root=str(tmp_path / "file" / "below"))


def published(address: str, packed: Path) -> Published:
    md5 = hashlib.md5(packed.read_bytes()).hexdigest()
    url = f"{address}/{packed.name}"
    return Published("toy", "toy-bin", ("a.bin", "b.bin"), url, archive(url, md5))


def pack(folder: Path, files: tuple[str, ...] = ("a.bin", "b.bin")) -> Path:
    content = folder / "toy-bin"
    content.mkdir()
    for file in files:
        (content / file).write_bytes(file.encode())
    packed = folder / "toy-binary.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(content, "toy-bin")
    return packed


def test_an_archive_is_fetched_checked_and_unpacked_once(server, tmp_path):
    folder, address = server
    packed = pack(folder)
    toy = published(address, packed)
    found = toy.locate(str(tmp_path / "root"), download=True)
    assert (found / "b.bin").read_bytes() == b"b.bin"
    # Only the files remain, and they are not fetched again.
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["toy-bin"]
    packed.unlink()
    assert toy.locate(str(tmp_path / "root"), download=True) == found


def test_a_file_that_is_missing_is_added_and_others_in_the_folder_stay(server, tmp_path):
    folder, address = server
    toy = published(address, pack(folder))
    target = tmp_path / "root" / "toy-bin"
    target.mkdir(parents=True)
    (target / "notes.txt").write_text("mine")
    (target / "a.bin").write_text("half")
    toy.locate(str(tmp_path / "root"), download=True)
    assert (target / "a.bin").read_bytes() == b"a.bin"
    assert (target / "b.bin").read_bytes() == b"b.bin"
    assert (target / "notes.txt").read_text() == "mine"


def test_an_archive_that_is_there_needs_no_network(tmp_path, offline):
    root = tmp_path / "root"
    root.mkdir()
    toy = published("http://example.invalid", pack(root))
    for file in ("a.bin", "b.bin"):
        (root / "toy-bin" / file).unlink()
    assert (toy.locate(str(root), download=True) / "a.bin").is_file()


def test_an_archive_with_another_checksum_is_refused(server, tmp_path):
    folder, address = server
    packed = pack(folder)
    toy = published(address, packed)
    packed.write_bytes(packed.read_bytes() + b"more")
    with pytest.raises(DataError, match="corrupted"):
        toy.locate(str(tmp_path / "root"), download=True)
    assert list((tmp_path / "root").iterdir()) == []


def test_an_archive_without_the_files_is_refused(server, tmp_path):
    folder, address = server
    toy = published(address, pack(folder, files=("a.bin",)))
    with pytest.raises(DataError, match="lacks files"):
        toy.locate(str(tmp_path / "root"), download=True)


def test_a_missing_page_is_an_error_with_its_reason(server, tmp_path):
    folder, address = server
    packed = pack(folder)
    toy = published(address, packed)
    packed.unlink()
    with pytest.raises(DataError, match="404"):
        toy.locate(str(tmp_path / "root"), download=True)


def test_a_server_that_stays_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("sslcore_torchvision._download._PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/toy.tar.gz"
        toy = Published("toy", "toy-bin", ("a.bin",), url, archive(url, "0"))
        with pytest.raises(DataError, match="timed out"):
            toy.locate(str(tmp_path), download=True)
    assert socket.getdefaulttimeout() is None


def test_files_that_another_process_fetched_meanwhile_are_no_error(tmp_path):
    def fetch(base, scratch):
        for place in (base, scratch):
            pack(place)

    toy = Published("toy", "toy-bin", ("a.bin", "b.bin"), "http://example.invalid", fetch)
    assert (toy.locate(str(tmp_path), download=True) / "b.bin").read_bytes() == b"b.bin"


def test_labels_are_int64_and_images_uint8(tmp_path):
    write_cifar10(tmp_path)
    data = cifar10(root=str(tmp_path))
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
