"""The handwritten digits that come with scikit-learn: learned in seconds, nothing to download."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

TEST_SHARE = 0.2
VALID_SHARE = 0.2  # of what the test set leaves: 16 % of all

# The split belongs to the data, not to the run: under another seed of the run the test pictures
# must stay the same, or a sweep over seeds would train on what it is tested on elsewhere.
SPLIT_SEED = 0

SPLITS = {
    "train": ("train",),
    "valid": ("valid",),
    "train+valid": ("train", "valid"),
    "test": ("test",),
}


@lru_cache(maxsize=1)
def load_pictures() -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures, `[1797, 8, 8]` with values from 0 to 16, and their classes, `[1797]`.

    Read once in a process: the splits share them.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    try:
        # Optional: only this data set needs scikit-learn.
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn, which is not installed: pip install scikit-learn"
        ) from error
    digits = load_digits()
    return digits.images, digits.target


def split_by_class(classes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the positions of 'train', 'valid' and 'test', with the same share of each class.

    Positions are in ascending order, so that the first pictures of a split are of different
    classes.
    """
    # RandomState is numpy's one generator whose numbers are promised never to change between
    # versions.
    shuffled = np.random.RandomState(SPLIT_SEED).permutation(len(classes))
    parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for label in np.unique(classes):
        members = shuffled[classes[shuffled] == label]
        n_test = round(TEST_SHARE * len(members))
        n_valid = round(VALID_SHARE * (len(members) - n_test))
        parts["test"] += members[:n_test].tolist()
        parts["valid"] += members[n_test : n_test + n_valid].tolist()
        parts["train"] += members[n_test + n_valid :].tolist()
    return {name: np.sort(positions) for name, positions in parts.items()}


class Digits(Dataset):
    """Grey 8x8 pictures of handwritten digits, as items `{'x': picture, 'y': class}`."""

    def __init__(self, split: str) -> None:
        """Prepare the tensors of one split.

        Args:
            split: 'train' (1151 pictures), 'valid' (287), 'train+valid' or 'test' (359).

        Raises:
            ValueError: if the split is unknown.
            ImportError: if scikit-learn is not installed.
        """
        if split not in SPLITS:
            raise ValueError(f"Unknown split {split!r} of the digits. Known: {', '.join(SPLITS)}")
        pictures, classes = load_pictures()
        parts = split_by_class(classes)
        positions = np.sort(np.concatenate([parts[name] for name in SPLITS[split]]))

        # [pictures, channel, height, width], from 0..16 to 0..1
        self.x = torch.tensor(pictures[positions], dtype=torch.float32).unsqueeze(1) / 16
        self.y = torch.tensor(classes[positions], dtype=torch.int64)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.y)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        """Return `x`, `[1, 8, 8]` with values in [0, 1], and `y`, the digit as a 0-d integer."""
        return {"x": self.x[item], "y": self.y[item]}
