"""The Variational Autoencoder, https://arxiv.org/abs/1312.6114.

A trainer holds the algorithm only: which networks there are, what is minimised and what is stored.
Their layers are in the architecture file, their sizes in the model configuration, the pictures in
the data configuration.
"""

from torch import Tensor
from torch.distributions import kl_divergence
from torch.optim import Adam
from torch.utils.data import DataLoader

from jade.trainer import Trainer


class VariationalAutoencoderTrainer(Trainer):
    """Learns to compress pictures to a few numbers and to draw them again."""

    def initialize(
        self,
        z_dim: int,
        encoder_layers: list[int],
        decoder_layers: list[int],
        beta: float,
        lr: float,
        batch_size: int,
        num_workers: int = 0,
        sigma: float = 1,
    ) -> None:
        """Create the networks, the optimizer and the loader of the training data.

        Args:
            z_dim: number of latent dimensions.
            encoder_layers: widths of the hidden layers from the picture to the representation.
            decoder_layers: widths of the hidden layers from the representation to the picture.
            beta: weight of the regularization, at least 0; 1 gives the evidence lower bound.
            lr: learning rate of Adam.
            batch_size: pictures in a training step.
            num_workers: processes that load data; 0 loads in the training process.
            sigma: standard deviation of a pixel given the representation, above 0, in units of
                pixel values. A small one asks for sharp pictures; only the product `beta *
                sigma**2` decides what the optimum looks like.
        """
        self.beta = beta

        # The names are looked up in the file given as --arch_impl, the arguments go to the
        # constructors there.
        self.encoder = self.instantiate_architecture("Encoder", z_dim=z_dim, layers=encoder_layers)
        self.decoder = self.instantiate_architecture(
            "Decoder", z_dim=z_dim, layers=decoder_layers, sigma=sigma
        )
        self.prior = self.instantiate_architecture("Prior", z_dim=z_dim)

        self.opt = Adam([{"params": self.encoder.parameters()}, {"params": self.decoder.parameters()}], lr=lr)

        # Whatever a continued run cannot do without. The prior has nothing to learn, and beta is in
        # the configuration.
        self.add_attribute_to_store("encoder")
        self.add_attribute_to_store("decoder")
        self.add_attribute_to_store("opt")

        self.train_loader = DataLoader(
            self.datasets["train"], batch_size=batch_size, num_workers=num_workers, shuffle=True
        )

    def train_step(self, data: dict[str, Tensor]) -> None:
        """Take one step of Adam on `data['x']`, pictures `[batch, channels, height, width]`."""
        rec_loss, reg_loss = self.compute_loss_components(data["x"])

        # Tensors, not numbers: `.item()` would make the GPU wait at each step for values that are
        # logged now and then.
        self.add_loss_item("Rec Loss", rec_loss)
        self.add_loss_item("Reg Loss", reg_loss)

        loss = rec_loss + self.beta * reg_loss
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()

    def compute_loss_components(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two parts of the negative evidence lower bound, before `beta` weighs them.

        Both are in nats per picture: summed over pixels or latent dimensions, then averaged over
        the batch. Summing keeps their ratio as the theory has it; with a mean over pixels, beta
        would mean something else for each resolution.

        Args:
            x: pictures, `[batch, channels, height, width]`.

        Returns:
            The reconstruction loss -E[log p(x|z)], estimated with one sample of z for each picture,
            and the regularization loss KL(q(z|x) || p(z)), in closed form.
        """
        q_z_given_x = self.encoder(x)

        # `rsample` writes the sample as mean + scale * noise, so that gradients reach the encoder;
        # `sample` would not.
        z = q_z_given_x.rsample()

        rec_loss = -self.decoder(z).log_prob(x).mean()
        reg_loss = kl_divergence(q_z_given_x, self.prior()).mean()
        return rec_loss, reg_loss
