"""MNIST with a validation set, described by plain values, as a data configuration needs it."""

from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets import MNIST

N_TRAIN = 50_000  # of the 60,000 training pictures; the others are for validation

SPLITS = {
    "train": slice(None, N_TRAIN),
    "valid": slice(N_TRAIN, None),
    "train+valid": slice(None),
    "test": slice(None),
}


class MNISTWrapper(Dataset):
    """Grey 28x28 pictures of handwritten digits, as items `{'x': picture, 'y': class}`."""

    def __init__(self, root: str, split: str, download: bool = False) -> None:
        """Read one split into memory.

        Args:
            root: folder that holds, or will hold, a folder `MNIST` with the files.
            split: 'train' (the first 50,000 training pictures), 'valid' (the other 10,000),
                'train+valid' or 'test'.
            download: fetch the files if they are not there.

        Raises:
            ValueError: if the split is unknown.
        """
        if split not in SPLITS:
            raise ValueError(f"Unknown split {split!r} of MNIST. Known: {', '.join(SPLITS)}")
        files = MNIST(root=root, train=split != "test", download=download)
        rows = SPLITS[split]

        # All pictures become numbers at once, 188 MB for the whole training set. The usual way, the
        # ToTensor transform of torchvision, goes through a PIL image for each item in each epoch
        # and takes longer than a small network's step.
        self.x = files.data[rows].unsqueeze(1).float() / 255
        self.y = files.targets[rows]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.y)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        """Return `x`, `[1, 28, 28]` with values in [0, 1], and `y`, the digit as a 0-d integer."""
        return {"x": self.x[item], "y": self.y[item]}
