import matplotlib.pyplot as plt
import torch

from jade.eval import Evaluation


class ReconstructionEvaluation(Evaluation):
    def initialize(self, evaluate_on, n_pictures=10, sample_images=False):
        dataset = self.datasets[evaluate_on]
        self.x = torch.stack([dataset[i]["x"] for i in range(n_pictures)])
        self.sample_images = sample_images

    def evaluate(self):
        self.trainer.eval()
        with torch.no_grad():
            p = self.trainer.decoder(self.trainer.encoder(self.x.to(self.trainer.get_device())).mean)
        pictures = p.sample() if self.sample_images else p.mean
        fig, axes = plt.subplots(2, len(self.x))
        for i in range(len(self.x)):
            axes[0, i].imshow(self.x[i, 0])
            axes[1, i].imshow(pictures[i, 0].cpu())
        plt.close(fig)
        return {"type": "figure", "value": fig, "iteration": self.trainer.iterations}
