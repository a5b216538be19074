"""Data sets: digits, image Parquet with everything that can be wrong with it, CIFAR in torchvision's layout."""

import hashlib
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zlib
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stcnas_core import cifar, datasets, image_files, image_parquet
from stcnas_core.datasets import fetch, fingerprint, locate, read
from stcnas_core.errors import InputError

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def encode(pixels, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def picture(seed=0, side=8):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def pictures(count, side=8, first=0):
    return [encode(picture(first + index, side)) for index in range(count)]


def write(file, images, labels, image_column="image", label_column="label", label_type=None, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    label_type = pa.int64() if label_type is None else label_type
    columns = {image_column: pa.array(images), label_column: pa.array(labels, label_type)}
    pq.write_table(pa.table(columns), file, **options)
    return file


@pytest.fixture
def folder(tmp_path):
    """Ten train and four test images of two classes, 8x8."""
    write(tmp_path / "train.parquet", pictures(10), [0, 1] * 5)
    write(tmp_path / "test.parquet", pictures(4, first=10), [1, 0, 0, 1])
    return tmp_path


def refuses(pattern, *args, **options):
    with pytest.raises(InputError, match=pattern) as caught:
        read(*args, **options)
    return str(caught.value)


# digits


def test_digits_splits_hold_every_image_once():
    from sklearn.datasets import load_digits

    train, test = read("digits", "train"), read("digits", "test")
    assert (train.images.shape, test.images.shape) == ((1437, 3, 8, 8), (360, 3, 8, 8))
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert np.bincount(test.labels).tolist() == [36] * 10
    assert (train.classes, train.flip) == (10, False)
    everything = np.concatenate([train.images, test.images])
    assert (everything[:, 0] == everything[:, 1]).all()
    assert (everything[:, 0] == everything[:, 2]).all()
    labels = np.concatenate([train.labels, test.labels])
    source = load_digits()
    ours = sorted((int(label), image[0].tobytes()) for label, image in zip(labels, everything, strict=True))
    grey = np.floor(source.images * 255 / 16 + 0.5).astype(np.uint8)
    assert ours == sorted((int(label), image.tobytes()) for label, image in zip(source.target, grey, strict=True))


def test_digits_are_read_without_importing_scikit_learn_and_by_it_where_the_file_is_not_found(monkeypatch):
    program = (
        "import sys; from stcnas_core.datasets import read; read('digits', 'test'); print('sklearn' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
    train = read("digits", "train")
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    by_library = read("digits", "train")
    np.testing.assert_array_equal(train.images, by_library.images)
    np.testing.assert_array_equal(train.labels, by_library.labels)


def test_digits_statistics_are_the_train_split_s_whatever_is_read():
    train, few, test = read("digits", "train"), read("digits", "train", limit=20), read("digits", "test")
    pixels = train.images[:, 0].astype(np.float64) / 255
    assert train.mean == pytest.approx((pixels.mean(),) * 3)
    assert train.std == pytest.approx((pixels.std(),) * 3)
    assert (few.mean, few.std) == (test.mean, test.std) == (train.mean, train.std)


def test_first_digits_are_balanced():
    train = read("digits", "train", limit=1000)
    assert np.bincount(train.labels).tolist() == [100] * 10
    np.testing.assert_array_equal(train.images, read("digits", "train").images[:1000])


def test_digits_fingerprint_and_limit():
    assert fingerprint("digits") == fingerprint("digits", "/nowhere") == "digits@scikit-learn"
    refuses(r"digits, test split: 361 images asked for, there are 360", "digits", "test", limit=361)
    refuses("at least 1", "digits", "test", limit=0)


# image Parquet


def test_parquet_images_labels_and_statistics(folder):
    train, test = read("parquet", "train", path=str(folder)), read("parquet", "test", path=str(folder))
    expected = np.stack([picture(index) for index in range(10)]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(train.images, expected)
    assert train.labels.tolist() == [0, 1] * 5
    assert (train.classes, train.flip) == (2, True)
    assert train.mean == pytest.approx((expected / 255).mean((0, 2, 3)))
    assert train.std == pytest.approx((expected / 255).std((0, 2, 3)))
    np.testing.assert_array_equal(test.images[2].transpose(1, 2, 0), picture(12))
    assert test.labels.tolist() == [1, 0, 0, 1]
    assert (test.mean, test.std, test.classes) == (train.mean, train.std, 2)


def test_limit_takes_the_first_rows_and_keeps_the_statistics(folder):
    few, all_of_them = (read("parquet", "train", path=str(folder), limit=limit) for limit in (3, None))
    np.testing.assert_array_equal(few.images, all_of_them.images[:3])
    assert (few.mean, few.std, few.classes) == (all_of_them.mean, all_of_them.std, 2)


def test_statistics_of_many_images_come_from_evenly_spread_ones(folder, monkeypatch):
    monkeypatch.setattr(datasets, "_MEASURED_IMAGES", 4)
    all_of_them, few = (read("parquet", "train", path=str(folder), limit=limit) for limit in (None, 2))
    sample = all_of_them.images[[0, 3, 6, 9]] / 255
    assert all_of_them.mean == few.mean == pytest.approx(sample.mean((0, 2, 3)))


def test_a_constant_channel_can_be_normalised(tmp_path):
    black = encode(np.zeros((4, 4, 3), np.uint8))
    for name in ("train", "test"):
        write(tmp_path / f"{name}.parquet", [black, black], [0, 1])
    assert read("parquet", "train", path=str(tmp_path)).std == pytest.approx((1 / 255,) * 3)


def test_only_the_rows_of_the_limit_are_decoded(tmp_path):
    write(tmp_path / "cifar10/train.parquet", [*pictures(10, 32), b"junk"], [*range(10), 0])
    write(tmp_path / "cifar10/test.parquet", pictures(2, 32), [0, 1])
    assert len(read("cifar10", "train", path=str(tmp_path), limit=10).labels) == 10
    refuses(r"train\.parquet, row 10: 4 bytes that are no image", "cifar10", "train", path=str(tmp_path))


@pytest.mark.parametrize("column", ["image", "img"])
@pytest.mark.parametrize("binary", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("rows_per_group", [2, 100])
def test_hugging_face_struct_column(folder, column, binary, rows_per_group):
    images = pa.array(
        [{"bytes": image, "path": "x.png"} for image in pictures(10)],
        pa.struct([("bytes", binary), ("path", pa.string())]),
    )
    expected = read("parquet", "train", path=str(folder))
    write(folder / "train.parquet", images, [0, 1] * 5, column, row_group_size=rows_per_group)
    np.testing.assert_array_equal(read("parquet", "train", path=str(folder)).images, expected.images)


def test_shards_are_read_in_order_of_name(folder):
    whole = read("parquet", "train", path=str(folder))
    (folder / "train.parquet").unlink()
    write(folder / "train-00001-of-00002.parquet", pictures(4, first=6), [0, 1] * 2)
    write(folder / "train-00000-of-00002.parquet", pictures(6), [0, 1] * 3)
    sharded = read("parquet", "train", path=str(folder))
    np.testing.assert_array_equal(sharded.images, whole.images)
    assert sharded.labels.tolist() == whole.labels.tolist()
    assert sharded.mean == whole.mean


@pytest.mark.parametrize("kind", ["L", "1", "P", "LA", "RGBA"])
def test_grey_palette_and_alpha_become_rgb(folder, kind):
    # A palette keeps few colours, so the picture has two.
    pixels = np.where(picture(3)[:, :, :1] > 127, 255, 0).astype(np.uint8).repeat(3, 2)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(kind).save(stream, "PNG")
    write(folder / "test.parquet", [stream.getvalue()], [0])
    image = read("parquet", "test", path=str(folder)).images[0]
    np.testing.assert_array_equal(image.transpose(1, 2, 0), pixels)


def test_sixteen_bit_images_are_refused(folder):
    write(folder / "test.parquet", [encode(np.zeros((8, 8), np.uint16))], [0])
    refuses(r"test\.parquet, row 0: .*I;16.*8-bit", "parquet", "test", path=str(folder))


def test_images_of_another_size_name_the_row_and_both_sizes(folder):
    write(folder / "train.parquet", [*pictures(3), encode(picture(3, 9))], [0, 1, 0, 1])
    refuses(r"train\.parquet, row 3: the image is 9x9 pixels, it must be 8x8", "parquet", "train", path=str(folder))
    write(folder / "train.parquet", pictures(4), [0, 1, 0, 1])
    write(folder / "test.parquet", pictures(2, 16), [0, 1])
    refuses(r"test\.parquet, row 0: the image is 16x16 pixels, .* 8x8", "parquet", "test", path=str(folder))


def test_rows_are_counted_within_their_shard(folder):
    (folder / "train.parquet").unlink()
    write(folder / "train-00000-of-00002.parquet", pictures(6), [0, 1] * 3)
    write(folder / "train-00001-of-00002.parquet", [*pictures(2), b""], [0, 1, 0])
    refuses(r"train-00001-of-00002\.parquet, row 2: 0 bytes", "parquet", "train", path=str(folder))


def test_oblong_images_are_refused(folder):
    write(folder / "train.parquet", [encode(picture()[:4])] * 2, [0, 1])
    refuses(r"row 0: the image is 8x4 pixels; images must be square", "parquet", "train", path=str(folder))


def png_header(side):
    body = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 40) + b"IDAT" + bytes(44)


@pytest.mark.parametrize("side", [2_000, 10_000, 30_000])
def test_decompression_bombs_are_refused(folder, side):
    write(folder / "train.parquet", [png_header(side)] * 2, [0, 1])
    refuses(r"train\.parquet, row 0: .*1,024", "parquet", "train", path=str(folder))


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: data[:60] + b"\0" * 40 + data[100:], lambda _: b"GIF89a"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_images_name_the_row(folder, damage, kind):
    images = [encode(picture(index, 32), kind) for index in range(3)]
    images[1] = damage(images[1])
    write(folder / "train.parquet", images, [0, 1, 0])
    message = ""
    try:
        read("parquet", "train", path=str(folder))
    except InputError as error:
        message = str(error)
    # A JPEG or WebP with a few wrong bytes inside may still be an image; half a file never is.
    if kind == "PNG" or len(images[1]) != len(encode(picture(1, 32), kind)):
        assert "train.parquet, row 1: " in message


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_wrong_bytes_give_an_image_or_an_input_error(kind, at, junk):
    data = encode(picture(1, 8), kind)
    at %= len(data)
    message = "here: "
    with image_parquet._quiet():
        try:
            pixels = image_parquet._decode(memoryview(data[:at] + junk + data[at + len(junk) :]), "here", 8)
            assert (pixels.shape, pixels.dtype) == ((8, 8, 3), np.uint8)
        except InputError as error:
            message = str(error)
    assert message.startswith("here: ")


@pytest.mark.parametrize(
    ("labels", "kind", "pattern"),
    [
        ([0, 1, -1, 1], None, r"train\.parquet, row 2: label is -1"),
        ([0, 1, None, 1], None, r"train\.parquet, row 2: label is missing"),
        ([0, 2, 0, 2], None, r"train\.parquet, train split: .*no image has label 1, the largest label is 2"),
        ([1, 2, 1, 2], None, "no image has label 0"),
        ([0, 0, 0, 0], None, "at least two classes"),
        ([0.0, 1.0, 0.0, 1.0], pa.float32(), r"column label is of type float; labels must be integers"),
        (["a", "b", "a", "b"], pa.string(), "column label is of type string"),
        ([True, False, True, False], pa.bool_(), "column label is of type bool"),
        ([0, 1, 2**63, 1], pa.uint64(), "beyond 64 bits"),
    ],
)
def test_bad_train_labels(folder, labels, kind, pattern):
    write(folder / "train.parquet", pictures(4), labels, label_type=kind)
    refuses(pattern, "parquet", "train", path=str(folder))


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.uint64()])
def test_any_integer_type_is_a_label(folder, kind):
    write(folder / "train.parquet", pictures(4), [0, 1, 1, 0], label_type=kind)
    assert read("parquet", "train", path=str(folder)).labels.tolist() == [0, 1, 1, 0]


def test_a_test_label_that_training_lacks(folder):
    write(folder / "test.parquet", pictures(3), [0, 1, 2])
    refuses(r"test\.parquet, row 2: label 2 is none of the train split's", "parquet", "test", path=str(folder))


def test_rows_sorted_by_class_are_refused_where_they_would_hide_the_classes(folder):
    write(folder / "train.parquet", pictures(40), [0] * 20 + [1] * 20)
    refuses("first 20 training images are all of class 0; shuffle", "parquet", "train", path=str(folder), limit=20)
    assert len(read("parquet", "train", path=str(folder)).labels) == 40


@pytest.mark.parametrize("name", ["train", "test"])
def test_missing_columns_list_those_found(folder, name):
    write(folder / f"{name}.parquet", pictures(4), [0, 1, 0, 1], "picture", "target")
    pattern = rf"{name}\.parquet: no image column; it must be called image or img, the file has: picture, target"
    refuses(pattern, "parquet", name, path=str(folder))
    with pytest.raises(InputError, match=pattern):
        fingerprint("parquet", str(folder))
    write(folder / f"{name}.parquet", pictures(4), [0, 1, 0, 1], "img", "target")
    refuses("no label column; it must be called label, the file has: img, target", "parquet", name, path=str(folder))


def test_other_column_types_and_null_images(folder):
    write(folder / "train.parquet", ["a.png", "b.png"], [0, 1])
    refuses("column image is of type string; it must hold encoded images", "parquet", "train", path=str(folder))
    write(folder / "train.parquet", [pictures(1)[0], None], [0, 1])
    refuses(r"row 1: image is missing \(null\)", "parquet", "train", path=str(folder))
    write(folder / "train.parquet", [{"bytes": pictures(1)[0], "path": None}, {"bytes": None, "path": "b.png"}], [0, 1])
    refuses(r"row 1: image.bytes is missing \(null\)", "parquet", "train", path=str(folder))
    write(folder / "train.parquet", [{"bytes": pictures(1)[0], "path": None}, None], [0, 1])
    refuses(r"row 1: image.bytes is missing \(null\)", "parquet", "train", path=str(folder))


def test_empty_files(folder):
    write(folder / "train.parquet", pa.array([], pa.binary()), [])
    refuses(r"train\.parquet: the file has no rows", "parquet", "train", path=str(folder))
    (folder / "train.parquet").write_bytes(b"")
    refuses(r"train\.parquet: not readable as Parquet, or damaged", "parquet", "train", path=str(folder))


def test_damaged_parquet(folder):
    good = (folder / "train.parquet").read_bytes()
    for bad in (good[: len(good) // 2], b"PAR1" + b"\xff" * 200 + b"PAR1", b"just text, no Parquet"):
        (folder / "train.parquet").write_bytes(bad)
        refuses(r"train\.parquet: not readable as Parquet, or damaged", "parquet", "train", path=str(folder))
        with pytest.raises(InputError, match=r"train\.parquet: not readable"):
            fingerprint("parquet", str(folder))


def test_a_damaged_page_is_noticed(folder):
    write(folder / "train.parquet", pictures(10), [0, 1] * 5, write_page_checksum=True)
    data = bytearray((folder / "train.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "train.parquet").write_bytes(bytes(data))
    refuses(r"train\.parquet: not readable as Parquet, or damaged", "parquet", "train", path=str(folder))


def test_limit_beyond_the_set(folder):
    refuses(r"train split: 11 images asked for, there are 10", "parquet", "train", path=str(folder), limit=11)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (None, "Set data.path to a folder with train.parquet and test.parquet"),
        ("missing", "missing does not exist; name the folder that holds parquet"),
        ("train.parquet", r"train\.parquet is a file"),
        ("s3://bucket/images", "no local folder"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_bad_paths(folder, monkeypatch, path, pattern):
    monkeypatch.chdir(folder)
    refuses(pattern, "parquet", "train", path=path)
    with pytest.raises(InputError, match=pattern):
        fingerprint("parquet", path)


def test_missing_and_ambiguous_files(folder):
    (folder / "test.parquet").rename(folder / "validation.parquet")
    refuses("has train Parquet files but no test.parquet", "parquet", "train", path=str(folder))
    (folder / "train.parquet").rename(folder / "images.parquet")
    refuses(r"no train\.parquet and test\.parquet.*found images\.parquet, valid", "parquet", "train", path=str(folder))
    write(folder / "test.parquet", pictures(2), [0, 1])
    write(folder / "train-00000-of-00002.parquet", pictures(2), [0, 1])
    refuses("1 train shards .* do not add up", "parquet", "train", path=str(folder))
    write(folder / "train.parquet", pictures(2), [0, 1])
    refuses("both train.parquet and train-00000-of-00002.parquet", "parquet", "train", path=str(folder))
    (folder / "train.parquet").unlink()
    write(folder / "train-part1.parquet", pictures(2), [0, 1])
    refuses("name shards train-00000-of-00002.parquet", "parquet", "train", path=str(folder))


def test_unknown_names():
    refuses("unknown data set 'mnist'; known: digits, cifar10, cifar100, parquet", "mnist", "train")
    refuses("'valid' is no split; known: train, test", "digits", "valid")


def test_a_folder_named_like_the_data_set_comes_first(folder):
    inner = folder / "parquet"
    write(inner / "train.parquet", pictures(2), [0, 1])
    write(inner / "test.parquet", pictures(2), [0, 1])
    assert locate("parquet", str(folder)).folder == inner
    assert len(read("parquet", "train", path=str(folder)).labels) == 2


# fingerprints


def test_fingerprint_follows_content_alone(folder, tmp_path_factory):
    first = fingerprint("parquet", str(folder))
    assert first.startswith("parquet@parquet:")
    assert len(first.removeprefix("parquet@parquet:")) == 12
    elsewhere = tmp_path_factory.mktemp("other") / "renamed"
    shutil.copytree(folder, elsewhere)
    os.utime(elsewhere / "train.parquet", (1, 1))
    (elsewhere / "notes.txt").write_text("not part of the data")
    assert fingerprint("parquet", str(elsewhere)) == first
    (elsewhere / "train.parquet").rename(elsewhere / "train-00000-of-00001.parquet")
    assert fingerprint("parquet", str(elsewhere)) == first


@pytest.mark.parametrize("name", ["train", "test"])
def test_one_flipped_bit_changes_the_fingerprint(folder, name):
    first = fingerprint("parquet", str(folder))
    data = bytearray((folder / f"{name}.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / f"{name}.parquet").write_bytes(bytes(data))
    assert fingerprint("parquet", str(folder)) != first


def test_swapped_splits_are_other_data(folder):
    first = fingerprint("parquet", str(folder))
    (folder / "train.parquet").rename(folder / "x")
    (folder / "test.parquet").rename(folder / "train.parquet")
    (folder / "x").rename(folder / "test.parquet")
    assert fingerprint("parquet", str(folder)) != first


def test_large_files_are_named_by_size_and_footer(folder, monkeypatch):
    monkeypatch.setattr(image_files, "LARGE_FILE", 100)
    monkeypatch.setattr(image_files, "TAIL", 64)
    first = fingerprint("parquet", str(folder))
    data = bytearray((folder / "train.parquet").read_bytes())
    data[10] ^= 1
    (folder / "train.parquet").write_bytes(bytes(data))
    assert fingerprint("parquet", str(folder)) == first
    write(folder / "train.parquet", pictures(11), [0, 1] * 5 + [1])
    assert fingerprint("parquet", str(folder)) != first


def test_importing_and_fingerprinting_load_neither_torch_nor_scikit_learn(folder):
    code = (
        "import sys; from stcnas_core import datasets as d;"
        "print(d.fingerprint('parquet', sys.argv[1]), d.fingerprint('digits'));"
        "d.read('parquet', 'train', path=sys.argv[1]);"
        "sys.exit(str({'torch', 'torchvision', 'sklearn'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.stdout.split() == [fingerprint("parquet", str(folder)), "digits@scikit-learn"]


# CIFAR


def write_torchvision(folder, monkeypatch, dataset="cifar10", rows=10):
    """Small files in torchvision's layout, whose checksums are then the published ones; returns them by split."""
    from torchvision import datasets as torchvision_datasets

    published = cifar.PUBLISHED[dataset]
    key = "labels" if dataset == "cifar10" else "fine_labels"
    (folder / published.folder).mkdir(parents=True)
    sums, splits = {}, {"train": [], "test": []}
    for seed, name in enumerate(published.checksums):
        if "meta" in name:
            entry = {"label_names": ["x"] * 10, "fine_label_names": ["x"] * 100}
        else:
            data = np.random.default_rng(seed).integers(0, 256, (rows, 3 * 32 * 32), dtype=np.uint8)
            labels = [(seed + row) % published.classes for row in range(rows)]
            entry = {"data": data, key: labels}
            splits["test" if "test" in name else "train"].append((data.reshape(-1, 3, 32, 32), labels))
        raw = pickle.dumps(entry)
        (folder / published.folder / name).write_bytes(raw)
        sums[name] = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(cifar, "PUBLISHED", {**cifar.PUBLISHED, dataset: replace(published, checksums=sums)})
    theirs = getattr(torchvision_datasets, published.torchvision)
    for split in ("train_list", "test_list"):
        monkeypatch.setattr(theirs, split, [[name, sums[name]] for name, _ in getattr(theirs, split)])
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": sums[theirs.meta["filename"]]})
    return splits


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_published_checksums_are_torchvision_s(dataset):
    from torchvision import datasets as torchvision_datasets

    ours = cifar.PUBLISHED[dataset]
    theirs = getattr(torchvision_datasets, ours.torchvision)
    files = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
    assert ours.folder == theirs.base_folder
    assert dict(ours.checksums) == dict(files)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
@pytest.mark.parametrize("inner", ["", "own"])
def test_torchvision_layout(tmp_path, monkeypatch, dataset, inner):
    splits = write_torchvision(tmp_path / (inner and dataset), monkeypatch, dataset)
    assert fingerprint(dataset, str(tmp_path)) == f"{dataset}@torchvision"
    for split in ("train", "test"):
        images = read(dataset, split, path=str(tmp_path))
        np.testing.assert_array_equal(images.images, np.concatenate([data for data, _ in splits[split]]))
        assert images.labels.tolist() == [label for _, labels in splits[split] for label in labels]
        assert (images.classes, images.flip) == (cifar.PUBLISHED[dataset].classes, True)
        assert (images.mean, images.std) == cifar.PUBLISHED[dataset].statistics
    few = read(dataset, "test", path=str(tmp_path), limit=4)
    assert few.labels.tolist() == splits["test"][0][1][:4]
    refuses(r"test split: 11 images asked for, there are 10", dataset, "test", path=str(tmp_path), limit=11)


def test_a_foreign_pickle_is_never_loaded(tmp_path, monkeypatch):
    write_torchvision(tmp_path, monkeypatch)
    marker = tmp_path / "ran"
    (tmp_path / "cifar-10-batches-py/data_batch_2").write_bytes(b"cos\nmkdir\n(V" + str(marker).encode() + b"\ntR.")
    for attempt in (
        lambda: read("cifar10", "train", path=str(tmp_path)),
        lambda: fingerprint("cifar10", str(tmp_path)),
    ):
        with pytest.raises(InputError, match=r"data_batch_2 is damaged, .*stcnas data fetch cifar10 --path"):
            attempt()
    assert not marker.exists()


def test_missing_cifar_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    message = refuses("cifar10: no data in", "cifar10", "train", path=str(tmp_path))
    assert f"stcnas data fetch cifar10 --path {tmp_path}" in message
    assert "train.parquet, test.parquet" in message
    message = refuses("cifar100: no data in", "cifar100", "train")
    assert f"stcnas data fetch cifar100 --path {tmp_path / '.cache/stcnas'}" in message
    (tmp_path / "cifar-10-batches-py").mkdir()
    refuses("data_batch_1 is missing; run `stcnas data fetch", "cifar10", "train", path=str(tmp_path))


def test_cifar_parquet_must_be_that_cifar(tmp_path):
    path = str(tmp_path)
    write(tmp_path / "test.parquet", pictures(3, 32), [0, 1, 9])
    write(tmp_path / "train.parquet", pictures(10, 32), range(10))
    images = read("cifar10", "test", path=path)
    assert (images.classes, images.mean) == (10, cifar.PUBLISHED["cifar10"].statistics[0])
    assert fingerprint("cifar10", path) == fingerprint("parquet", path).replace("parquet@", "cifar10@")
    refuses("0 to K - 1 without gaps, K = 100; no image has label 10", "cifar100", "train", path=path)
    write(tmp_path / "train.parquet", pictures(11, 32), range(11))
    refuses(r"train\.parquet, row 10: label 10, but cifar10 has the classes 0 to 9", "cifar10", "train", path=path)
    write(tmp_path / "train.parquet", pictures(10, 28), range(10))
    refuses("28x28 pixels, it must be 32x32", "cifar10", "train", path=path)


def test_cifar100_takes_fine_labels(tmp_path):
    for name in ("train", "test"):
        columns = {
            "img": pictures(100, 32),
            "fine_label": list(range(100)),
            "coarse_label": [0] * 100,
            "label": [0] * 100,
        }
        pq.write_table(pa.table(columns), tmp_path / f"{name}-00000-of-00001.parquet")
    assert read("cifar100", "test", path=str(tmp_path), limit=7).labels.tolist() == list(range(7))


# fetching


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive such as CIFAR-10's on a local web server; yields torchvision's class, which is told of both."""
    from torchvision import datasets as torchvision_datasets

    write_torchvision(tmp_path / "source", monkeypatch)
    file = tmp_path / "source" / "cifar-10-python.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        tar.add(tmp_path / "source" / "cifar-10-batches-py", "cifar-10-batches-py")
    theirs = torchvision_datasets.CIFAR10
    handler = partial(QuietHandler, directory=str(file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(theirs, "url", f"http://127.0.0.1:{server.server_address[1]}/{file.name}")
        monkeypatch.setattr(theirs, "tgz_md5", hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest())
        yield theirs
        server.shutdown()


def test_fetch_downloads_once_and_repairs(tmp_path, archive, monkeypatch):
    target = tmp_path / "new" / "data"
    assert fetch("cifar10", str(target)) == target
    assert fingerprint("cifar10", str(target)) == "cifar10@torchvision"
    assert [file.name for file in target.iterdir()] == ["cifar-10-batches-py"]
    (target / "cifar-10-batches-py/test_batch").write_bytes(b"")
    fetch("cifar10", str(target))
    assert fingerprint("cifar10", str(target)) == "cifar10@torchvision"
    assert [file.name for file in target.iterdir()] == ["cifar-10-batches-py"]
    monkeypatch.setattr(archive, "url", "http://127.0.0.1:9/nothing-listens-here")
    fetch("cifar10", str(target))


def test_fetch_that_fails_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    def unreachable(*args, **options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(InputError, match=r"cifar100: the download to .* failed \(.*Name or service not known.*network"):
        fetch("cifar100", str(tmp_path / "data"))
    assert list((tmp_path / "data").iterdir()) == []


def test_fetch_refuses_a_wrong_archive(tmp_path, archive, monkeypatch):
    monkeypatch.setattr(archive, "tgz_md5", "0" * 32)
    with pytest.raises(InputError, match=r"failed \(File not found or corrupted"):
        fetch("cifar10", str(tmp_path / "data"))
    assert list((tmp_path / "data").iterdir()) == []


def test_fetch_of_what_needs_none(tmp_path, folder):
    assert fetch("digits", str(tmp_path)) is None
    with pytest.raises(InputError, match="nothing to fetch"):
        fetch("parquet", str(folder))
    with pytest.raises(InputError, match="unknown data set"):
        fetch("svhn", str(tmp_path))
    write(tmp_path / "cifar10/train.parquet", pictures(10, 32), range(10))
    write(tmp_path / "cifar10/test.parquet", pictures(10, 32), range(10))
    assert fetch("cifar10", str(tmp_path)) == tmp_path / "cifar10"
    with pytest.raises(InputError, match="cannot be made a folder"):
        fetch("cifar10", str(folder / "train.parquet" / "x"))


# the real thing


@pytest.mark.skipif(not (SHARED / "cifar10" / "train.parquet").exists(), reason="no CIFAR-10 Parquet in shared/data")
def test_real_cifar10_parquet():
    train = read("cifar10", "train", path=str(SHARED), limit=100)
    assert train.images.shape == (100, 3, 32, 32)
    assert np.bincount(train.labels).tolist() == [10] * 10
    assert abs(train.images[:, 0].mean() / 255 - 0.4914) < 0.05
    assert fingerprint("cifar10", str(SHARED)).startswith("cifar10@parquet:")
    measured = read("parquet", "test", path=str(SHARED / "cifar10"), limit=10)
    assert measured.mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=0.005)
    assert measured.std == pytest.approx((0.2452, 0.2428, 0.2606), abs=0.005)
