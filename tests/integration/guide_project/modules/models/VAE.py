# A trainer as the user guide teaches to write one: floats through .item(), moving and modes by hand.
from torch.optim import Adam
from torch.utils.data import DataLoader

from jade.trainer import Trainer


class VariationalAutoencoderTrainer(Trainer):
    def initialize(self, z_dim, encoder_layers, decoder_layers, beta, lr, batch_size, num_workers=0, sigma=1):
        self.beta = beta
        self.encoder = self.instantiate_architecture("Encoder", z_dim=z_dim, layers=encoder_layers)
        self.decoder = self.instantiate_architecture(
            "Decoder", z_dim=z_dim, layers=decoder_layers, sigma=sigma
        )
        self.prior = self.instantiate_architecture("Prior", z_dim=z_dim)
        self.opt = Adam(
            [
                {"params": self.encoder.parameters(), "lr": lr},
                {"params": self.decoder.parameters(), "lr": lr},
            ]
        )
        self.add_attribute_to_store("encoder")
        self.add_attribute_to_store("decoder")
        self.add_attribute_to_store("opt")
        self.train_loader = DataLoader(
            self.datasets["train"], batch_size=batch_size, num_workers=num_workers, shuffle=True
        )

    def train_step(self, data):
        x = data["x"]
        rec_loss, reg_loss = self.compute_loss_components(x)
        self.add_loss_item("Rec Loss", rec_loss.item())
        self.add_loss_item("Reg Loss", reg_loss.item())
        loss = rec_loss + self.beta * reg_loss
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()

    def compute_loss_components(self, x):
        q_z_given_x = self.encoder(x)
        z = q_z_given_x.rsample()
        p_x_given_z = self.decoder(z)
        rec_loss = -p_x_given_z.log_prob(x).mean()
        reg_loss = (q_z_given_x.log_prob(z) - self.prior().log_prob(z)).mean()
        return rec_loss, reg_loss

    def on_iteration_end(self):
        # Counted by hand, as the guide asks of whoever overrides this.
        self.iterations += 1

    def on_epoch_end(self):
        super().on_epoch_end()
