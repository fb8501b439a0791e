import torch
from torch.utils.data import DataLoader

from jade.eval import Evaluation


class ELBOEvaluation(Evaluation):
    def initialize(self, evaluate_on, n_samples=2048, resample_x=False, batch_size=256):
        self.data_loader = DataLoader(self.datasets[evaluate_on], shuffle=resample_x, batch_size=batch_size)
        self.n_samples = n_samples
        self.batch_size = batch_size
        if not hasattr(self.trainer, "compute_loss_components"):
            raise Exception("The trainer must have a function `compute_loss_components`")

    def evaluate(self):
        evaluations = 0.0
        elbo = 0.0
        device = self.trainer.get_device()
        self.trainer.eval()
        with torch.no_grad():
            for data in self.data_loader:
                x = data["x"].to(device)
                rec_loss, reg_loss = self.trainer.compute_loss_components(x)
                elbo += rec_loss.sum() + reg_loss.sum()
                evaluations += self.batch_size
                if evaluations >= self.n_samples:
                    break
        return {"type": "scalar", "value": elbo / evaluations, "iteration": self.trainer.iterations}
