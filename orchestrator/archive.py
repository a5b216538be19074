"""What a checkpoint's archive may hold, checked before PyTorch reads it.

`torch.load(weights_only=True)` runs nothing of an archive's, but lets it ask for memory that it does not fill (a
`bytearray` of any size, compressed entries, PyTorch's older formats). An archive of ours holds stored entries, and its
pickle names nothing but tensors and ordered dictionaries.
"""

import io
import pickletools
import warnings
import zipfile

_FIRST = b"PK\x03\x04"
_NAMES = frozenset({"collections OrderedDict", "torch._utils _rebuild_tensor_v2"})
_UNKNOWN = frozenset({"INST", "OBJ", "STACK_GLOBAL", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "BYTEARRAY8"})


def check_archive(data: bytes) -> None:
    """Raise ValueError unless `data` is an archive of torch.save that is as large as what it holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if min((entry.header_offset for entry in entries), default=1) or not data.startswith(_FIRST):
                # PyTorch takes such a file for one of its older formats, and reads what stands before the archive.
                raise ValueError("its archive does not begin with the first byte")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("its archive is compressed")
            if sum(entry.file_size for entry in entries) > len(data):
                raise ValueError("its archive claims more than it holds")
            pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
            if len(pickles) != 1:
                raise ValueError("its archive is not one of torch.save")
            pickled = archive.read(pickles[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"its archive cannot be read: {error}") from None
    try:
        with warnings.catch_warnings(action="error"):
            for code, argument, _ in pickletools.genops(pickled):
                if code.name in _UNKNOWN or (code.name == "GLOBAL" and not _expected(str(argument))):
                    raise ValueError(f"its archive asks for {str(argument)[:60]!r}, which no checkpoint of ours does")
    except Warning as warning:
        raise ValueError(f"its pickle cannot be read: {warning}") from None


def _expected(name: str) -> bool:
    return name in _NAMES or (name.startswith("torch ") and name.endswith("Storage") and name.count(" ") == 1)
