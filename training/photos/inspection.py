"""What is wrong with a folder of photos, before anything is trained. Needs no TensorFlow.

In:  a folder of class folders.
Out: PhotoInspection, with a page of text for a person and plain values for JSON.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.base.progress import Bar, no_bar
from edge.contract.rejection import UNKNOWN
from edge.photos.manifest import SPLITS
from training.config import TrainConfig
from training.photos.split import imbalance_warning
from training.photos.survey import Survey, find_photos

ENOUGH = 10  # photos of each class, as find_photos asks by default
SHOWN = 20  # files that are left out


@dataclass(frozen=True)
class PhotoInspection:
    """What training would find in a folder of photos."""

    survey: Survey

    @property
    def counts(self) -> dict[str, int]:
        """Usable photos of each class; labels sorted."""
        number = Counter(photo.label for photo in self.survey.photos)
        return {label: number[label] for label in self.survey.labels}

    @property
    def trouble(self) -> str | None:
        """Why nothing can be trained on these photos, in one line."""
        counts = self.counts.items()  # of pictures of none of the classes whatever there is helps
        short = [f"{label} ({number})" for label, number in counts if number < ENOUGH and label != UNKNOWN]
        if not short:
            return None
        return (
            f"{self.survey.root}: too few usable photos in {', '.join(short)}; expected at least {ENOUGH} different "
            "ones in each class; add photos, or take those folders out"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What training can live with, but a person may want to change; a line each."""
        size = TrainConfig.size
        small = sum(min(photo.width, photo.height) < size for photo in self.survey.photos)
        found = [imbalance_warning(self.survey.photos)]
        if small:
            found.append(f"{small} photos are less than {size} px wide or high, and training enlarges them")
        if self.survey.contradictions:
            found.append(
                f"{len(self.survey.contradictions)} pictures are filed under several classes: all copies are left out, "
                "for only a person knows which class is right"
            )
        return tuple(line for line in found if line)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and None, for `json.dumps`."""
        return {
            "photos": str(self.survey.root),
            "usable": len(self.survey.photos),
            "classes": self.counts,
            "train_only": self.survey.train_only,
            "left_out": [{"path": path, "reason": reason} for path, reason in self.survey.left_out],
            "duplicates": [asdict(copy) for copy in self.survey.duplicates],
            "contradictions": [asdict(odd) for odd in self.survey.contradictions],
            "warnings": self.warnings,
            "trouble": self.trouble,
        }

    def text(self) -> str:
        """A page for a person."""
        return "\n".join([*self._classes(), *self._left_out(), *(f"warning: {line}" for line in self.warnings)])

    def _classes(self) -> list[str]:
        width = max(map(len, self.counts))
        rows = [f"  {label:<{width}} {number:>7}" for label, number in self.counts.items()]
        total = f"{len(self.survey.photos)} usable photos in {len(self.counts)} classes"
        kept = self.survey.train_only
        note = [f"  {kept} of them were kept by a device: they are for training only"] if kept else []
        return [f"{self.survey.root}: {total}", *rows, *note]

    def _left_out(self) -> list[str]:
        files = self.survey.left_out
        rows = [f"  {path}: {reason}" for path, reason in files[:SHOWN]]
        more = [f"  and {len(files) - SHOWN} more; all of them: --json"] if len(files) > SHOWN else []
        return [f"left out: {len(files) or 'nothing'}", *rows, *more]


def inspect_photos(root: str | Path, bar: Bar = no_bar) -> PhotoInspection:
    """Check every photo of a folder. Raises PhotoError where there are no two classes with a photo for each split."""
    return PhotoInspection(find_photos(root, min_per_class=len(SPLITS), bar=bar))
