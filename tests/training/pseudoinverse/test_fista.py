"""The sparse decoder."""

import torch

from derelayl_training.pseudoinverse.fista import sparse_decoder


def problem(samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(samples, 12, dtype=torch.float64, generator=generator)
    hidden[:, 1] = hidden[:, 0] + 0.05 * hidden[:, 1]  # badly conditioned, so that the step matters
    return hidden, torch.randn(samples, 5, dtype=torch.float64, generator=generator)


def objective(hidden: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, penalty: float) -> float:
    return ((hidden @ weights - target).square().sum() + penalty * weights.abs().sum()).item()


def test_nothing_to_learn_from_gives_zeros() -> None:
    assert not sparse_decoder(torch.zeros(3, 3).double(), torch.zeros(3, 2).double(), 0.1, 10).any()


def test_for_orthonormal_inputs_it_is_the_soft_threshold() -> None:
    hidden = torch.linalg.qr(problem(40)[0]).Q
    target = problem(40)[1]
    cross = hidden.T @ target
    expected = torch.nn.functional.softshrink(cross, 0.3)
    torch.testing.assert_close(sparse_decoder(torch.eye(12).double(), cross, 0.6, 50), expected)


def test_at_the_end_no_subgradient_is_left() -> None:
    hidden, target = problem(60)
    weights = sparse_decoder(hidden.T @ hidden, hidden.T @ target, 8.0, 20_000)
    slope = 2 * hidden.T @ (hidden @ weights - target)
    zero = weights == 0
    assert zero.any()
    assert (slope[zero].abs() <= 8.0 + 1e-6).all()
    torch.testing.assert_close(slope[~zero], -8.0 * weights[~zero].sign(), rtol=0, atol=1e-5)


def test_it_falls_as_fast_as_beck_and_teboulle_prove() -> None:
    """Theorem 4.4: the objective is at most 2·L·|w₀ - w*|² / (k + 1)² above the least, L = 2·Lmax."""
    hidden, target = problem(60)
    gram, cross = hidden.T @ hidden, hidden.T @ target
    best = sparse_decoder(gram, cross, 8.0, 20_000)
    least = objective(hidden, target, best, 8.0)
    lipschitz = 2 * torch.linalg.eigvalsh(gram)[-1].item()
    for steps in (1, 3, 10, 50):
        reached = objective(hidden, target, sparse_decoder(gram, cross, 8.0, steps), 8.0)
        assert reached - least <= 2 * lipschitz * best.square().sum().item() / (steps + 1) ** 2
