"""How often a trainer that predicts labels is right."""

from torch import Tensor

from jade.errors import ContractError
from jade.eval import DatasetEvaluation


class AccuracyEvaluation(DatasetEvaluation):
    """Share of the items whose most probable class is the right one, from 0 to 1."""

    def initialize(self, sample: bool = False, **params: object) -> None:
        """Check that the trainer can predict.

        Args:
            sample: for a trainer with a random representation, classify one draw of it instead of
                its mean.
            params: those of every `DatasetEvaluation`: `evaluate_on`, `batch_size`, `n_samples`,
                `resample`.

        Raises:
            ContractError: if the trainer has no method `predict`.
        """
        super().initialize(**params)
        self.sample = sample
        # Now rather than at the first evaluation, when minutes of training may have passed.
        if not hasattr(self.trainer, "predict"):
            raise ContractError(
                f"AccuracyEvaluation needs a trainer that predicts;"
                f" {type(self.trainer).__name__} has no method 'predict'.",
                hint="Add predict(self, x, sample=False), which returns a tensor [batch, classes].",
            )

    def evaluate_batch(self, data: dict[str, Tensor]) -> Tensor:
        """Return the share of the batch that is classified rightly."""
        scores = self.trainer.predict(data["x"], sample=self.sample)
        return (scores.argmax(dim=-1) == data["y"]).float().mean()
