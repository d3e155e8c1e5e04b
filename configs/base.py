"""Every setting of the codebase, once: the base model of Vaswani et al. 2017, Table 3, as published.

All other configs are deltas over this one. `model`, `data`, `train`, `decode`, `evaluate`, `parallel` and `checkpoint`
mirror the dataclasses of `transformer/spec.py`, which refuse a key they do not know and a key that is missing.
`None` stands for "derived"; the comment says from what.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """The complete configuration; paper sections are those of *Attention Is All You Need*."""
    config = ConfigDict()

    model = config.model = ConfigDict()
    model.architecture = "transformer"  # which file of transformer/models
    model.d_model = 512  # width of every layer's output; Section 3.1
    model.d_ff = 2048  # inner width of the feed-forward network; Section 3.3
    model.heads = 8  # parallel attention heads; Section 3.2.2
    model.d_k = config_dict.placeholder(int)  # width of a head's query and key; None: d_model / heads
    model.d_v = config_dict.placeholder(int)  # width of a head's value; None: d_model / heads
    model.encoder_layers = 6  # encoder blocks, N of Section 3.1
    model.decoder_layers = 6  # decoder blocks
    model.score_scale = "sqrt_d_k"  # what divides Q Kᵀ: sqrt_d_k (Section 3.2.1), none, learned, or a number: "4.0"
    model.cross_score = "dot"  # what compares decoder and encoder: dot (Eq. 1), additive (Bahdanau et al. 2015)
    model.weights = "softmax"  # from scores to attention weights: softmax (Eq. 1), sigmoid, uniform, top_k
    model.top_k = 4  # weights=top_k: how many keys a query looks at
    model.cross_memory = "last"  # decoder layers read the last encoder layer (Section 3.1), or "each" its own
    model.causal_mask = True  # training hides the future from the decoder; Section 3.2.3
    model.residual = True  # residual connection around each sub-layer; Section 3.1
    model.no_residual = ""  # but not around these: self_attention, cross_attention, feed_forward; commas between
    model.norm = "post"  # layer normalisation: post (as published), pre, none
    model.norm_kind = "layer"  # layer (Section 3.1), rms
    model.positions = "sinusoid"  # what tells positions apart: sinusoid (Section 3.5), learned, rotary, none
    model.decoder_positions = config_dict.placeholder(str)  # the same in the decoder; None: as in the encoder
    model.max_positions = 512  # positions=learned: how many are learned
    model.feed_forward = True  # each layer has its feed-forward network; Section 3.3
    model.activation = "relu"  # in the feed-forward network: relu (Eq. 2), gelu, swish, swiglu
    model.tie_embeddings = True  # one matrix for source, target and output; Section 3.4
    model.scale_embeddings = True  # multiply embeddings by √d_model; Section 3.4
    model.output_bias = False  # add to each word's logit a bias of its own, as Marian does; not in the paper
    model.cell = "lstm"  # recurrent models: lstm, gru
    model.d_state = config_dict.placeholder(int)  # recurrent models: hidden units of a layer; None: d_model
    model.d_maxout = config_dict.placeholder(int)  # rnnsearch: units of the output layer; None: d_model
    model.reverse_source = False  # seq2seq: read the source back to front; Sutskever et al. 2014
    model.init_range = config_dict.placeholder(float)  # recurrent models: uniform in ± this; None: Glorot, orthogonal
    model.dropout_embedding = 0.1  # on the sum of embedding and position; Section 5.4
    model.dropout_sublayer = 0.1  # on each sub-layer's output, before it is added; Section 5.4
    model.dropout_attention = 0.0  # on the attention weights; not in the paper
    model.dropout_feed_forward = 0.0  # after the activation; not in the paper
    model.dropout_word = 0.0  # of whole words as they are read, their positions stay; Sennrich, Haddow & Birch 2016
    model.dtype = "float32"  # arithmetic: float32, bfloat16 (parameters, softmax and norms stay float32)
    model.attention_kernel = "xla"  # xla; on a TPU splash (widths of 128s: data.width_multiple), on a GPU cudnn

    data = config.data = ConfigDict()
    data.source = "tfds"  # tfds, files, grammar (generated)
    data.name = "wmt14_translate/fr-en"  # tfds: a translation dataset, or "multi30k"; Section 5.1
    data.directory = ""  # tfds: where prepared data lives; empty: TFDS's own default
    data.raw_directory = ""  # tfds: downloaded raw files (TFDS's manual directory); empty: download them
    data.path = ""  # files: a path with {split} and {language}, "corpus/{split}.{language}.gz"
    data.direction = "fr-en"  # source-target
    data.train_split = "train"  # what is learned from; the tokenizer sees nothing else
    data.validation_split = "validation"  # what choices are made on
    data.test_split = "test"  # opened once, at the end
    data.train_pairs = config_dict.placeholder(int)  # first pairs of the training split; None: all of it
    data.prepared = ""  # folder of experiments.prepare's tokenised training split; empty: tokenised at each start
    data.vocab_size = 8000  # joint SentencePiece vocabulary, the four special symbols included
    data.tokenizer = "bpe"  # SentencePiece's model type: bpe, unigram
    data.vocab_sentences = 4_000_000  # sentences it is learnt from, at most; more take tens of gigabytes
    data.uncased = False  # lower-case text, part "l'" from "homme", as papers on Multi30k do; read bleu_paper
    data.max_length = 100  # tokens, end symbol included; longer training sentences are left out and counted
    data.tokens_per_batch = 25_000  # rows × width of a batch, on its wider side; Section 5.1
    data.buckets = 8  # shapes a batch can have: each is compiled once
    data.width_multiple = 1  # of which widths of training batches are; 128: as a TPU's attention kernel needs them
    data.packed_width = config_dict.placeholder(int)  # of rows of several pairs, all of one shape; None: a row each
    data.examine = "stop"  # what errors of the doctor's fast checks do when training begins: stop, warn; off: no checks
    data.workers = 0  # processes that assemble batches; 0: threads of this one
    data.prefetch = 16  # batches ready ahead of the training step

    train = config.train = ConfigDict()
    train.init_from = ""  # folder of a Marian model to begin from, such as OPUS-MT's; empty: random parameters
    train.seed = 0  # of parameters, dropout and the order of batches
    train.steps = 100_000  # parameter updates; Section 5.2; 0, with init_from: none
    train.optimizer = "adam"  # adam (Section 5.3), adamw, adafactor, lion, muon (for matrices; for all else Adam)
    train.muon_dtype = config_dict.placeholder(str)  # of Muon's own products: float32, bfloat16; None: model.dtype
    train.learning_rate = config_dict.placeholder(float)  # its peak; None: Eq. 3's (d_model · warmup_steps)^-0.5
    train.adam_learning_rate = config_dict.placeholder(float)  # muon: peak of what it leaves to Adam; None: the same
    train.schedule = "inverse_sqrt"  # after the warm-up: inverse_sqrt (Eq. 3), linear (to 0 at the end), constant
    train.warmup_steps = 4000  # of linear growth; Section 5.3
    train.adam_beta1 = 0.9  # Section 5.3; Lion has one, too
    train.adam_beta2 = 0.98  # Section 5.3; Lion has one, too
    train.adam_epsilon = 1e-9  # Section 5.3
    train.weight_decay = 0.0  # of matrices, times the learning rate; adamw, lion, muon
    train.label_smoothing = 0.1  # Section 5.4
    train.clip_norm = config_dict.placeholder(float)  # largest norm of the gradient; None: no clipping, as published
    train.accumulate = 1  # batches whose gradients make one update
    train.ema_decay = 0.0  # exponential moving average of the parameters; 0: none
    train.average_checkpoints = 5  # the mean of the last ones is what is tested; 1: the last; Section 6.1
    train.early_stopping = "none"  # what must improve for training to go on: none, loss, bleu (of validation)
    train.patience = 10  # evaluations without improvement before early stopping
    train.nonfinite_limit = 5  # updates in a row without a finite gradient (each is skipped) before `on_nonfinite`
    train.on_nonfinite = "stop"  # then: stop, rollback (to the newest checkpoint, with half the learning rate)
    train.log_every = 50  # steps between two lines of metrics
    train.loss_chunk = config_dict.placeholder(int)  # tokens with logits at a time, about; None: all; on a CPU 512

    decode = config.decode = ConfigDict()
    decode.method = "beam"  # beam, greedy, sample
    decode.beam_size = 4  # Section 6.1
    decode.length_penalty = 0.6  # alpha of Wu et al. 2016, Eq. 14; Section 6.1
    decode.max_extra_length = 50  # longest output is the input's length plus this; Section 6.1
    decode.batch_size = 64  # sentences searched at a time; changes the speed, never the text
    decode.temperature = 1.0  # sample: divides the logits
    decode.top_k = 0  # sample: only from the k most probable tokens; 0: all
    decode.top_p = 1.0  # sample: only from the smallest set of tokens of this probability
    decode.seed = 0  # sample

    evaluate = config.evaluate = ConfigDict()
    evaluate.every = 1000  # steps between two evaluations on the validation split
    evaluate.sentences = config_dict.placeholder(int)  # translated for validation BLEU; None: all; 0: loss only
    evaluate.samples = 3  # translations shown at each evaluation

    parallel = config.parallel = ConfigDict()
    parallel.mode = "mesh"  # mesh (jit over a mesh), pmap
    parallel.fsdp = 1  # devices among which each stored parameter is divided; they divide batches too
    parallel.tensor = 1  # devices among which heads, inner units and words are divided; the rest divide batches alone
    parallel.distributed = "auto"  # several processes of a run: auto (JAX_COORDINATOR_ADDRESS, SLURM), on (a pod), off
    parallel.cpu_devices = 2  # devices a CPU is divided into, a core each; 0: one device with all cores

    checkpoint = config.checkpoint = ConfigDict()
    checkpoint.every = 1000  # steps between two saves; the paper: 10 minutes
    checkpoint.keep = 5  # newest checkpoints kept; at least train.average_checkpoints

    return config
