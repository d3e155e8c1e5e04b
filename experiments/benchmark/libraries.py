"""The peers of the comparisons: this codebase and other libraries, by name."""

from experiments.benchmark.turns import Peer

_PEERS = "experiments.benchmark.peers"

TRAINING_PEERS = {
    "ours": Peer(f"{_PEERS}.ours"),
    "ours-bfloat16": Peer(f"{_PEERS}.ours", arguments=("model.dtype=bfloat16",)),  # next to float32 of the others
    "ours-cudnn": Peer(f"{_PEERS}.ours", arguments=("model.dtype=bfloat16", "model.attention_kernel=cudnn")),
    "pytorch": Peer(f"{_PEERS}.pytorch", "pytorch"),
    "pytorch-compiled": Peer(f"{_PEERS}.pytorch", "pytorch", ("compile",)),
    "hugging-face": Peer(f"{_PEERS}.hugging_face", "hugging"),
    "hugging-face-compiled": Peer(f"{_PEERS}.hugging_face", "hugging", ("compile",)),
    "eole": Peer(f"{_PEERS}.eole_toolkit", "eole"),
    "joeynmt": Peer(f"{_PEERS}.joeynmt_toolkit", "joeynmt"),
    "marian": Peer(f"{_PEERS}.marian_toolkit", "marian"),
    "flax-wmt": Peer(f"{_PEERS}.flax_wmt", "flax"),
}
GPU_ONLY = ("ours-cudnn",)  # on other devices the same as ours-bfloat16
MATMUL_PEAK = Peer(f"{_PEERS}.peak")

DECODING_PEERS = {
    "ours": Peer(f"{_PEERS}.our_search"),
    "ours-bfloat16": Peer(f"{_PEERS}.our_search", arguments=("bfloat16",)),  # next to float32 of the others
    "hugging-face": Peer(f"{_PEERS}.hugging_face_search", "hugging"),
    "ctranslate2": Peer(f"{_PEERS}.ctranslate2_search", "ctranslate2", ("float32",)),
    "ctranslate2-int8": Peer(f"{_PEERS}.ctranslate2_search", "ctranslate2", ("int8",)),
}
