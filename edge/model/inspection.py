"""What a model file says of itself, what is inside, and whether it gives the right answers on this device.

In:  a `.tflite` file, with our card or from elsewhere.
Out: Inspection, with a page of text for a person and plain values for JSON.
"""

from __future__ import annotations

import gzip
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.base.formats import LONGEST_LIST, plain, strange
from edge.base.text import escaped
from edge.contract.rejection import PROBABILITY, Rejection
from edge.errors import ModelError
from edge.model.card import Accuracy, Calibration, ModelCard, OtherThings, Share, Unknown, read_model
from edge.model.classifier import Classifier
from edge.model.foreign import ForeignModel, read_foreign
from edge.model.golden import TOLERANCE
from edge.model.interpreter import runtime_version
from edge.model.verify import Verdict
from edge.tflite.anatomy import Anatomy, Layer, Tensor, dissect
from edge.tflite.runtimes import least_runtimes

SHOWN_LABELS = 12
INDENT, COLUMN = "  ", 15  # of a page, in characters


@dataclass(frozen=True)
class Inspection:
    """Everything that is known of one model file."""

    path: Path
    bytes: int  # of the whole file
    gzip_bytes: int
    card: ModelCard | None  # None: from elsewhere
    foreign: ForeignModel | None  # None: ours
    anatomy: Anatomy
    minimum_runtime: dict[str, str]  # package -> oldest version known to run it
    runtime: str  # that of this device
    verdicts: tuple[Verdict, ...]  # of the golden cases
    trouble: str | None  # why it must not be used here, in one line

    @property
    def labels(self) -> tuple[str, ...]:
        if self.card:
            return self.card.labels
        return self.foreign.labels if self.foreign else ()

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and None, for `json.dumps`."""
        anatomy = asdict(self.anatomy)
        metadata: dict[str, bytes] = anatomy.pop("metadata")
        return {
            "model": str(self.path),
            "bytes": self.bytes,
            "gzip_bytes": self.gzip_bytes,
            "card": plain(self.card) if self.card else None,
            "stranger": asdict(self.foreign) if self.foreign else None,
            **anatomy,
            "metadata": {name: len(content) for name, content in metadata.items()},
            "multiply_adds": self.anatomy.multiply_adds,
            "sparsity": self.anatomy.sparsity,
            "minimum_runtime": self.minimum_runtime,
            "runtime": self.runtime,
            "tolerance": TOLERANCE,
            "verdicts": [plain(verdict) for verdict in self.verdicts],
            "trouble": self.trouble,
        }

    def text(self, *, layers: bool = False) -> str:
        """A page; with `layers` a line for each layer as well."""
        sections = [self._head(), _borders(self.anatomy), self._computation(), self._proof()]
        if layers:
            sections.insert(3, _layers(self.anatomy.layers))
        return "\n\n".join("\n".join(section) for section in sections)

    def _head(self) -> list[str]:
        kind = self.card.variant if self.card else "from elsewhere, without a card of Flora"
        lines = [f"{self.path}: {escaped(kind)}", *_rows([("labels", _listed(self.labels))])]
        if self.card:
            return [*lines, *_rows(_card_rows(self.card))]
        return [*lines, *(_rows(_foreign_rows(self.foreign)) if self.foreign else [])]

    def _computation(self) -> list[str]:
        anatomy = self.anatomy
        operators = [f"{escaped(each.name)} v{each.version} x{each.count}" for each in anatomy.operators]
        least = [f"{package} {version}" for package, version in sorted(self.minimum_runtime.items())]
        return [
            "what it computes",
            *_rows(
                [
                    ("operators", ", ".join(operators)),
                    ("multiply-adds", f"{anatomy.multiply_adds / 1e6:.1f} million for one picture"),
                    ("parameters", f"{anatomy.parameters / 1e6:.2f} million, {anatomy.sparsity:.1%} of kernels zero"),
                    ("size", f"{self.bytes} bytes, {self.gzip_bytes} with gzip"),
                    ("runtime", f"{' or '.join(least) or 'none known'} at least; here {self.runtime}"),
                ]
            ),
        ]

    def _proof(self) -> list[str]:
        lines = [f"golden cases (at most {TOLERANCE:.3f} apart from the exporter's answers)"] if self.verdicts else []
        lines += [f"{INDENT}{_verdict(number, each)}" for number, each in enumerate(self.verdicts, 1)]
        return [*lines, f"verdict: {self._verdict()}"]

    def _verdict(self) -> str:
        if self.trouble:
            return "FAILED, do not use it on this device"
        if self.verdicts:
            return f"ok, all {len(self.verdicts)} golden cases give the right answers on this device"
        return "no golden cases: it runs, but its answers cannot be proved here"


def inspect_model(path: str | Path) -> Inspection:
    """Read a model file, take it apart and try it out.

    Raises ModelError for a file that cannot be read; one that can but fails here has `trouble`.
    """
    file = read_model(path)
    name = str(file.path)
    anatomy = dissect(file.flatbuffer, name)
    foreign = None if file.card else read_foreign(name, file.flatbuffer, file.entries)
    verdicts, trouble = _tried(file.path)
    data = file.path.read_bytes()
    return Inspection(
        file.path,
        len(data),
        len(gzip.compress(data)),
        file.card,
        foreign,
        anatomy,
        least_runtimes(anatomy.operators),
        runtime_version(),
        verdicts,
        trouble,
    )


def _tried(path: Path) -> tuple[tuple[Verdict, ...], str | None]:
    """The verdict on each golden case, and what is wrong in one line."""
    verdicts: tuple[Verdict, ...] = ()
    try:
        classify = Classifier(path)
        verdicts = classify.verify()
        if not verdicts:  # any answer shows that it runs
            classify(np.full((classify.size, classify.size, 3), 128, np.uint8))
        return verdicts, classify.trouble(verdicts)
    except ModelError as error:
        return verdicts, str(error)


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    return [f"{INDENT}{name:<{COLUMN}}{value}" for name, value in rows if value]


def _card_rows(card: ModelCard) -> list[tuple[str, str]]:
    tools = ", ".join(f"{name} {version}" for name, version in sorted(card.tools.items()))
    besides = escaped(", ".join(strange(card)))[:LONGEST_LIST]
    return [
        ("accuracy", _accuracy(card.accuracy)),
        ("unquantised", _accuracy(card.float_accuracy)),
        ("calibration", _calibration(card.calibration)),
        ("unknown", _rejection(card.rejection)),
        *_unknown_rows(card.unknown),
        ("pictures", f"{card.colour_order}, {card.geometry}, {card.input_size} px"),
        ("licence", escaped(card.licence)),
        ("attribution", escaped(card.attribution)),
        ("made", f"{escaped(card.created)} with {escaped(tools)}"),
        ("besides", besides and f"{besides}: not known to this Flora, left as it is"),
    ]


def _unknown_rows(found: Unknown | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    named = f" ({escaped(', '.join(found.sources))})" if found.sources else ""
    rows = [("learned from", f"{found.pictures} pictures of other things{named}, {found.made} made of nothing")]
    if found.known:
        rows.append(("known photos", f"{_share(found.known)} called unknown"))
    rows += [("other things", f"{escaped(one.name)}: {_named(one)}") for one in found.measured]
    return rows if found.measured else [*rows, ("other things", "not measured")]


def _named(found: OtherThings) -> str:
    auroc = "" if found.auroc is None else f"; AUROC {found.auroc:.3f}"
    return f"{_share(found.named)} named, {found.named_surely.value:.1%} with 0.9 and more{auroc}"


def _share(found: Share) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}) of {found.pictures}"


def _accuracy(found: Accuracy | None) -> str:
    if found is None:
        return "not measured"
    return f"top-1 {found.top1:.1%} ({found.low:.1%} to {found.high:.1%}) of {found.photos} held-out photos"


def _calibration(found: Calibration | None) -> str:
    if found is None:
        return "none, probabilities are as they came out"
    residual = f", residual of {found.components} directions" if found.components else ""
    return (
        f"error {found.ece_after:.3f} (before: {found.ece_before:.3f}) on {found.photos} held-out photos, "
        f"temperature {found.temperature:.3f}{residual}"
    )


def _rejection(rule: Rejection | None) -> str:
    if rule is None:
        return "never the answer: no threshold"
    score = "highest probability" if rule.score == PROBABILITY else rule.score
    kept = f", which keeps {rule.coverage:.0%} of known photos" if rule.coverage is not None else ""
    return f"the answer when the {score} is below {rule.threshold:.3f}{kept}"


def _foreign_rows(foreign: ForeignModel) -> list[tuple[str, str]]:
    words = foreign.words
    told = [(name, escaped(getattr(words, name))) for name in ("name", "version", "description", "author", "licence")]
    return [
        *told,
        *(("missing", escaped(line)) for line in foreign.missing),
        *(("assumed", escaped(line)) for line in foreign.assumed),
    ]


def _borders(anatomy: Anatomy) -> list[str]:
    rows = [("in", tensor) for tensor in anatomy.inputs] + [("out", tensor) for tensor in anatomy.outputs]
    return ["inputs and outputs", *_rows([(way, _tensor(tensor)) for way, tensor in rows])]


def _tensor(tensor: Tensor) -> str:
    scale = "" if tensor.scale is None else f", scale {tensor.scale:.6f}, zero point {tensor.zero_point}"
    return f"{escaped(tensor.name)}: {tensor.dtype} {list(tensor.shape)}{scale}"


def _layers(layers: tuple[Layer, ...]) -> list[str]:
    lines = ["layers", f"{INDENT}multiply-adds  parameters   zero  kernel"]
    return lines + [
        f"{INDENT}{each.multiply_adds:>13}  {each.parameters:>10}  {each.zeros / max(1, each.parameters):>5.1%}  "
        f"{each.operator} {list(each.kernel)} {escaped(each.name)}"
        for each in layers
    ]


def _verdict(number: int, verdict: Verdict) -> str:
    case = verdict.case
    size = f"{case.width}x{case.height}"
    outcome = "ok" if verdict.passed else "FAILED"
    return f"{number:>2}  {case.pattern:<8} {size:<10} {verdict.difference:.3f} ({escaped(verdict.label)})  {outcome}"


def _listed(labels: tuple[str, ...]) -> str:
    shown = ", ".join(escaped(label) for label in labels[:SHOWN_LABELS])
    rest = len(labels) - SHOWN_LABELS
    return f"{len(labels)}: {shown}" + (f" and {rest} more" if rest > 0 else "")


