from configs import base
def get_config():
    c = base.get_config()
    m=c.model; m.d_model=128; m.d_ff=256; m.heads=4; m.encoder_layers=m.decoder_layers=4
    m.dropout_embedding=m.dropout_sublayer=0.3
    d=c.data; d.source="tfds"; d.name="multi30k"; d.validation_split="val"; d.test_split="test_2016_flickr"
    d.vocab_size=10000; d.tokens_per_batch=4096; d.buckets=8
    t=c.train; t.steps=8000; t.warmup_steps=2000; t.learning_rate=0.005
    t.log_every=100; t.loss_chunk=8
    c.evaluate.every=1000; c.checkpoint.every=500; c.checkpoint.keep=10; t.average_checkpoints=10
    c.decode.beam_size=5
    return c
