import functools
import gzip
import hashlib
import http.server
import shutil
import socket
import tarfile
import threading

import pytest

from mlproject.data import load_images
from mlproject.data.published import SEGMENTATION_SETS
from mlproject.data.published_files import BINARY_FILES, CIFAR_BINARY, CIFAR_FILES, DATASET_CLASSES
from mlproject.errors import BadInput, NoRoom

from .test_contract import N_TEST, N_TRAIN, noise, write_cifar, write_mnist, write_pairs


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """Twenty training and ten test images as torchvision finds them."""
    write_mnist(tmp_path / "MNIST" / "raw")
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    return tmp_path / "MNIST" / "raw"


def test_a_published_set_keeps_its_own_test_split(tiny_mnist):
    images = load_images("mnist")
    assert (len(images), images.n_held_out, len(images.classes)) == (30, 10, 10)
    assert (images.ids[0], images.ids[-1]) == ("test/00000.png", "train/00019.png")
    assert images.read(29).shape == (28, 28, 3)


def test_one_class_of_a_published_set(tiny_mnist):
    assert load_images("mnist:3").ids == ("test/00003.png", "train/00003.png", "train/00013.png")


LOOKED_FOR = {
    "mnist": r"train-images-idx3-ubyte, .* \(each may end in \.gz\) in MNIST/raw, MNIST, mnist, raw or",
    "fashion-mnist": "in FashionMNIST/raw, FashionMNIST, fashion-mnist, raw or there itself",
    "cifar10": "cifar-10-batches-py, cifar-10-python.tar.gz, cifar-10-batches-bin or cifar-10-binary.tar",
    "cifar100": "cifar-100-python, cifar-100-python.tar.gz, cifar-100-binary or cifar-100-binary.tar.gz",
    "voc2012": r"VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt, .*JPEGImages/\*\.jpg and",
    "oxford-pets": r"oxford-iiit-pet/annotations/trainval.txt, .*trimaps/\*\.png",
}


@pytest.mark.parametrize("name", LOOKED_FOR)
@pytest.mark.parametrize("below", ["", "missing"])
def test_a_set_that_is_not_there_says_what_was_looked_for_and_how_to_get_it(
    tmp_path, monkeypatch, name, below
):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path / below))
    says = rf"{name} is not in {tmp_path / below}: .*{LOOKED_FOR[name]}.* fetch it with download=true$"
    with pytest.raises(BadInput, match=says) as refusal:
        load_images(name)
    assert "set MLPROJECT_DATA to the folder that holds" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def compress(raw, folder):
    """The files of a set, compressed as Debian has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in list(raw.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


@pytest.mark.parametrize("below", ["MNIST/raw", "MNIST", "mnist", ".", "raw"])
def test_compressed_files_are_the_same_set_and_nothing_is_written_beside_them(tiny_mnist, tmp_path, below):
    digest = load_images("mnist").digest
    compress(tiny_mnist, tmp_path / below)
    (tmp_path / below).chmod(0o555)
    before = sorted(tmp_path.rglob("*"))
    assert load_images("mnist").digest == digest
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_of_the_files_itself_may_be_named(tiny_mnist, monkeypatch):
    monkeypatch.setenv("MLPROJECT_DATA", str(tiny_mnist))
    assert len(load_images("mnist")) == 30


def test_one_missing_file_is_a_missing_set_and_is_named(tiny_mnist):
    (tiny_mnist / "t10k-labels-idx1-ubyte").unlink()
    says = (
        f"mnist is not in .*: no t10k-labels-idx1-ubyte beside the other files in {tiny_mnist}; set MLPROJECT"
    )
    with pytest.raises(BadInput, match=says):
        load_images("mnist")


def test_folders_of_a_set_may_be_written_in_any_case(tiny_mnist, tmp_path):
    tiny_mnist.rename(tmp_path / "MNIST/Raw")
    (tmp_path / "MNIST").rename(tmp_path / "mNiSt")
    assert len(load_images("mnist")) == 30


def test_names_with_a_dot_are_the_same_files(tiny_mnist):
    digest = load_images("mnist").digest
    for path in list(tiny_mnist.iterdir()):
        path.rename(tiny_mnist / path.name.replace("-idx", ".idx"))
    assert load_images("mnist").digest == digest
    with pytest.raises(BadInput, match="holds files of mnist or fashion-mnist"):
        load_images(str(tiny_mnist))


def test_fashion_mnist_under_the_names_of_mnist_is_refused(tiny_mnist):
    labels = tiny_mnist / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:8] + bytes((9, 0, 0, 3, 0, 2, 7, 2, 5, 5)) * 2)
    with pytest.raises(BadInput, match="MNIST/raw are those of fashion-mnist, not of mnist"):
        load_images("mnist")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("below", ["", "set"])
def test_cifar_is_read_from_its_archive_or_the_folder_itself(tmp_path, monkeypatch, name, below):
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    folder, archive = CIFAR_FILES[name]
    batches = ["train"] if name == "cifar100" else [f"data_batch_{i}" for i in range(1, 6)]
    write_cifar(tmp_path / folder, batches, "test" if name == "cifar100" else "test_batch")
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path / folder))
    digest = load_images(name).digest
    place = tmp_path / (DATASET_CLASSES[name] if below else "")
    place.mkdir(exist_ok=True)
    with tarfile.open(place / archive, "w:gz") as packed:
        packed.add(tmp_path / folder, folder)
    shutil.rmtree(tmp_path / folder)
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    assert load_images(name).digest == digest


def write_binary(folder, name):
    """The set of ``write_cifar`` in its binary version: the labels of a record, then red, green, blue."""
    folder.mkdir(parents=True)
    test, train, names = BINARY_FILES[name]
    for n, files in ((N_TEST, test), (N_TRAIN // len(train), train)):
        rows = noise(n, 3 * 32 * 32)
        coarse = b"\x13" if name == "cifar100" else b""
        content = b"".join(coarse + bytes([i % 10]) + row.tobytes() for i, row in enumerate(rows))
        for file in files:
            (folder / file).write_bytes(content)
    (folder / names).write_text("\n".join("abcdefghij") + "\n")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_binary_version_of_cifar_is_the_same_set(tmp_path, monkeypatch, name):
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    batches = ["train"] if name == "cifar100" else [f"data_batch_{i}" for i in range(1, 6)]
    python = tmp_path / CIFAR_FILES[name][0]
    write_cifar(python, batches, "test" if name == "cifar100" else "test_batch")
    original = load_images(name)
    folder, archive = CIFAR_BINARY[name]
    write_binary(tmp_path / folder, name)
    shutil.rmtree(python)
    for _ in ("folder", "archive"):
        images = load_images(name)
        assert (images.digest, images.classes) == (original.digest, original.classes)
        assert (images.read(3) == original.read(3)).all()
        if (tmp_path / folder).is_dir():
            with tarfile.open(tmp_path / archive, "w:gz") as packed:
                packed.add(tmp_path / folder, folder)
            shutil.rmtree(tmp_path / folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            "test_batch.bin has .* bytes, which are no rec",
        ),
        (
            lambda path: path.write_bytes(b"\x63" + path.read_bytes()[1:]),
            "test_batch.bin has label 99, of 10",
        ),
        (lambda path: path.unlink(), "No such file .*test_batch.bin"),
    ],
)
def test_a_damaged_binary_file_is_refused_by_name(tmp_path, monkeypatch, spoil, reason):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    write_binary(tmp_path / "cifar-10-batches-bin", "cifar10")
    spoil(tmp_path / "cifar-10-batches-bin/test_batch.bin")
    says = rf"cifar10 cannot be read from .*{reason}.*; delete its files there .* download=true$"
    with pytest.raises(BadInput, match=says):
        load_images("cifar10")


@pytest.mark.parametrize("name", ["oxford-pets", "voc2012"])
def test_bad_images_of_a_published_set_with_label_maps_may_be_left_out(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    layout = SEGMENTATION_SETS[name]
    write_pairs(tmp_path, layout, first=layout.first_class)
    n = len(load_images(name))
    next(iter(sorted(tmp_path.rglob("*.jpg")))).write_bytes(b"nonsense")
    with pytest.raises(BadInput, match=r"or leave them out with max_bad=1$"):
        load_images(name)
    assert len(load_images(name, max_bad=1)) == n - 1


@pytest.mark.parametrize("file", ["MNIST/raw/train-images-idx3-ubyte.gz", "cifar-10-python.tar.gz"])
def test_a_damaged_archive_is_refused_in_one_line(tiny_mnist, tmp_path, file):
    compress(tiny_mnist, tiny_mnist)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-9] if path.exists() else b"nonsense")
    name = "mnist" if "MNIST" in file else "cifar10"
    says = rf"{name} cannot be read from .*; delete its files there and fetch them again with download=true$"
    with pytest.raises(BadInput, match=says) as refusal:
        load_images(name)
    assert "\n" not in str(refusal.value)


def test_a_set_is_downloaded_where_that_is_asked_for_and_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    fetched = []

    def download(self):
        fetched.append(self.root)
        if not (tmp_path / "MNIST").exists():
            write_mnist(tmp_path / "MNIST" / "raw")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
    assert len(load_images("mnist", download=True)) == 30
    assert fetched == [str(tmp_path)]
    assert len(load_images("mnist", download=True)) == 30
    assert len(fetched) == 1


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder, and a server of its files from which torchvision fetches MNIST."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", [address])
        monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path / "data"))
        yield folder
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_set_is_fetched_from_a_server_that_answers_and_what_it_cut_is_fetched_again(
    server, tmp_path, monkeypatch
):
    write_mnist(tmp_path / "raw")
    resources = []
    for path in sorted((tmp_path / "raw").iterdir()):
        content = gzip.compress(path.read_bytes())
        (server / f"{path.name}.gz").write_bytes(content)
        resources.append((f"{path.name}.gz", hashlib.md5(content, usedforsecurity=False).hexdigest()))
    monkeypatch.setattr("torchvision.datasets.MNIST.resources", resources)
    name, whole = resources[-1][0], (server / resources[-1][0]).read_bytes()
    (server / name).write_bytes(whole[:-9])
    with pytest.raises(BadInput, match=r"mnist cannot be downloaded into .*corrupted.*; check the network"):
        load_images("mnist", download=True)
    (server / name).write_bytes(whole)
    assert len(load_images("mnist", download=True)) == 30


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    monkeypatch.setattr("mlproject.data.published.SILENT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", [address])
        with pytest.raises(
            BadInput, match=r"mnist cannot be downloaded into .*timed out.*; check the network"
        ):
            load_images("mnist", download=True)
    assert socket.getdefaulttimeout() is None


def test_a_full_disk_during_a_download_is_told_as_such(tmp_path, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.MNIST.download", full)
    with pytest.raises(NoRoom, match="no room for mnist in"):
        load_images("mnist", download=True)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))

    def fail(self):
        raise OSError("no route\nto host")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", fail)
    says = r"mnist cannot be downloaded into .* \(no route to host\); check the network, or put there train-"
    with pytest.raises(BadInput, match=says):
        load_images("mnist", download=True)


def test_a_damaged_published_set_is_refused(tiny_mnist):
    (tiny_mnist / "train-images-idx3-ubyte").write_bytes(b"nonsense")
    with pytest.raises(
        BadInput, match=r"mnist cannot be read from .*; delete its files there and fetch them"
    ):
        load_images("mnist")


def test_a_folder_of_published_files_says_how_they_are_read(tiny_mnist, tmp_path):
    compress(tiny_mnist, tmp_path / "debian")
    with pytest.raises(
        BadInput, match=r"debian holds files of mnist or fashion-mnist, .* MLPROJECT_DATA=.*debian"
    ):
        load_images(str(tmp_path / "debian"))
    write_cifar(tmp_path / "batches", ["data_batch_1"], "test_batch")
    with pytest.raises(BadInput, match="holds files of cifar10"):
        load_images(str(tmp_path / "batches"))


def outside(path, tmp_path_factory):
    """Move a file or folder elsewhere and leave a link to it."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / path.name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("file", ["MNIST/raw/t10k-labels-idx1-ubyte", "MNIST/raw", "MNIST"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_a_set_that_are_links_are_not_followed(tiny_mnist, tmp_path_factory, file, packed):
    root = tiny_mnist.parents[1]
    if packed:
        compress(tiny_mnist, tiny_mnist)
        file += ".gz" if "idx" in file else ""
    outside(root / file, tmp_path_factory)
    with pytest.raises(BadInput, match=f"{file} is a symbolic link, not followed; copy what it points to"):
        load_images("mnist")


@pytest.mark.parametrize("file", ["", "/data_batch_3", "/batches.meta"])
@pytest.mark.parametrize("itself", [False, True])
def test_batches_that_are_links_are_not_followed(tmp_path, monkeypatch, tmp_path_factory, file, itself):
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar(folder, [f"data_batch_{i}" for i in range(1, 6)], "test_batch")
    outside(tmp_path / f"{folder.name}{file}", tmp_path_factory)
    monkeypatch.setenv("MLPROJECT_DATA", str(folder if itself else tmp_path))
    if itself and not file:  # the root is what a person named, and may be a link
        monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
        assert load_images("cifar10").n_held_out
        return
    with pytest.raises(BadInput, match=f"{file} is a symbolic link, not followed"):
        load_images("cifar10")


def test_an_archive_that_is_a_link_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-python.tar.gz").symlink_to(tmp_path / "away.tar.gz")
    (tmp_path / "away.tar.gz").write_bytes(b"x")
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    with pytest.raises(BadInput, match=r"python\.tar\.gz is a symbolic link, not followed"):
        load_images("cifar10")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_an_archive_that_unpacks_without_end_is_refused(tiny_mnist, tmp_path, monkeypatch, name):
    monkeypatch.setattr("mlproject.data.published_files.MOST_UNPACKED", 1000)
    if name == "mnist":
        compress(tiny_mnist, tiny_mnist)
    else:
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as packed:
            packed.add(tiny_mnist)
    with pytest.raises(BadInput, match=r"gz unpacks to more than"):
        load_images(name)


PETS = "oxford-iiit-pet/annotations"


@pytest.mark.parametrize("file", [f"{PETS}/trainval.txt", f"{PETS}/trimaps", PETS, "oxford-iiit-pet/images"])
def test_lists_and_folders_of_label_maps_that_are_links_are_not_followed(
    tmp_path, monkeypatch, tmp_path_factory, file
):
    write_pairs(tmp_path, SEGMENTATION_SETS["oxford-pets"], first=1)
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    outside(tmp_path / file, tmp_path_factory)
    with pytest.raises(BadInput, match=f"{file} is a symbolic link, not followed"):
        load_images("oxford-pets")


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/b"])
def test_a_list_that_names_files_elsewhere_is_refused(tmp_path, monkeypatch, name):
    write_pairs(tmp_path, SEGMENTATION_SETS["oxford-pets"], first=1)
    (tmp_path / PETS / "test.txt").write_text(f"{name} 1 1 1\n")
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    with pytest.raises(BadInput, match=rf"test\.txt names '{name}', which is no file beside the others"):
        load_images("oxford-pets")
