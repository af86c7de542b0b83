"""Exact halves of iterative bridges between Gaussians: linear steps, and losses without the scatter of draws.

A loss that is quadratic in what is drawn has its exact mean under the 2 D points +-sqrt(D) e_i for D standard normals.
A network that is linear in the state at each time makes the loss quadratic in its parameters: one step of Newton's
method finds the minimum.
"""

from dataclasses import dataclass

import torch
from torch import nn

from samplers.generative.bridges import GaussianBridge, PathBridge
from samplers.networks import NetworkSpec
from samplers.networks.base import ControlNetwork

F64 = torch.float64


@dataclass(frozen=True)
class LinearAtEachTime(NetworkSpec):
    """N(t_k, z) = W_k z + b_k at the times of the grid, zero at first."""

    times: int = 0
    coordinates = "full"

    def make(self, dim, generator):
        return _Linear(dim, self.times)


class _Linear(ControlNetwork):
    def __init__(self, dim, times):
        super().__init__(dim)
        self.weight = nn.Parameter(torch.zeros(times, dim, dim))
        self.bias = nn.Parameter(torch.zeros(times, 1, dim))
        self.register_buffer("grid", torch.full((times,), -1.0, dtype=F64))

    def forward(self, time, x, score):
        k = (time.double()[:, None] - self.grid).abs().argmin(1)
        return x @ self.weight[k].mT + self.bias[k]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def covariance(dim, seed):
    root = torch.randn(dim, dim, dtype=F64, generator=generator(seed))
    return root @ root.mT / dim + 0.3 * torch.eye(dim, dtype=F64)


def gaussian_bridge(dim=2, noise=0.7):
    """Between Gaussians whose covariances have no axis in common."""
    means = torch.randn(2, dim, dtype=F64, generator=generator(5))
    return GaussianBridge(means[0], covariance(dim, 1), means[1], covariance(dim, 2), noise)


GRID = torch.tensor([0.0, 0.15, 0.4, 0.8, 1.0], dtype=F64)


def linear_bridge(gaussian, grid=GRID, seed=None):
    """Steps with linear networks; of random parameters, and scales of the noise, where there is a seed."""
    bridge = PathBridge.make(gaussian, grid, LinearAtEachTime(len(grid) - 1), generator(), F64)
    g = generator(seed or 0)
    for steps in (bridge.ahead, bridge.behind):
        steps.network.grid.copy_(steps.grid[:-1])
        if seed is not None:
            with torch.no_grad():
                for parameter in steps.network.parameters():
                    parameter.copy_(0.4 * torch.randn(parameter.shape, dtype=F64, generator=g))
                steps.log_stretch.copy_(0.2 * torch.randn(len(grid) - 1, dtype=F64, generator=g))
    return bridge


def sigma_points(dim):
    """(2 dim, dim): mean zero, covariance one."""
    axes = dim**0.5 * torch.eye(dim, dtype=F64)
    return torch.cat([axes, -axes])


@torch.no_grad()
def exact_paths(steps, mean, covariance):
    """Paths (K + 1, points, dim) of steps from N(mean, covariance), with the exact moments of all states together."""
    dim, count = len(mean), steps.steps
    noise = sigma_points((count + 1) * dim).unflatten(1, (count + 1, dim))
    states = [mean + noise[:, 0] @ torch.linalg.cholesky(covariance).mT]
    for k in range(count):
        states.append(steps.step(torch.tensor([k]), states[-1][None]).at(noise[None, :, k + 1])[0])
    return torch.stack(states)


def minimise(loss, parameters):
    """Bring parameters, which the loss is quadratic in, to its minimum."""
    parameters = list(parameters)
    sizes = [p.numel() for p in parameters]

    def gradient():
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss(), parameters, create_graph=True)])

    first = gradient()
    hessian = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(one, parameters, retain_graph=True)]) for one in first]
    )
    step = torch.linalg.solve(hessian, first.detach())
    with torch.no_grad():
        for parameter, part in zip(parameters, step.split(sizes), strict=True):
            parameter -= part.view_as(parameter)


def moments(states):
    """Mean and covariance of states (s, points, dim) together, flattened."""
    flat = states.transpose(0, 1).flatten(1)
    mean = flat.mean(0)
    return mean, (flat - mean).mT @ (flat - mean) / len(flat)


def regression(states, k, on):
    """E[X_k | X_on] and the covariance left: slope (dim, dim), shift (dim,), of paths with exact moments."""
    mean, joint = moments(states[[on, k]])
    dim = states.shape[2]
    slope = torch.linalg.solve(joint[:dim, :dim], joint[:dim, dim:]).mT
    return slope, mean[dim:] - slope @ mean[:dim], joint[dim:, dim:] - slope @ joint[:dim, dim:]


@torch.no_grad()
def affine(steps, k):
    """Slope and shift of the mean of step k."""
    dim = steps.dim
    x = torch.cat([torch.zeros(1, dim, dtype=F64), torch.eye(dim, dtype=F64)])
    y = steps.mean(torch.tensor([k]), x[None])[0]
    return (y[1:] - y[0]).mT, y[0]
