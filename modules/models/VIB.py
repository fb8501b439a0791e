"""The Deep Variational Information Bottleneck, https://arxiv.org/abs/1612.00410.

The same encoder and prior as in `VAE.py`, with a classifier in the place of the decoder: the
representation is asked to tell the label and as little else about the picture as possible.
"""

from torch import Tensor
from torch.distributions import kl_divergence
from torch.optim import Adam
from torch.utils.data import DataLoader

from jade.trainer import Trainer


class VIBTrainer(Trainer):
    """Learns a noisy representation from which the label can be told."""

    def initialize(
        self,
        z_dim: int,
        encoder_layers: list[int],
        classifier_layers: list[int],
        beta: float,
        lr: float,
        batch_size: int,
        num_workers: int = 0,
    ) -> None:
        """Create the networks, the optimizer and the loader of the training data.

        Args:
            z_dim: number of dimensions of the representation.
            encoder_layers: widths of the hidden layers from the picture to the representation.
            classifier_layers: widths of the hidden layers from the representation to the label;
                none for a linear one.
            beta: price of a nat of information about the picture, at least 0. At 0 this is an
                ordinary network, whose noise is free to vanish; near 1 nothing is worth its price
                and the representation is empty. Between them is a wide range that generalizes.
            lr: learning rate of Adam.
            batch_size: pictures in a training step.
            num_workers: processes that load data; 0 loads in the training process.
        """
        self.beta = beta

        self.encoder = self.instantiate_architecture("Encoder", z_dim=z_dim, layers=encoder_layers)
        self.label_classifier = self.instantiate_architecture(
            "LabelClassifier", z_dim=z_dim, layers=classifier_layers
        )
        self.prior = self.instantiate_architecture("Prior", z_dim=z_dim)

        self.opt = Adam(
            [
                {"params": self.encoder.parameters()},
                {"params": self.label_classifier.parameters()},
            ],
            lr=lr,
        )

        self.add_attribute_to_store("encoder")
        self.add_attribute_to_store("label_classifier")
        self.add_attribute_to_store("opt")

        self.train_loader = DataLoader(
            self.datasets["train"], batch_size=batch_size, num_workers=num_workers, shuffle=True
        )

    def train_step(self, data: dict[str, Tensor]) -> None:
        """Take one step of Adam on pictures `data['x']` and their classes `data['y']`."""
        x, y = data["x"], data["y"]

        q_z_given_x = self.encoder(x)
        z = q_z_given_x.rsample()

        # Both in nats for each picture (the paper counts in bits), averaged over the batch.
        cross_entropy = -self.label_classifier(z).log_prob(y).mean()
        kl = kl_divergence(q_z_given_x, self.prior()).mean()
        self.add_loss_item("Cross Entropy", cross_entropy)
        self.add_loss_item("KL Divergence", kl)

        loss = cross_entropy + self.beta * kl
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()

    def predict(self, x: Tensor, sample: bool = False) -> Tensor:
        """Return the log-probability of each class, `[batch, classes]`.

        Args:
            x: pictures, `[batch, channels, height, width]`.
            sample: classify one random representation of each picture instead of the mean one.
        """
        q_z_given_x = self.encoder(x)
        z = q_z_given_x.rsample() if sample else q_z_given_x.mean
        return self.label_classifier(z).logits
