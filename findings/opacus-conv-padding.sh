#!/usr/bin/env bash
# Expected: Opacus' per-sample gradients are what autograd gives for each sample alone.
# Happens:  in its default mode ("hooks") they are wrong for convolutions whose padding_mode is circular, reflect or
#           replicate, by 30 to 40 % here: the sampler pads with zeros whatever the mode. Nothing is said. With
#           grad_sample_mode="functorch" or "ew" they are right. Clipping and noise act on the wrong gradient alike,
#           so the privacy stated still holds; what is trained is another network's gradient.
# Versions: opacus 1.6.0, torch 2.13.0, numpy 2.4.6; seen 2026-11-30.
# Matters to whoever trains convolutions with DP-SGD on images, panoramas, time series or periodic fields.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "opacus==1.6.0" "torch==2.13.0" "numpy==2.4.6"

"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import opacus
import torch
from opacus.grad_sample.utils import wrap_model

WRONG, RIGHT = 0.1, 1e-5  # relative error of the per-sample gradients


def error(padding_mode: str, grad_sample_mode: str) -> float:
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(2, 3, kernel_size=3, padding=1, padding_mode=padding_mode)
    samples = torch.randn(4, 2, 6, 6)
    wanted = torch.stack(
        [torch.autograd.grad(plain(one[None]).square().sum(), plain.weight)[0] for one in samples]
    )
    wrapped = wrap_model(plain, grad_sample_mode=grad_sample_mode)
    wrapped(samples).square().flatten(1).sum(1).mean().backward()
    return ((plain.weight.grad_sample - wanted).norm() / wanted.norm()).item()


print(f"opacus {opacus.__version__}, torch {torch.__version__}: relative error of per-sample gradients of Conv2d")
for padding_mode in ("zeros", "circular", "reflect", "replicate"):
    errors = {mode: error(padding_mode, mode) for mode in ("hooks", "functorch", "ew")}
    print(f"{padding_mode}: " + ", ".join(f"{mode} {value:.2g}" for mode, value in errors.items()))
    hooks = errors.pop("hooks")
    if max(errors.values()) > RIGHT or (hooks > WRONG) != (padding_mode != "zeros"):
        sys.exit("changed: only the default mode should be wrong, and only where the padding is not zeros")
PY
