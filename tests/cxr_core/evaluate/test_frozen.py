"""A network shown rows of the store: its probabilities as they were tested, its features as its head reads them."""

import numpy as np
import pytest
import torch

from cxr_core.evaluate.frozen import look
from cxr_core.model.network import build, probabilities, to_input
from tests.cxr_core.model.examples import striped_images


@pytest.fixture(scope="module")
def network():
    return build("resnet18", seed=3)


def test_features_are_what_the_head_reads_and_probabilities_what_was_tested(network):
    images, _ = striped_images(7)
    rows = np.array([5, 0, 3])
    seen = look(network, network.layer4, images, rows, precision="fp32", batch_size=2)
    assert (probabilities(network, images[rows], precision="fp32", batch_size=2) == seen.probabilities).all()
    assert seen.features.shape == (3, 512)
    network.eval()
    with torch.no_grad():
        scores = network.fc(torch.from_numpy(seen.features))
        np.testing.assert_allclose(scores, network(to_input(images[rows])), rtol=1e-4, atol=1e-5)


def test_nothing_stays_on_the_network_and_no_row_is_no_feature(network):
    seen = look(
        network, network.layer4, striped_images(2)[0], np.empty(0, dtype=np.int64), precision="fp32", batch_size=2
    )
    assert (len(seen.features), len(seen.probabilities)) == (0, 0)
    assert not network.layer4._forward_hooks
