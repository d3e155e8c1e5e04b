import pytest

from transformer.byte_size import format_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 MiB"), (7 << 20, "7.0 MiB"), ((1 << 30) - 1, "1024.0 MiB"), (1 << 30, "1.00 GiB"), (5.5e9, "5.12 GiB")],
)
def test_the_unit_depends_on_the_size(count: float, text: str) -> None:
    assert format_bytes(count) == text
