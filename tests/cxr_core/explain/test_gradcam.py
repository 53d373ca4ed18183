"""Grad-CAM against its formula written out, against CAM, and on a ResNet."""

import numpy as np
import pytest
import torch

from cxr_core.errors import EvidenceError
from cxr_core.explain.gradcam import grad_cam, heat_maps
from cxr_core.model.network import build, to_input
from tests.cxr_core.explain.networks import ConvGapFc, WithBatchNorm


def images(n=4, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


def by_hand(network, inputs, targets):
    """Eq. 7 with its 1/Z, then Eq. 6: gradients by autograd on the pieces, no hooks."""
    activations = network.layer4(inputs).detach().requires_grad_()
    scores = network.fc(activations.mean(dim=(2, 3)))
    score = scores[torch.arange(len(targets)), torch.tensor(targets)].sum()
    (gradient,) = torch.autograd.grad(score, activations)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu().detach().numpy()


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_formula_written_out(seed):
    network, inputs, targets = ConvGapFc(seed=seed).eval(), to_input(images(seed=seed)), [0, 1, 2, 0]
    ours = grad_cam(network, network.layer4, inputs, targets, upsample=False)
    np.testing.assert_allclose(ours, by_hand(network, inputs, targets), rtol=1e-5, atol=1e-7)
    assert ours.max() > 0


def test_is_cam_up_to_one_over_z_where_cam_is_defined():
    network, inputs = ConvGapFc(seed=4).eval(), to_input(images())
    activations = network.layer4(inputs).detach()  # (n, K, h, w)
    for target in range(3):
        weights = network.fc.weight[target].detach()  # (K,)
        cam = torch.einsum("k,nkhw->nhw", weights, activations)  # Eq. 5
        ours = grad_cam(network, network.layer4, inputs, [target] * len(inputs), upsample=False)
        z = cam.shape[1] * cam.shape[2]
        np.testing.assert_allclose(ours * z, cam.relu().numpy(), rtol=1e-4, atol=1e-5)


def test_a_map_does_not_depend_on_the_other_images_and_the_network_comes_back():
    network = WithBatchNorm().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = to_input(images())
    together = grad_cam(network, network.layer4, inputs, [0, 1, 2, 0])
    alone = grad_cam(network, network.layer4, inputs[2:3], [2])
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-5, atol=1e-8)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_works_on_a_resnets_last_block_and_scales_each_map_to_one():
    network, pixels = build("resnet18", seed=1), images(n=2, size=64)
    heat = heat_maps(network, network.layer4, pixels, [0, 2])
    assert heat.shape == (2, 64, 64)
    assert heat.min() >= 0
    assert set(heat.max(axis=(1, 2))) <= {0.0, 1.0}
    assert heat.max() == 1.0


def test_maps_are_never_negative_and_nothing_for_the_class_is_all_zero():
    network = ConvGapFc()
    with torch.no_grad():
        network.fc.weight[0].fill_(-1.0)
    heat = heat_maps(network, network.layer4, images(n=20), [0] * 20)
    assert (heat == 0).all()
    assert heat_maps(network, network.layer4, images(n=0), []).shape == (0, 16, 16)


def test_the_map_follows_the_patch_that_the_class_is_made_of():
    network = ConvGapFc(channels=1, classes=1)
    with torch.no_grad():
        network.layer4[0].weight.fill_(1 / 27)
        network.fc.weight.fill_(1.0)
    pixels = np.zeros((1, 32, 32), dtype=np.uint8)
    pixels[0, 20:28, 4:12] = 255
    (heat,) = heat_maps(network, network.layer4, pixels, [0])
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 20 <= row < 28
    assert 4 <= column < 12


def test_faults_are_named():
    network = ConvGapFc()
    with pytest.raises(EvidenceError, match="found 1 for 4"):
        grad_cam(network, network.layer4, to_input(images()), [0])
    with torch.no_grad():
        network.fc.weight.fill_(float("nan"))
    with pytest.raises(EvidenceError) as caught:
        grad_cam(network, network.layer4, to_input(images()), [0] * 4)
    assert caught.value.reason == "not_finite"
