import os

import torch

from jade.eval import DatasetEvaluation, Evaluation


class Accuracy(DatasetEvaluation):
    def evaluate_batch(self, data):
        return (self.trainer.net(data["x"]).argmax(1) == data["y"]).float().mean()


class Patience(Evaluation):
    """The best accuracy so far and how long ago it was, which a checkpoint has to keep."""

    def initialize(self, evaluate_on):
        self.dataset = self.datasets[evaluate_on]
        self.best, self.waited = 0.0, 0
        self.add_attribute_to_store("best")
        self.add_attribute_to_store("waited")

    def evaluate(self):
        noise = 0.01 * torch.randn(len(self.dataset), 4)
        found = (self.trainer.net(self.dataset.x + noise).argmax(1) == self.dataset.y).float().mean().item()
        self.waited = 0 if found > self.best else self.waited + 1
        self.best = max(self.best, found)
        return {"type": "scalars", "value": {"best": self.best, "waited": self.waited}}


class Interrupted(Evaluation):
    """Sends its own process a signal, as INTERRUPT=iteration:number says: a kill at a known moment."""

    def evaluate(self):
        iteration, _, number = os.environ.get("INTERRUPT", "-1:0").partition(":")
        if self.trainer.iterations == int(iteration):
            os.kill(os.getpid(), int(number))
        return {"type": "scalar", "value": 0.0}
