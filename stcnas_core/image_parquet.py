"""Images and labels out of Parquet files, checked row by row; free of torch."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stcnas_core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGE_COLUMNS = ("image", "img")
LARGEST_SIDE = 1024
"""Side in pixels of the largest image read: whole sets are held in memory, so a larger one is refused."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_BATCH_ROWS = 1024


class ImageTable:
    """One split of an image data set: the rows of one or several Parquet files, in the order given.

    The image column is `image` or `img`, either encoded image files as binary or Hugging Face's struct with a field
    `bytes`; the label column is the first of `label_columns` that the file has. Rows are counted from 0 in each file.
    Opening reads the footers alone and raises InputError where a file is damaged or empty or lacks a column.
    """

    def __init__(self, files: Sequence[Path], label_columns: Sequence[str]) -> None:
        self.files = tuple(files)
        self._columns: list[tuple[str, str]] = []
        self._counts: list[int] = []
        for file in self.files:
            with _opened(file) as parquet:
                self._columns.append(_find_columns(file, parquet.schema_arrow, label_columns))
                self._counts.append(parquet.metadata.num_rows)
            if not self._counts[-1]:
                raise InputError(f"{file}: the file has no rows; write it again with at least one image")

    @property
    def rows(self) -> int:
        """Number of images in all files."""
        return sum(self._counts)

    def place(self, row: int) -> str:
        """Name the file and the row in it of row `row` of the split, as messages do."""
        for file, count in zip(self.files, self._counts, strict=True):
            if row < count:
                return f"{file}, row {row}"
            row -= count
        raise IndexError(row)

    def labels(self) -> np.ndarray:
        """All labels, (rows,) int64 and at least 0; raises InputError naming the file and row of the first bad one."""
        return np.concatenate([self._labels_of(file, column) for file, (_, column) in self._with_columns()])

    def images(self, rows: range, side: int | None) -> np.ndarray:
        """Decode the images of `rows`, (len(rows), side, side, 3) uint8; grey is repeated, an alpha channel ignored.

        `side` in pixels is what every image must have; None takes the first image's. Raises InputError naming the
        file and row of the first image that is damaged, not square, too large or of another size.
        """
        out: np.ndarray | None = None
        done = 0
        with _quiet():
            for where, encoded in self._encoded(rows):
                pixels = _decode(encoded, where, side)
                if out is None:
                    side = pixels.shape[0]
                    out = _allocate(len(rows), pixels.shape[0])
                out[done] = pixels
                done += 1
        assert out is not None
        assert done == len(rows)
        return out

    def group_sizes(self) -> list[tuple[int, int]]:
        """Rows, and bytes of the image column in memory, of every row group of all files in turn."""
        sizes: list[tuple[int, int]] = []
        for file, (image, _) in self._with_columns():
            with _opened(file) as parquet:
                for number in range(parquet.metadata.num_row_groups):
                    group = parquet.metadata.row_group(number)
                    columns = [group.column(at) for at in range(group.num_columns)]
                    held = [one.total_uncompressed_size for one in columns if one.path_in_schema.split(".")[0] == image]
                    sizes.append((group.num_rows, sum(held)))
        return sizes

    def group(self, number: int) -> list[memoryview]:
        """The encoded images of one row group, counted over all files; safe to call from several threads."""
        for file, (image, _) in self._with_columns():
            with _opened(file) as parquet:
                if number >= parquet.metadata.num_row_groups:
                    number -= parquet.metadata.num_row_groups
                    continue
                first = sum(parquet.metadata.row_group(before).num_rows for before in range(number))
                column = parquet.read_row_group(number, columns=[image]).column(0).combine_chunks()
            return [data for _, data in _pick(column, range(len(column)), file, image, first)]
        raise IndexError(number)

    def _with_columns(self) -> Iterator[tuple[Path, tuple[str, str]]]:
        return zip(self.files, self._columns, strict=True)

    def _labels_of(self, file: Path, column: str) -> np.ndarray:
        import pyarrow as pa

        with _opened(file) as parquet:
            found = parquet.read(columns=[column]).column(0)
        if found.null_count:
            row = int(np.flatnonzero(found.is_null().to_numpy())[0])
            raise InputError(f"{file}, row {row}: {column} is missing (null); give every image a label or drop the row")
        try:
            labels = found.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:
            raise InputError(f"{file}: {column} holds numbers beyond 64 bits; labels must be 0, 1, 2, ...") from None
        if labels.min() < 0:
            row = int(np.flatnonzero(labels < 0)[0])
            raise InputError(f"{file}, row {row}: {column} is {labels[row]}; labels must be 0, 1, 2, ...")
        return labels

    def _encoded(self, rows: range) -> Iterator[tuple[str, memoryview]]:
        """The encoded images of `rows` with their place; stops reading behind the last of them."""
        start = 0
        for file, (column, _) in self._with_columns():
            row = 0
            with _opened(file) as parquet:
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=[column]):
                    if start >= rows.stop:
                        return
                    first = max(rows.start - start, (rows.start - start) % rows.step)
                    picked = range(first, min(batch.num_rows, rows.stop - start), rows.step)
                    yield from _pick(batch.column(0), picked, file, column, row)
                    start += batch.num_rows
                    row += batch.num_rows


@contextmanager
def _opened(file: Path) -> Iterator["pq.ParquetFile"]:
    """An open Parquet file; whatever pyarrow raises inside becomes an InputError that names the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            yield parquet
    except FileNotFoundError:
        raise InputError(f"{file}: the file is missing; put it back, or point data.path elsewhere") from None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(
            f"{file}: not readable as Parquet, or damaged ({reason}); copy or write the file again"
        ) from error


def _find_columns(file: Path, schema: "pa.Schema", label_columns: Sequence[str]) -> tuple[str, str]:
    import pyarrow as pa

    image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    label = next((name for name in label_columns if name in schema.names), None)
    for what, column, names in (("image", image, IMAGE_COLUMNS), ("label", label, label_columns)):
        if column is None:
            raise InputError(
                f"{file}: no {what} column; it must be called {' or '.join(names)}, "
                f"the file has: {', '.join(schema.names) or 'no column'}"
            )
    assert image is not None
    assert label is not None
    for column in (image, label):
        if schema.names.count(column) > 1:
            raise InputError(f"{file}: two columns are called {column}; keep one")
    kind: Any = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(
            f"{file}: column {image} is of type {schema.field(image).type}; "
            "it must hold encoded images as binary, or as a struct with a binary field 'bytes'"
        )
    kind = schema.field(label).type
    if not pa.types.is_integer(kind):
        raise InputError(f"{file}: column {label} is of type {kind}; labels must be integers 0, 1, 2, ...")
    return image, label


def _pick(array: Any, picked: range, file: Path, column: str, first_row: int) -> Iterator[tuple[str, memoryview]]:
    """The `picked` entries of one batch as views into Arrow's own memory."""
    import pyarrow as pa

    what = column
    if pa.types.is_struct(array.type):
        array = array.flatten()[array.type.get_field_index("bytes")]
        what = f"{column}.bytes"
    array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1].tolist()
    view = memoryview(data if data is not None else b"")
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    for index in picked:
        where = f"{file}, row {first_row + index}"
        if missing is not None and missing[index]:
            raise InputError(f"{where}: {what} is missing (null); store the image file's bytes or drop the row")
        yield where, view[bounds[index] : bounds[index + 1]]


def _decode(encoded: memoryview, where: str, side: int | None) -> np.ndarray:
    from PIL import Image

    # PIL's parsers raise whatever a damaged file leads them to (OSError, SyntaxError, struct.error, ...).
    try:
        image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise InputError(f"{where}: the image is far too large; the largest side read is {LARGEST_SIDE:,}") from None
    except Exception:
        raise InputError(
            f"{where}: {len(encoded):,} bytes that are no image in {', '.join(_FORMATS)}; "
            "replace the image or drop the row"
        ) from None
    width, height = image.size
    if side is not None and (width, height) != (side, side):
        raise InputError(
            f"{where}: the image is {width}x{height} pixels, it must be {side}x{side} like the others; scale or drop it"
        )
    if width != height or not 2 <= width <= LARGEST_SIDE:
        raise InputError(
            f"{where}: the image is {width}x{height} pixels; images must be square with a side of 2 to {LARGEST_SIDE:,}"
        )
    if image.mode not in _MODES:
        raise InputError(f"{where}: pixels of PIL mode {image.mode}; store the image as 8-bit grey or RGB")
    try:
        raw = (image if image.mode == "RGB" else image.convert("RGB")).tobytes()
    except Exception as error:
        raise InputError(f"{where}: damaged image ({str(error)[:100]}); replace it or drop the row") from None
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)


@contextmanager
def _quiet() -> Iterator[None]:
    """PIL's remarks on odd files are not the user's concern; that images are too large is checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _allocate(count: int, side: int) -> np.ndarray:
    try:
        return np.empty((count, side, side, 3), np.uint8)
    except MemoryError:
        size = count * side * side * 3 / 2**30
        raise InputError(
            f"{count:,} images of {side}x{side} pixels need {size:,.1f} GiB of memory; "
            "read fewer (train_images, test_images)"
        ) from None
