"""Inputs to start from: what is right, and what is known to have been or to be dangerous somewhere."""

import io
import struct
import zipfile
from pathlib import Path

import torch
from targets import SEPARATOR, archive

from orchestrator.spec import ANY_GENOTYPE
from orchestrator.studies.suggestions import encode
from stcnas_core.genotype import Genotype

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"

_SMALL = b"name: s\nsearch: {space: nasbench201, epochs: 2}\ngrid: {js_lambda: [0, 1, 0->2]}\nseeds: [0, 1]\n"

_OPTUNA = (
    b"optuna:\n  suggestions: 4\n  objectives: [{metric: derived_accuracy, over: bound}, {metric: macs}]\n"
    b"  space: {alpha_lr: {low: 1.0e-4, high: 1.0e-2, log: true}, js_scope: [node, edge], warmup_epochs: [null, 1]}\n"
)

_BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (b, b, b - 1, b - 1) for b in range(ord("b"), ord("z")))

SWEEP: tuple[bytes, ...] = (
    _SMALL,
    _SMALL + b"retrain: {epochs: 3, seeds: [0, 1], auxiliary_weight: 0}\nresources: {search: {cpus: 2, gpus: auto}}\n",
    _SMALL + SEPARATOR + SEPARATOR + b"search.epochs=3" + SEPARATOR + b"grid.noise=[0.1, 0.2]",
    b"name: s\nvariants: {a: {}, b: {noise: 0}}\nprofiles: {p: {seeds: [3]}}\n" + SEPARATOR + b"p",
    _SMALL + b"lookup: {path: /t.parquet, columns: {cifar10_test: top1}}\n",
    b"name: s\ngenotypes: [DARTS_V2, PDARTS]\nretrain: {auxiliary_weight: 0.0, seeds: [0, 1]}\n",
    b"name: s\ngenotypes: {a: DARTS_V1, ../b: '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'}\nlookup: {}\n",
    _SMALL.replace(b"grid: {js_lambda: [0, 1, 0->2]}", _OPTUNA),
    b"name: s\n" + _OPTUNA + SEPARATOR + SEPARATOR + b"optuna.prune={after: 1, keep: .nan}",
    b"name: s\n" + _OPTUNA + SEPARATOR + SEPARATOR + b"optuna.space.alpha_lr={low: 0, high: 1e999, log: true}",
    b"name: ../../etc\n",
    b"name: s\nvariants: {../../x: {}, '..': {}, 'a/../b': {noise: 0}}\n",
    b"name: s\nname: t\n",
    _BOMB,
    b"name: !!python/object/apply:os.system ['true']\n",
    b"name: s\nseeds: [" + b"[" * 3000 + b"]" * 3000 + b"]\n",
    b"name: s\ngrid: {lr: [" + b", ".join(b"%d" % i for i in range(1, 400)) + b"]}\nseeds: [0, 1, 2]\n",
    b"name: s\nseeds: [9223372036854775808, 1e999, -1, .nan, 0x10]\n",
    b'name: s\ntitle: "\\e[2J\\u202e"\n',
    b'name: s\ndata: {path: "\\0"}\n',
    b"\xff\xfe\x00",
    *(path.read_bytes() for path in sorted(SWEEPS.glob("*.yaml"))),
)

GENOTYPE: tuple[bytes, ...] = (
    *(text.encode() for text in ANY_GENOTYPE.values()),
    *(Genotype.parse(text).to_json().encode() for text in ANY_GENOTYPE.values()),
    b"__import__('os').system('true')",
    b"Genotype(normal=[('sep_conv_3x3', 0)] * 10**9, normal_concat=[2])",
    b'{"space": "\\ud800", "normal": ' + b"[" * 3000,
    b"|" + b"none~0|" * 1000,
)


def _saved(state: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


def pickled(state: object) -> bytes:
    """The pickle inside an archive of torch.save."""
    with zipfile.ZipFile(io.BytesIO(_saved(state))) as file:
        return file.read("archive/data.pkl")


_SUGGESTION = encode({"number": 1, "params": {"noise": 0.1, "alpha_betas": [0.5, 0.9]}, "first": 2})

STUDY: tuple[bytes, ...] = (
    _SUGGESTION,
    _SUGGESTION.replace(b"0.1", b"0.2"),
    encode({"number": 1, "goes_on": True, "why": "first"}),
    b"s" + b'{"version": 1, "number": 1, "params": {"noise": 1e999}}',
    b"s" + b'{"version": 1, "number": 1, "params": {"dataset": "../../etc"}}',
    b"s" + b'{"version": 1, "number": [], "params": []}',
    b"s" + b"[" * 3000,
    b"s" + b'{"version": "1", "number": 1}',
)

STATE = {"run": {"model": {"w": torch.zeros(3)}, "epoch": 1}, "epochs": "[]", "alphas": "[]", "peak_memory": 0}
"""As large as what `archive` holds."""

HOSTILE_PICKLES: dict[str, bytes] = {
    "runs a command": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "evaluates": b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
    "takes 2 GB": b"\x80\x02cbuiltins\nbytearray\nJ" + struct.pack("<i", 2 * 10**9) + b"\x85R.",
    "a tensor beyond its storage": pickled(STATE).replace(b"K\x03\x85", b"J" + struct.pack("<i", 2**31 - 1) + b"\x85"),
    "endless nesting": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "no plain dictionary": b"\x80\x02ccollections\nOrderedDict\n)R.",
    "nothing": b"",
}

PRECEDED = (HOSTILE_PICKLES["takes 2 GB"], _saved(STATE, _use_new_zipfile_serialization=False), b"\n")
"""What may stand before an archive, which whoever looks for the archive's end does not see."""

CHECKPOINT: tuple[bytes, ...] = (
    b"p" + pickled(STATE),
    *(b"s" + before + archive(pickled(STATE)) for before in PRECEDED),
    b"s" + _saved(STATE),
    b"s" + _saved(STATE, _use_new_zipfile_serialization=False),
    b"s" + archive(pickled(STATE), zipfile.ZIP_DEFLATED),
    b"stcnas checkpoint 1\n",
    *(b"p" + content for content in HOSTILE_PICKLES.values()),
)

SEEDS: dict[str, tuple[bytes, ...]] = {"sweep": SWEEP, "genotype": GENOTYPE, "checkpoint": CHECKPOINT, "study": STUDY}
