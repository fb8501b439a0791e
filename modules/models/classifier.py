"""An ordinary classifier: the shortest complete trainer, and the baseline of `VIB.py`."""

from torch import Tensor
from torch.optim import Adam
from torch.utils.data import DataLoader

from jade.trainer import Trainer


class ClassifierTrainer(Trainer):
    """Learns to tell the label of a picture by minimising the cross-entropy."""

    def initialize(self, layers: list[int], lr: float, batch_size: int, num_workers: int = 0) -> None:
        """Create the network, the optimizer and the loader of the training data.

        Args:
            layers: widths of the hidden layers.
            lr: learning rate of Adam.
            batch_size: pictures in a training step.
            num_workers: processes that load data; 0 loads in the training process.
        """
        self.classifier = self.instantiate_architecture("Classifier", layers=layers)
        self.opt = Adam(self.classifier.parameters(), lr=lr)

        self.add_attribute_to_store("classifier")
        self.add_attribute_to_store("opt")

        self.train_loader = DataLoader(
            self.datasets["train"], batch_size=batch_size, num_workers=num_workers, shuffle=True
        )

    def train_step(self, data: dict[str, Tensor]) -> None:
        """Take one step of Adam on pictures `data['x']` and their classes `data['y']`."""
        cross_entropy = -self.classifier(data["x"]).log_prob(data["y"]).mean()
        self.add_loss_item("Cross Entropy", cross_entropy)

        self.opt.zero_grad()
        cross_entropy.backward()
        self.opt.step()

    def predict(self, x: Tensor, sample: bool = False) -> Tensor:
        """Return the log-probability of each class, `[batch, classes]`.

        Args:
            x: pictures, `[batch, channels, height, width]`.
            sample: here for the evaluations, which ask every trainer in the same words; nothing in
                this network is random.
        """
        return self.classifier(x).logits
