"""Every setting, with the published values of the base model of Vaswani et al. 2017, Table 3.

All other configs are deltas over this one. The sections `model`, `data`, `train`, `decode`, `evaluate`, `parallel` and
`checkpoint` mirror the dataclasses of `transformer/spec.py`, which reject unknown and missing keys. `None` means that a
value is derived; the comment names its source.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """Returns the complete config; sections and equations are those of *Attention Is All You Need*."""
    config = ConfigDict()

    model = config.model = ConfigDict()
    model.architecture = "transformer"  # model: transformer, rnnsearch, seq2seq
    model.d_model = 512  # width of embeddings and of every layer's output; Section 3.1
    model.d_ff = 2048  # inner width of the feed-forward network; Section 3.3
    model.heads = 8  # number of attention heads; Section 3.2.2
    model.d_k = placeholder(int)  # width of a head's query and key; None: d_model / heads
    model.d_v = placeholder(int)  # width of a head's value; None: d_model / heads
    model.encoder_layers = 6  # number of encoder layers, N of Section 3.1
    model.decoder_layers = 6  # number of decoder layers
    model.score = "dot"  # attention score: dot (Eq. 1), additive (Bahdanau et al. 2015), cosine (Henry et al. 2020)
    model.score_scale = "sqrt_d_k"  # score=dot: what divides Q Kᵀ: sqrt_d_k (Section 3.2.1), none, learned, or "4.0"
    model.cross_score = placeholder(str)  # score of cross-attention; None: model.score
    model.weights = "softmax"  # scores to attention weights: softmax (Eq. 1), sigmoid, uniform, top_k
    model.top_k = 4  # weights=top_k: number of keys that a query attends to
    model.cross_memory = "last"  # decoder layers attend to the last encoder layer (Section 3.1), or "each" to its own
    model.causal_mask = True  # mask future positions in the decoder during training; Section 3.2.3
    model.residual = True  # residual connection around each sub-layer; Section 3.1
    model.no_residual = ""  # exceptions, comma-separated: self_attention, cross_attention, feed_forward
    model.norm = "post"  # position of layer normalisation: post (as published), pre, none
    model.norm_kind = "layer"  # normalisation: layer (Section 3.1), rms
    # sinusoid (Section 3.5), learned, rotary (Su et al. 2021), alibi (Press et al. 2022), relative (Shaw et al. 2018)
    model.positions = "sinusoid"  # positional encoding: one of these, or none
    model.decoder_positions = placeholder(str)  # positional encoding of the decoder; None: model.positions
    model.max_positions = 512  # positions=learned: number of positions
    model.feed_forward = True  # feed-forward network in each layer; Section 3.3
    model.activation = "relu"  # of the feed-forward network: relu (Eq. 2), gelu, swish, swiglu, tanh_glu
    model.tie_embeddings = True  # one matrix for source and target embeddings and output projection; Section 3.4
    model.scale_embeddings = True  # multiply embeddings by √d_model; Section 3.4
    model.output_bias = False  # bias per token on the logits, as in Marian; not in the paper
    model.cell = "lstm"  # recurrent models: lstm, gru
    model.d_state = placeholder(int)  # recurrent models: hidden units per layer; None: d_model
    model.d_maxout = placeholder(int)  # rnnsearch: units of the maxout layer; None: d_model
    model.reverse_source = False  # seq2seq: reverse the source; Sutskever et al. 2014
    model.init_range = placeholder(float)  # recurrent models: uniform in ± this; None: Glorot, orthogonal
    # LoRA (Hu et al. 2021) adds a product of two matrices to linear layers; training changes only these matrices.
    model.lora_rank = placeholder(int)  # their rank; None: no LoRA
    model.lora_targets = "*to_query,*to_value"  # patterns for names of linear layers, such as encoder.*.to_output
    model.dropout_embedding = 0.1  # dropout on embedding plus position; Section 5.4
    model.dropout_sublayer = 0.1  # dropout on each sub-layer's output, before the residual addition; Section 5.4
    model.dropout_attention = 0.0  # dropout on attention weights; not in the paper
    model.dropout_feed_forward = 0.0  # dropout after the activation; not in the paper
    model.dropout_word = 0.0  # dropout of complete input tokens, positions stay; Sennrich, Haddow & Birch 2016
    # Parameters, softmax, norms and test scores stay float32: bfloat16 translations can depend on the batch size and
    # the number of devices.
    model.dtype = "float32"  # dtype of matmuls: float32, bfloat16
    model.matmul_precision = "float32"  # dtype=float32: float32, tensorfloat32, default (bfloat16 on TPU, TF32 on GPU)
    model.attention_kernel = "xla"  # xla; splash on TPU (needs data.width_multiple=128), cudnn (packed: Triton) on GPU
    model.remat = "none"  # recompute layers in the backward pass: none, dots (all but linear layers' matmuls), full
    model.scan_layers = False  # train with one loop over stacked parameters: a program of one layer, compiled faster

    data = config.data = ConfigDict()
    data.source = "tfds"  # corpus: tfds, files, grammar (generated)
    data.name = "wmt14_translate/fr-en"  # tfds: a translation dataset, or "multi30k"; Section 5.1
    data.directory = ""  # tfds: folder of prepared data; empty: TFDS's default
    data.raw_directory = ""  # tfds: folder of downloaded raw files (TFDS's manual directory); empty: download
    data.path = ""  # files: "corpus/{split}.{language}", or "corpus/{split}.tsv" (.tmx, .po) with both sides
    data.direction = "fr-en"  # source-target, ISO 639 codes: fr-en, en-de, zh-en
    data.train_split = "train"  # training split; the tokenizer is trained on it only
    data.validation_split = "validation"  # validation split
    data.test_split = "test"  # test split, evaluated once at the end
    data.train_pairs = placeholder(int)  # only this many first pairs of training, of each part of a mixture; None: all
    # "CORPUS [xWEIGHT] [<TAG>], ..." (transformer/mixture.py): "multi30k x2, back/{split}.{language} <BT>"
    data.mixture = ""  # corpora of the training split; empty: the corpus itself
    data.language_code = ""  # init_from: token before sources without one, such as ">>fra<<"; empty: none
    data.prepared = ""  # folder of the training split tokenised by experiments.prepare; empty: tokenise at each start
    data.vocab_size = 8000  # joint SentencePiece vocabulary, including the four special symbols
    data.tokenizer = "bpe"  # SentencePiece model type: bpe, unigram
    data.vocab_sentences = 4_000_000  # most sentences to train the tokenizer on; more need tens of GB of memory
    data.uncased = False  # lower-case text and split "l'" from "homme", as papers on Multi30k do; compare bleu_paper
    data.max_length = 100  # tokens, including EOS; longer training sentences are dropped and counted
    data.tokens_per_batch = 25_000  # rows × width of a batch, on its wider side; Section 5.1
    data.buckets = 8  # number of batch shapes; each is compiled once
    data.width_multiple = 1  # widths of training batches are multiples of this; 128 for attention_kernel=splash
    data.packed_width = placeholder(int)  # width of packed rows, each of several pairs; None: one pair per row
    data.examine = "stop"  # errors of the doctor's fast checks at the start: stop, warn; off: no checks
    data.workers = 0  # processes that assemble batches; 0: threads of the training process
    data.prefetch = 16  # batches prepared ahead of the training step

    train = config.train = ConfigDict()
    # hf:Helsinki-NLP/opus-mt-fr-en, for example; hf:USER/NAME@REVISION is a branch, a tag or a commit.
    train.init_from = ""  # folder of a Marian model, or hf:USER/NAME of the hub; empty: random parameters
    # For example "embed_source.*,encoder.*"; the last match counts, and "!*.bias" at the end trains the biases.
    train.freeze = ""  # patterns for names of parameters that do not change, comma-separated
    train.seed = 0  # seed of parameters, dropout and batch order
    train.steps = 100_000  # parameter updates; Section 5.2; 0 with init_from: no training
    train.optimizer = "adam"  # adam (Section 5.3), adamw, adafactor, lion, muon (matrices; Adam for the rest)
    train.muon_dtype = placeholder(str)  # dtype of Muon's matmuls: float32, bfloat16; None: model.dtype
    train.learning_rate = placeholder(float)  # peak learning rate; None: Eq. 3's (d_model · warmup_steps)^-0.5
    train.adam_learning_rate = placeholder(float)  # muon: peak of Adam's parameters; None: learning_rate
    train.schedule = "inverse_sqrt"  # after warm-up: inverse_sqrt (Eq. 3), linear (to 0 at the last step), constant
    train.warmup_steps = 4000  # steps of linear warm-up; Section 5.3
    train.adam_beta1 = 0.9  # β1 of Adam (Section 5.3) and Lion
    train.adam_beta2 = 0.98  # β2 of Adam (Section 5.3) and Lion
    train.adam_epsilon = 1e-9  # ε of Adam; Section 5.3
    train.weight_decay = 0.0  # decay of matrices, times the learning rate; adamw, lion, muon
    train.label_smoothing = 0.1  # Section 5.4
    # Two passes per update, at twice the cost. rdrop (Liang et al. 2021): both with dropout; the mean of both losses
    # and of KL(P‖Q) and KL(Q‖P). simcut (Gao et al. 2022): the loss of P, and KL(P‖Q) for a pass Q with token cutoff.
    train.consistency = 0.0  # weight of the divergence between two passes; 0: one pass
    train.consistency_kind = "rdrop"  # rdrop, simcut
    train.cutoff_rate = 0.05  # consistency_kind=simcut: share of tokens, of source and target, without embedding
    train.clip_norm = placeholder(float)  # largest gradient norm; None: no clipping, as published
    train.clip_unit = "token"  # clip_norm limits the gradient of the mean per token, or per "sentence"
    train.accumulate = 1  # batches per update (gradient accumulation)
    train.ema_decay = 0.0  # exponential moving average of parameters; 0: none
    train.average_checkpoints = 5  # test the mean of this many last checkpoints; 1: the last one; Section 6.1
    train.early_stopping = "none"  # validation metric that must improve: none, loss, bleu
    train.patience = 10  # evaluations without improvement before early stopping
    train.nonfinite_limit = 5  # consecutive updates with non-finite gradients, each skipped, before on_nonfinite
    train.on_nonfinite = "stop"  # stop, or rollback (to the last scheduled checkpoint, half the learning rate)
    train.rollback_limit = 8  # rollbacks of a run before the next one stops it
    train.log_every = 50  # steps between lines of metrics.jsonl
    train.trackers = "tensorboard"  # also get the metrics, comma-separated: tensorboard, trackio, wandb; or empty
    train.loss_chunk = placeholder(int)  # tokens with logits at a time, about; None: all; on a CPU 512

    decode = config.decode = ConfigDict()
    decode.method = "beam"  # beam, greedy, sample
    decode.beam_size = 4  # hypotheses per sentence; Section 6.1
    decode.length_penalty = 0.6  # α of Wu et al. 2016, Eq. 14; Section 6.1
    decode.max_extra_length = 50  # maximum output length is input length plus this; Section 6.1
    decode.batch_size = 64  # sentences per batch; affects only the speed, in bfloat16 also the text
    decode.temperature = 1.0  # sample: divisor of the logits, at least 1e-6
    decode.top_k = 0  # sample: only the k most probable tokens; 0: all
    decode.top_p = 1.0  # sample: only the smallest set of tokens with this probability
    decode.seed = 0  # sample: random seed

    evaluate = config.evaluate = ConfigDict()
    evaluate.every = 1000  # steps between evaluations on the validation split
    evaluate.sentences = placeholder(int)  # translated for validation BLEU; None: all; 0: loss only
    evaluate.samples = 3  # translations printed at each evaluation

    parallel = config.parallel = ConfigDict()
    parallel.mode = "mesh"  # mesh (jit over a mesh), pmap
    parallel.fsdp = 1  # devices that share each stored parameter; they split batches too
    parallel.tensor = 1  # devices that share heads, inner units and vocabulary; all others split batches only
    parallel.distributed = "auto"  # multi-process runs: auto (JAX_COORDINATOR_ADDRESS, SLURM), on (TPU pod), off
    parallel.cpu_devices = 2  # devices that a CPU is split into, one core each; 0: one device with all cores

    checkpoint = config.checkpoint = ConfigDict()
    checkpoint.every = 1000  # steps between checkpoints; the paper: 10 minutes
    checkpoint.keep = 5  # newest checkpoints to keep; at least train.average_checkpoints

    return config
