"""Mistakes in the closest Gaussians; the checks of `closest_gaussian_cases` reject all.

Each bug is a function of pytest's `monkeypatch` that puts the mistake in and returns the check that must fail.
"""

import closest_gaussian_cases as cases
import torch
from bug_register import Bugs

from samplers.diagnostics import fourier_distance, gaussian_transport
from samplers.draws import closest_gaussian

BUGS = Bugs()
bug = BUGS.add


@bug("in W2 the deviation of the moments")
def the_deviation(patch):
    patch.setattr(closest_gaussian, "scale_of_points", lambda x, shares: float(x.std(correction=0)))
    return cases.check_w2_of_points_is_least


@bug("weights not brought into the order of their points")
def not_in_order(patch):
    right = closest_gaussian.scale_of_points
    patch.setattr(closest_gaussian, "scale_of_points", lambda x, shares: right(x.sort().values, shares))
    return cases.check_w2_of_points_is_least


@bug("points in W2 without their weights")
def without_weights(patch):
    right = closest_gaussian.scale_of_points
    patch.setattr(
        closest_gaussian, "scale_of_points", lambda x, shares: right(x, torch.full_like(shares, 1 / len(shares)))
    )
    return cases.check_w2_of_points_is_least


@bug("second moments about 0 for the covariance")
def about_zero(patch):
    def moments(x, shares):
        return shares @ x, (shares[:, None] * x).mT @ x

    patch.setattr(closest_gaussian, "moments_of", moments)
    return cases.check_kl_of_points_is_least


@bug("the covariance corrected for the number of points")
def corrected(patch):
    right = closest_gaussian.moments_of

    def moments(x, shares):
        mean, covariance = right(x, shares)
        return mean, covariance / (1 - shares.square().sum())

    patch.setattr(closest_gaussian, "moments_of", moments)
    return cases.check_kl_of_points_is_least


@bug("components of a mixture one by one")
def one_by_one(patch):
    patch.setattr(closest_gaussian, "_scale_of_mixture", lambda weights, means, scales: float(weights @ scales))
    return cases.check_mixture_by_quadrature


@bug("d_2 with all of the difference of second moments")
def all_of_it(patch):
    right = fourier_distance._size
    patch.setattr(fourier_distance, "_size", lambda matrix: 2 * right(matrix))
    return cases.check_d2_of_gaussians_is_half_the_difference


@bug("d_2 bounded by half the difference of second moments for every law")
def half_for_all(patch):
    patch.setattr(fourier_distance, "_uppers", lambda law, x, shares, own, other, between: iter([between]))
    return cases.check_d2_lies_between_its_bounds


@bug("d_2 bounded without the third moment of the Gaussian")
def no_third_moment(patch):
    patch.setattr(fourier_distance, "THIRD", -0.9)
    return cases.check_d2_lies_between_its_bounds


@bug("A by a coupling of the worst kind")
def worst_coupling(patch):
    patch.setattr(gaussian_transport, "_matched", lambda x, y: torch.arange(len(x)))
    return cases.check_transport_bounds_from_above
