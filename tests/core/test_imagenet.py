"""ImageNet's layouts: all three hold the same images, and what is wrong with one is said in a sentence."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photograph_files import CLASSES, samples, write_folder, write_parquet, write_shards

from stcnas_core import datasets, encoded, imagenet
from stcnas_core.errors import InputError

WRITERS = {"folder": write_folder, "parquet": write_parquet, "webdataset": write_shards}


@pytest.fixture(scope="module", params=WRITERS)
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, WRITERS[request.param](tmp_path_factory.mktemp("data") / "imagenet")


def test_every_layout_holds_every_image_with_its_label_once(layout: tuple[str, Path]) -> None:
    kind, root = layout
    source = datasets.locate("imagenet", str(root.parent))
    assert source.kind == kind
    for split, name, each in (("train", "train", 12), ("test", "val", 4)):
        found = imagenet.open_split(source, split)
        held = {(int(label), bytes(found.read(at))) for at, label in enumerate(found.labels)}
        assert held == {(label, data) for label, _, data in samples(name, each)}
        assert len(found.labels) == each * len(CLASSES)
        assert {Path(found.place(at).split(",")[0]).exists() for at in range(len(found.labels))} == {True}


def test_fingerprints_name_the_content_and_not_the_place(layout: tuple[str, Path], tmp_path: Path) -> None:
    kind, root = layout
    found = datasets.fingerprint("imagenet", str(root))
    assert found.startswith(f"imagenet@{kind}:")
    copy = WRITERS[kind](tmp_path / "copy")
    assert datasets.fingerprint("imagenet", str(copy)) == found
    changed = sorted(copy.rglob("*.tar")) + sorted(copy.rglob("*.parquet")) + sorted(copy.rglob("*.JPEG"))
    with changed[-1].open("ab") as stream:
        stream.write(b"\0")
    assert datasets.fingerprint("imagenet", str(copy)) != found


def test_labels_of_folders_are_the_training_classes_in_order_of_name(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    for name in CLASSES[:2]:
        for file in (root / "val" / name).iterdir():
            file.unlink()
        (root / "val" / name).rmdir()
    (root / "train" / ".DS_Store").touch()
    (root / "train" / CLASSES[0] / "notes.txt").touch()
    source = datasets.locate("imagenet", str(root))
    assert np.unique(imagenet.open_split(source, "test").labels).tolist() == [2, 3]
    assert np.bincount(imagenet.open_split(source, "train").labels).tolist() == [12] * 4


def move_val(root: Path) -> None:
    (root / "val").rename(root / "validation images")


def flatten(root: Path) -> None:
    for file in [*(root / "val").rglob("*.JPEG")]:
        file.rename(root / "val" / file.name)
    for folder in [*(root / "val").iterdir()]:
        if folder.is_dir():
            folder.rmdir()


def foreign_class(root: Path) -> None:
    (root / "val" / CLASSES[1]).rename(root / "val" / "n09999999")


def empty_class(root: Path) -> None:
    (root / "train" / "n00000001").mkdir()


def two_forms(root: Path) -> None:
    write_shards(root, 1, 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (move_val, "has train but no validation images beside it; both are needed"),
        (flatten, "val: no class folders: it holds 16 images without class folders; sort them"),
        (foreign_class, "n09999999 is no class of the training images"),
        (empty_class, "n00000001: no images .*every class needs some"),
        (two_forms, r"holds two forms, folder \(train\) and webdataset \(imagenet1k-train-0000.tar\)"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(write_folder(tmp_path))

    def opened() -> None:
        source = datasets.locate("imagenet", str(tmp_path))
        for split in datasets.SPLITS:
            imagenet.open_split(source, split)

    with pytest.raises(InputError, match=says):
        opened()


def shard(file: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(file, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([], "no sample; a shard holds pairs"),
        ([("a.jpg", b"x")], "sample a has an image and no a.cls"),
        ([("a.jpg", b"x"), ("a.png", b"x"), ("a.cls", b"1")], "sample a has two images"),
        ([("a.jpg", b"x"), ("a.cls", b"cat")], r"a.cls: b'cat' is no label; it must hold a whole number"),
        ([("a.jpg", b"x"), ("a.cls", b"-1")], r"b'-1' is no label"),
        ([("a.jpg", b"x"), ("a.cls", b"3"), ("b.jpg", b"x"), ("b.cls", b"0")], "2 different labels, the largest is 3"),
        ([("a.jpg", b"x"), ("a.cls", b"0")], "1 different labels"),
    ],
)
def test_shards_that_cannot_be_used(tmp_path: Path, members: list[tuple[str, bytes]], says: str) -> None:
    shard(tmp_path / "train-0.tar", *members)
    shard(tmp_path / "val-0.tar", ("a.jpg", b"x"), ("a.cls", b"0"))
    with pytest.raises(InputError, match=says):
        imagenet.open_split(datasets.locate("imagenet", str(tmp_path)), "train")


def test_shards_that_are_cut_off_or_are_none(tmp_path: Path) -> None:
    root = write_shards(tmp_path)
    found = imagenet.open_split(datasets.locate("imagenet", str(root)), "train")
    for file in root.glob("*train*"):
        file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(InputError, match=r"sample n07753592_00011: the shard ends within the image"):
        found.read(len(found.labels) - 1)
    with pytest.raises(InputError, match=r"train-0000.tar: not readable as a tar file"):
        imagenet.open_split(datasets.locate("imagenet", str(root)), "train")


def test_keys_with_folders_are_told_apart(tmp_path: Path) -> None:
    pairs = [(f"{folder}/0.{suffix}", data) for folder in "ab" for suffix, data in (("JPG", b"x"), ("cls", b"1\n"))]
    shard(tmp_path / "train-0.tar", *pairs, ("c.jpg", b"y"), ("c.cls", b"0"))
    shard(tmp_path / "val-0.tar", *pairs)
    found = imagenet.open_split(datasets.locate("imagenet", str(tmp_path)), "train")
    assert found.labels.tolist() == [1, 1, 0]
    assert found.place(1).endswith("train-0.tar, sample b/0")


def test_parquet_must_be_shuffled_and_in_small_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_parquet(tmp_path)
    source = datasets.locate("imagenet", str(root))
    found = imagenet.open_split(source, "train")
    assert found.blocks is not None
    assert np.bincount(found.blocks).tolist() == [6] * 8
    monkeypatch.setattr(encoded, "LARGEST_GROUP", 1000)
    with pytest.raises(InputError, match="a row group holds 0 MiB of images, more than 0; write the files again"):
        imagenet.open_split(source, "train")
    monkeypatch.undo()
    labels = np.repeat(np.arange(100), 10)
    pq.write_table(pa.table({"image": [b"x"] * 1000, "label": labels}), tmp_path / "t.parquet", row_group_size=10)
    with pytest.raises(InputError, match="the rows lie in order of their labels"):
        encoded.ParquetImages([tmp_path / "t.parquet"])


def test_where_nothing_is_or_can_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"imagenet: no images in .*docs/imagenet.md has the layouts"):
        datasets.locate("imagenet", str(tmp_path))
    with pytest.raises(InputError, match=r"its terms are accepted by each user on image-net.org"):
        datasets.fetch("imagenet", str(tmp_path))
