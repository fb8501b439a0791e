from torch import nn


class Net(nn.Module):
    def __init__(self, n_inputs, n_outputs=3, p=0.2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, n_outputs)
        )

    def forward(self, x):
        return self.layers(x)


class Noise(nn.Module):
    def __init__(self, n_inputs):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_inputs).requires_grad_(False)

    def forward(self, x):
        return self.linear(x)
