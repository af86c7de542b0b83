"""JAX's generator in NumPy, against numbers computed with JAX 0.4.28 and 0.10.2."""

import numpy as np

from targets import _threefry


def test_split_of_key_zero_is_that_of_jax():
    children = _threefry.split(_threefry.key(0))
    np.testing.assert_array_equal(children, np.array([[4146024105, 967050713], [2718843009, 1272950319]], np.uint32))


def test_uniforms_are_float32_within_the_range():
    draws = _threefry.uniform(_threefry.key(0), (1000, 3), -10, 10)
    assert draws.dtype == np.float32
    assert draws.shape == (1000, 3)
    assert draws.min() >= -10
    assert draws.max() < 10


def test_an_odd_number_of_words_is_padded_and_not_the_start_of_the_next_even_one():
    odd, even = (_threefry.uniform(_threefry.key(0), (n,), 0, 1) for n in (5, 6))
    assert odd.shape == (5,)
    # five counters and a zero pair up as (0, 3), (1, 4), (2, 0): only the first two words of the halves agree
    np.testing.assert_array_equal(odd[:2], even[:2])
    np.testing.assert_array_equal(odd[3:], even[3:5])
    assert odd[2] != even[2]


def test_keys_of_different_seeds_give_different_words():
    assert not np.array_equal(_threefry.split(_threefry.key(0)), _threefry.split(_threefry.key(1)))


def test_integers_are_below_two_to_the_thirty():
    key, seen = _threefry.key(0), []
    for _ in range(20):
        key, child = _threefry.split(key)
        seen.append(_threefry.integer(child))
    assert all(0 <= value < 2**30 for value in seen)
    assert len(set(seen)) == 20
