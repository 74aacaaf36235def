"""The two-way system on one machine."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from derelayl_protocol.errors import LocalFault
from derelayl_training.pseudoinverse.backward import BackwardStack, leaky, leaky_inverse, targets_down
from derelayl_training.pseudoinverse.classifier import Classifier, HiddenLayer, accuracy
from derelayl_training.pseudoinverse.forward import ForwardStack
from derelayl_training.pseudoinverse.scaling import Range, unit_samples
from derelayl_training.pseudoinverse.settings import PilsSettings
from derelayl_training.pseudoinverse.solve import RIDGES
from derelayl_training.pseudoinverse.subsystem import Pair, pairs_of
from derelayl_training.pseudoinverse.system import SstPils

from .tables import CLASSES, tensors

SMALL = PilsSettings(
    widths=(24, 16, 12), probe_neurons=30, fusion_neurons=60, fista_steps=20, probe_rows=150, max_subsystems=3
)


def trained(settings: PilsSettings = SMALL, seed: int = 1) -> SstPils:
    return SstPils.fit(*tensors(500), *tensors(200, seed=1), settings, seed)


# --- refusals ---


def test_without_validation_samples_it_is_refused() -> None:
    inputs, labels = tensors(50)
    with pytest.raises(LocalFault, match="validation samples that are not among them"):
        SstPils.fit(inputs, labels, inputs[:0], labels[:0], SMALL, 1)


def test_a_label_that_only_validation_has_is_refused() -> None:
    inputs, labels = tensors(50)
    with pytest.raises(LocalFault, match="validation labels are"):
        SstPils.fit(inputs, labels, inputs, labels + 1, SMALL, 1)


def test_numbers_that_are_not_finite_are_refused() -> None:
    inputs, labels = tensors(50)
    broken = inputs.clone()
    broken[3, 2] = torch.nan
    with pytest.raises(LocalFault, match="NaN or an infinity"):
        SstPils.fit(inputs, labels, broken, labels, SMALL, 1)


def test_inputs_without_labels_are_refused() -> None:
    inputs, labels = tensors(50)
    with pytest.raises(LocalFault, match="do not go with"):
        SstPils.fit(inputs, labels[:-1], inputs, labels, SMALL, 1)


@pytest.mark.parametrize(
    "change", [{"widths": ()}, {"fusion_neurons": 0}, {"ridges": ()}, {"ridges": (1e-3, 0.0)}, {"share": 1.5}]
)
def test_dials_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LocalFault, match="must be"):
        replace(SMALL, **change)


def test_an_accuracy_without_samples_is_refused() -> None:
    with pytest.raises(LocalFault, match="no validation samples"):
        accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


# --- the whole ---


def test_it_learns_what_is_not_linear() -> None:
    inputs, labels = tensors(400, seed=2)
    system = trained()
    linear = torch.linalg.lstsq(tensors(500)[0], torch.nn.functional.one_hot(tensors(500)[1], CLASSES).float()).solution
    assert accuracy(system.scores(inputs), labels) > 0.5
    assert accuracy(inputs @ linear, labels) < 0.35
    assert torch.equal(system.predict(inputs), system.scores(inputs).argmax(1))


def test_the_same_seed_gives_the_same_scores_and_another_one_others() -> None:
    inputs = tensors(30, seed=2)[0]
    assert torch.equal(trained().scores(inputs), trained().scores(inputs))
    assert not torch.equal(trained().scores(inputs), trained(seed=2).scores(inputs))


def test_subsystems_are_added_while_validation_accuracy_rises_and_not_longer() -> None:
    inputs, labels = tensors(200, seed=1)
    system = trained(replace(SMALL, max_subsystems=6))
    assert 1 < len(system.accuracies) == len(system.subsystems) < 6
    assert all(after > before for before, after in pairwise(system.accuracies))
    assert system.accuracies[-1] == accuracy(system.scores(inputs), labels)


def test_the_pair_is_the_best_on_validation() -> None:
    for subsystem in trained().subsystems:
        assert subsystem.validation[subsystem.pair] == max(subsystem.validation.values())


def test_nothing_but_training_and_validation_samples_is_read() -> None:
    """What is predicted for a sample does not depend on what else is predicted: no range is fitted on test samples."""
    inputs = tensors(20, seed=2)[0]
    system = trained()
    beside = torch.cat([inputs, 1000 * inputs])
    torch.testing.assert_close(system.scores(beside)[:20], system.scores(inputs))


# --- forward ---


def grown(widths: tuple[int, ...]) -> ForwardStack:
    return ForwardStack.grow(*tensors(500), tensors(200, seed=1), CLASSES, replace(SMALL, widths=widths), 3)


@pytest.mark.parametrize("widths", [(24,), (24, 16), (24, 2, 24), (24, 24, 24, 24, 24), (8, 24), (3, 3, 24, 24)])
def test_no_layer_is_kept_that_has_a_lower_validation_accuracy_than_the_one_below(widths: tuple[int, ...]) -> None:
    stack = grown(widths)
    assert 1 <= len(stack.layers) == len(stack.accuracies) <= len(widths)
    assert all(after > before for before, after in pairwise(stack.accuracies))


def test_a_layer_that_helps_is_kept() -> None:
    assert len(grown((3, 3, 24, 24)).layers) > 1


def test_the_classifier_is_that_of_the_last_kept_layer_at_any_depth() -> None:
    held = tensors(200, seed=1)
    for widths in ((24,), (24, 2), (24, 24, 24)):
        stack = grown(widths)
        top = stack.features(held[0])[-2]
        assert accuracy(stack.classifier.scores(top), held[1]) == stack.accuracies[-1]


def test_a_forward_layer_lies_in_the_unit_range_on_training_samples_only() -> None:
    stack = grown((24,))
    inputs = tensors(500)[0]
    features = stack.features(inputs)[0]
    torch.testing.assert_close(features.amin(0), torch.zeros(24))
    torch.testing.assert_close(features.amax(0), torch.ones(24))
    assert stack.features(10 * inputs)[0].max() > 1


# --- backward ---


def test_the_activation_and_its_inverse_are_a_pair() -> None:
    values = torch.linspace(-3, 3, 41)
    torch.testing.assert_close(leaky(leaky_inverse(values)), values)
    torch.testing.assert_close(leaky_inverse(leaky(values)), values)


def test_a_target_meets_the_label_through_the_layers_above() -> None:
    """With a negligible ridge, what a layer should give leads through the layers above to the label, up to scale."""
    generator = torch.Generator().manual_seed(0)
    chain = [torch.randn(shape, generator=generator) for shape in ((6, 20), (20, 15), (15, CLASSES))]
    low, high = targets_down(chain, CLASSES, 1e-12)
    labels = 2 * torch.eye(CLASSES, dtype=torch.float64) - 1
    answer = leaky(high) @ chain[2].double()
    torch.testing.assert_close(answer / answer.abs().max(), labels, rtol=1e-4, atol=1e-4)
    reached = leaky(low) @ chain[1].double()
    torch.testing.assert_close(reached / reached.abs().max(), high, rtol=1e-4, atol=1e-4)


def test_targets_by_class_give_the_layer_that_targets_by_sample_give() -> None:
    inputs, labels = tensors(300)
    chain = grown((24, 16)).chain()
    stack = BackwardStack.fit(inputs, labels, CLASSES, chain, 1e-3)
    target = targets_down(chain, CLASSES, 1e-3)[0][labels]  # (N, out), as the authors' script has it
    design = inputs.double()
    possible = []
    for ridge in RIDGES:
        matrix = design.T @ design
        matrix.diagonal().add_(ridge * matrix.diagonal().mean())
        possible.append(torch.linalg.solve(matrix, design.T @ target).float())
    assert any(torch.allclose(stack.weights[0], layer, rtol=1e-3, atol=1e-5) for layer in possible)
    assert [len(weights.T) for weights in stack.weights] == [len(weights.T) for weights in chain[:-1]]


# --- parts ---


def test_the_pairs_are_those_from_the_hidden_layer_down_to_the_second() -> None:
    assert pairs_of(1) == [Pair(1, 1), Pair(1, None)]
    assert pairs_of(2) == [Pair(2, 2), Pair(2, 1), Pair(2, None), Pair(1, 2), Pair(1, 1), Pair(1, None)]


def test_a_hidden_layer_is_orthonormal_and_has_the_spread_asked_for() -> None:
    inputs = 5 + 3 * tensors(800)[0]
    layer = HiddenLayer.draw(inputs, 4, 0.5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer.weights.T @ layer.weights, torch.eye(4))
    before = layer.features(inputs)[:, :4].atanh()
    assert before.std().item() == pytest.approx(0.5, rel=0.05)
    assert before.mean(0).abs().max() < 0.01
    assert (layer.features(inputs)[:, 4] == 1).all()


def test_a_classifier_scores_alike_in_one_piece_and_in_several() -> None:
    inputs, labels = tensors(300)
    classifier = Classifier.fit(inputs, labels, CLASSES, 20, 1.0, [1e-4], 3)
    several = classifier.scores(inputs.repeat(20, 1))
    torch.testing.assert_close(several[-300:], classifier.scores(inputs))


def test_samples_are_scaled_each_by_itself() -> None:
    scaled = unit_samples(torch.tensor([[1.0, 2.0, 5.0], [7.0, 7.0, 7.0]]))
    assert scaled.tolist() == [[-1.0, -0.5, 1.0], [-1.0, -1.0, -1.0]]


def test_a_constant_feature_gets_a_finite_range() -> None:
    values = torch.tensor([[1.0, 3.0], [1.0, 5.0]])
    assert torch.isfinite(Range.of(values).unit(values)).all()
