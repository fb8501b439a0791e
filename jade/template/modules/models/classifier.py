"""A plain classifier: the training algorithm, which knows neither the data set nor the network."""

from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.utils.data import DataLoader

from jade.trainer import Trainer


class ClassifierTrainer(Trainer):
    """Learns to tell the class of an item."""

    def initialize(self, layers: list[int], lr: float, batch_size: int) -> None:
        """Create network, optimizer and loader; the arguments are `params` in configurations/models."""
        self.network = self.instantiate_architecture("Classifier", layers=layers)
        self.opt = Adam(self.network.parameters(), lr=lr)
        self.train_loader = DataLoader(self.datasets["train"], batch_size=batch_size, shuffle=True)

        # What a checkpoint holds.
        self.add_attribute_to_store("network")
        self.add_attribute_to_store("opt")

    def train_step(self, data: dict[str, Tensor]) -> None:
        """Take one step on a batch, which is on the device already."""
        loss = cross_entropy(self.network(data["x"]), data["y"])
        self.add_loss_item("Loss", loss)

        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
