"""Pictures of every attention."""

from pathlib import Path

import matplotlib.image
import numpy as np

from transformer.analysis.attention_plots import draw_all


def test_one_picture_a_kind_with_every_layer_and_head(tmp_path: Path) -> None:
    """One full cell of one head of the second layer is what changes, and dollars stay what they are."""
    source, target = ["$a$", "b", "c", "</s>", "d"], ["x", "$_{$", "</s>"]
    labels = {"encoder": source, "cross": target}, {"encoder": source, "cross": source}
    attention = {f"cross/{layer}": np.zeros((3, 3, 5), np.float32) for layer in range(2)}
    attention["encoder/0"] = np.zeros((3, 5, 5), np.float32)
    blank = draw_all(attention, *labels, tmp_path / "blank")
    assert [path.name for path in blank] == [
        "attention_encoder.png", "attention_encoder.svg", "attention_cross.png", "attention_cross.svg",
    ]  # fmt: skip
    attention["cross/1"][2, 0, 4] = 1
    drawn = draw_all(attention, *labels, tmp_path / "drawn")
    for before, after in zip(blank[:2], drawn[:2], strict=True):
        assert before.read_bytes() == after.read_bytes()
    pixels = [matplotlib.image.imread(paths[2])[..., :3] for paths in (blank, drawn)]
    rows, columns = np.nonzero(np.abs(pixels[1] - pixels[0]).max(axis=-1) > 0.01)
    height, width = pixels[0].shape[:2]
    assert rows.min() > height / 2  # the second layer is below
    assert columns.min() > 0.8 * width  # and the last head on the right
    assert drawn[3].read_bytes() != blank[3].read_bytes()
