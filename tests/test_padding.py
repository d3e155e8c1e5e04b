import pytest

from transformer.padding import padded_width


@pytest.mark.parametrize(("length", "width"), [(1, 16), (16, 16), (17, 32), (32, 32), (33, 64), (97, 128), (129, 256)])
def test_padded_width(length: int, width: int) -> None:
    assert padded_width(length) == width
