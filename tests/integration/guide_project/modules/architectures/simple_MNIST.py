import torch
from torch import nn
from torch.distributions import Independent, Normal
from torch.nn import Flatten
from torch.nn.functional import softplus

N_INPUT = 28 * 28


def make_stack(layers):
    nn_layers = []
    for n_in, n_out in zip(layers[:-1], layers[1:]):
        nn_layers += [nn.Linear(n_in, n_out), nn.ReLU(True)]
    return nn_layers[:-1]


class StochasticLinear(nn.Linear):
    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out * 2)

    def forward(self, x):
        mu, sigma = torch.chunk(super().forward(x), 2, dim=1)
        return Independent(Normal(mu, softplus(sigma) + 1e-3), 1)


class Encoder(nn.Module):
    def __init__(self, z_dim, layers):
        super().__init__()
        nn_layers = make_stack([N_INPUT] + layers)
        self.net = nn.Sequential(Flatten(), *nn_layers, nn.ReLU(True), StochasticLinear(layers[-1], z_dim))

    def forward(self, x):
        return self.net(x)


class Decoder(nn.Module):
    def __init__(self, z_dim, layers, sigma):
        super().__init__()
        self.net = nn.Sequential(*make_stack([z_dim] + layers + [N_INPUT]))
        self.sigma = sigma

    def forward(self, z):
        return Independent(Normal(self.net(z).view(-1, 1, 28, 28), self.sigma), 3)


class Prior(nn.Module):
    def __init__(self, z_dim):
        super().__init__()
        self.mu = nn.Parameter(torch.zeros([z_dim]), requires_grad=False)
        self.sigma = nn.Parameter(torch.ones([z_dim]), requires_grad=False)

    def forward(self):
        return Independent(Normal(self.mu, self.sigma), 1)
