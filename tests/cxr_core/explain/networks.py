"""Small networks with a last convolution called ``layer4`` and a head called ``fc``, as a ResNet has."""

import torch
from torch import nn


class ConvGapFc(nn.Module):
    """Convolution, global average pooling, one linear layer: the network for which CAM is defined (Eq. 3-5)."""

    def __init__(self, *, channels=5, classes=3, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layer4 = nn.Sequential(nn.Conv2d(3, channels, 3, stride=2, padding=1), nn.ReLU())
            self.fc = nn.Linear(channels, classes)

    def forward(self, images):
        return self.fc(self.layer4(images).mean(dim=(2, 3)))


class WithBatchNorm(ConvGapFc):
    """The same with batch normalisation, which in training mode mixes the images of a batch."""

    def __init__(self):
        super().__init__()
        self.layer4 = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())
