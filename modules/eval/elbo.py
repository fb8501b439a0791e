"""The evidence lower bound of a Variational Autoencoder, whole and in its parts."""

from torch import Tensor

from jade.errors import ContractError
from jade.eval import DatasetEvaluation


class ELBOEvaluation(DatasetEvaluation):
    """The negative evidence lower bound in nats per picture; lower is better.

    It is E[-log p(x|z)] + KL(q(z|x) || p(z)), the mean over the data set. Pixels are continuous, so
    p(x|z) is a density, which may exceed 1, and the bound may be below 0.

    The trainer's `beta` plays no part in it: runs that were trained with different weights can be
    compared. Runs with different `sigma` cannot, because it sets the scale of the densities.
    """

    def initialize(
        self,
        evaluate_on: str,
        n_samples: int | None = 2048,
        resample_x: bool = False,
        batch_size: int = 256,
    ) -> None:
        """Check that the trainer can compute the parts of its loss.

        Args:
            evaluate_on: name of the data set, a key of the data configuration.
            n_samples: pictures that the mean is taken over; None for all.
            resample_x: take other pictures each time, instead of the first ones.
            batch_size: pictures evaluated at once.

        Raises:
            ContractError: if the trainer has no method `compute_loss_components`.
        """
        super().initialize(
            evaluate_on=evaluate_on,
            batch_size=batch_size,
            n_samples=n_samples,
            resample=resample_x,
        )
        if not hasattr(self.trainer, "compute_loss_components"):
            raise ContractError(
                f"{type(self).__name__} needs a trainer that computes the parts of its loss;"
                f" {type(self.trainer).__name__} has no method 'compute_loss_components'.",
                hint="Add compute_loss_components(self, x), which returns the reconstruction and"
                " the regularization loss, each the mean over the batch.",
            )

    def evaluate_batch(self, data: dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Return the mean over the batch, with one random representation of each picture."""
        rec_loss, reg_loss = self.trainer.compute_loss_components(data["x"])
        return rec_loss + reg_loss


class LossComponentsEvaluation(ELBOEvaluation):
    """The two parts of the negative evidence lower bound, in nats per picture."""

    def evaluate_batch(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the reconstruction and the regularization loss, each the mean over the batch."""
        rec_loss, reg_loss = self.trainer.compute_loss_components(data["x"])
        return {"Rec Loss": rec_loss, "Reg Loss": reg_loss}
